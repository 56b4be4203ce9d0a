//go:build race

package web

// raceEnabled: sync.Pool drops things at random under the race detector, so
// that allocations can't be counted.
const raceEnabled = true
