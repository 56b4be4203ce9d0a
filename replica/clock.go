package replica

import "time"

// began is what the times of this process count from.
var began = time.Now()

// clock is a time that only grows, also while the process is stopped and while the
// machine sleeps, and that nobody sets.
type clock struct {
	asleep time.Duration // what time.Since(began) leaves out
}

// now costs no system call. Of a sleep of the machine it knows since adjust.
func (c *clock) now() time.Duration { return time.Since(began) + c.asleep }

// adjust takes note of the sleep that there was.
func (c *clock) adjust() { c.asleep = max(c.asleep, slept()) }
