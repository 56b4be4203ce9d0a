package replica

import (
	"time"

	"golang.org/x/sys/unix"
)

// clock is a time that only grows, also while the process is stopped and while the
// machine sleeps, and that nobody sets.
func clock() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		panic("replica: no CLOCK_BOOTTIME: " + err.Error()) // Linux has had it since 2.6.39
	}
	return time.Duration(ts.Nano())
}
