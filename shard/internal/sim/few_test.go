//go:build fewslots

package sim

import "time"

// A table with few slots is simulated in a tenth of the time, so that here is done
// what takes many runs.
const (
	someSeeds     = 200
	scenarioSeeds = 3
)

var cutsLast = []time.Duration{300 * time.Millisecond, 1200 * time.Millisecond, 8 * time.Second}
