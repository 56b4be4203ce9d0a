//go:build !linux

package replica

import "time"

// slept is for how long the machine has slept, as far as is known.
func slept() time.Duration { return 0 }
