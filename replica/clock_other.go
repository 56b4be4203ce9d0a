//go:build !linux

package replica

import "time"

var began = time.Now()

// clock is a time that only grows, also while the process is stopped, and that
// nobody sets. Whether it grows while the machine sleeps is the system's.
func clock() time.Duration { return time.Since(began) + 1 }
