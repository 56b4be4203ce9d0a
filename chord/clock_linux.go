package chord

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/torc-dht/torc/chord/internal/node"
)

// clock reads both clocks. The one that promises are counted by goes on while the
// process is stopped and while the machine sleeps.
func clock() node.Time {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic("chord: no CLOCK_BOOTTIME: " + err.Error()) // Linux has had it since 2.6.39
	}
	return node.Time{Mono: ts.Nano(), Wall: time.Now().UnixNano()}
}

// machineMemory is how many bytes of memory the machine has.
func machineMemory() uint64 {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 4 << 30
	}
	return uint64(info.Totalram) * uint64(info.Unit) //nolint:unconvert // uint32 where words have 32 bits
}
