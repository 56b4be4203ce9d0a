//go:build fewslots

package sim

// A table with few slots is simulated in a tenth of the time, so that here is done
// what takes many runs.
const (
	someSeeds     = 300
	scenarioSeeds = 3
)
