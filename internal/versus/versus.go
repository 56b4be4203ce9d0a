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
	// Finish, if not nil, ends what the calls of a turn have left running. It
	// counts as theirs.
	Finish func()
}

// Run makes b.N calls of each side by so many goroutines. The sides take turns of
// a fraction of a second. It reports the time of a call of each, and how many
// times as fast as peer ours was: the median over the turns, which one turn that
// was disturbed does not move. Of a single goroutine it reports the median call too.
func Run(b *testing.B, goroutines int, ours, peer Side) {
	b.Helper()
	var mine, theirs time.Duration
	var ratios []float64
	var medians [2][]time.Duration // of the calls of a single goroutine, by side
	turn := 1000 + 200*goroutines
	for left := b.N; left > 0; left -= turn {
		n := min(turn, left)
		m, t := ours.turn(b, n, goroutines, &medians[0]), peer.turn(b, n, goroutines, &medians[1])
		mine, theirs = mine+m, theirs+t
		ratios = append(ratios, t.Seconds()/m.Seconds())
	}
	slices.Sort(ratios)
	b.ReportMetric(0, "ns/op") // of both together: it would only mislead
	b.ReportMetric(float64(mine.Nanoseconds())/float64(b.N), ours.Name+"-ns/op")
	b.ReportMetric(float64(theirs.Nanoseconds())/float64(b.N), peer.Name+"-ns/op")
	b.ReportMetric(ratios[len(ratios)/2], "x-"+peer.Name)
	for i, name := range []string{ours.Name, peer.Name} {
		if calls := medians[i]; len(calls) > 0 {
			slices.Sort(calls)
			b.ReportMetric(float64(calls[len(calls)/2].Nanoseconds()), name+"-p50-ns")
		}
	}
}

// turn has n calls made by so many goroutines, and says how long they took in all.
// Of a single goroutine it notes how long each took.
func (s Side) turn(b *testing.B, n, goroutines int, each *[]time.Duration) time.Duration {
	call := s.Call
	if goroutines == 1 {
		call = func(i int) error {
			began := time.Now()
			err := s.Call(i)
			*each = append(*each, time.Since(began))
			return err
		}
	}
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
	if s.Finish != nil {
		s.Finish()
	}
	return time.Since(start)
}
