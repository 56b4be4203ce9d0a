//go:build !race

package web

// raceEnabled says whether the race detector runs.
const raceEnabled = false
