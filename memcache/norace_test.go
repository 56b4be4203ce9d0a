//go:build !race

package memcache_test

// raceEnabled says whether the race detector runs, under which sync.Pool drops
// things at random and allocations can not be counted.
const raceEnabled = false
