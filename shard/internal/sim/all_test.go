//go:build !fewslots

package sim

// With as many slots as there are in truth.
const (
	someSeeds     = 5
	scenarioSeeds = 1
)
