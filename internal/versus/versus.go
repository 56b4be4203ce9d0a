// Package versus sets two ways of doing the same thing side by side in one
// benchmark, so that what else the machine does meets both alike.
package versus

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Side is one of the two.
type Side struct {
	Name string
	// Call makes the i-th call. It is called by many goroutines.
	Call func(i int) error
}

// Run makes b.N calls of each side by so many goroutines. The sides take turns of
// a fraction of a second. It reports the time of a call of each, and how many
// times as fast as peer ours was: the median over the turns, which one turn that
// was disturbed does not move.
func Run(b *testing.B, goroutines int, ours, peer Side) {
	b.Helper()
	var mine, theirs time.Duration
	var ratios []float64
	turn := 1000 + 200*goroutines
	for left := b.N; left > 0; left -= turn {
		n := min(turn, left)
		m, t := spread(b, n, goroutines, ours.Call), spread(b, n, goroutines, peer.Call)
		mine, theirs = mine+m, theirs+t
		ratios = append(ratios, t.Seconds()/m.Seconds())
	}
	slices.Sort(ratios)
	b.ReportMetric(0, "ns/op") // of both together: it would only mislead
	b.ReportMetric(float64(mine.Nanoseconds())/float64(b.N), ours.Name+"-ns/op")
	b.ReportMetric(float64(theirs.Nanoseconds())/float64(b.N), peer.Name+"-ns/op")
	b.ReportMetric(ratios[len(ratios)/2], "x-"+peer.Name)
}

// spread has n calls made by so many goroutines, and says how long they took.
func spread(b *testing.B, n, goroutines int, call func(i int) error) time.Duration {
	var next atomic.Int64
	var wg sync.WaitGroup
	start := time.Now()
	for range goroutines {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				if err := call(int(i)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return time.Since(start)
}
