//go:build !fewslots

package sim

import "time"

// With as many slots as there are in truth.
const (
	someSeeds     = 5
	scenarioSeeds = 1
)

var cutsLast = []time.Duration{1200 * time.Millisecond}
