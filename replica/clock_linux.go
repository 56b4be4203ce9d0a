package replica

import (
	"time"

	"golang.org/x/sys/unix"
)

// slept is for how long the machine has slept since it was started.
func slept() time.Duration {
	var awake, all unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &awake) != nil || unix.ClockGettime(unix.CLOCK_BOOTTIME, &all) != nil {
		return 0 // Linux has had both since 2.6.39
	}
	return time.Duration(all.Nano() - awake.Nano())
}
