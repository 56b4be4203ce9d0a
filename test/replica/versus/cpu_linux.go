package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
)

// tick is what the kernel counts processor time in: 1/100 s on every Linux that Go
// runs on.
const tick = 10 * time.Millisecond

// cpu returns the processor time that processes have had, in the kernel and out of it.
func cpu(pids []int) (all time.Duration, err error) {
	for _, pid := range pids {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0, err
		}
		// The name comes second, in parentheses, and may be anything.
		fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		const user, system = 11, 12 // behind the name
		for _, f := range []int{user, system} {
			n, err := strconv.ParseInt(string(fields[f]), 10, 64)
			if err != nil {
				return 0, err
			}
			all += time.Duration(n) * tick
		}
	}
	return all, nil
}
