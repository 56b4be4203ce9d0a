package ringsim

import (
	"testing"
	"time"

	"github.com/torc-dht/torc/chord/internal/place"
	"github.com/torc-dht/torc/chord/internal/ring"
)

func usual(seed uint64) Config {
	return Config{Seed: seed, Circle: place.MaxBits, List: 8, Period: 200 * time.Millisecond, Jitter: 20 * time.Millisecond, Patience: 600 * time.Millisecond, Latency: 10 * time.Millisecond}
}

func TestGrow(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, 3, 5, 8, 9, 10, 64, 500} {
		if testing.Short() && n != 500 {
			continue
		}
		s := New(usual(uint64(n)))
		for range n {
			s.AddRandom()
			s.Run(100 * time.Millisecond)
		}
		took, err := s.Settle(2 * time.Minute)
		t.Logf("%d nodes: settled after %v, %d messages: %v", n, took, s.Sent, err)
		if err != nil {
			t.Errorf("%d nodes: %v", n, err)
			continue
		}
		hops, wrong := 0, 0
		for range 1000 {
			target := s.RandomPlace()
			s.RandomNode().Lookup(target, func(f *ring.Found) {
				hops += len(f.Hops)
				if f.Err != nil || f.Owner != s.Owner(target).ref {
					wrong++
				}
			})
		}
		s.Run(time.Minute)
		t.Logf("mean %v, wrong %d", float64(hops)/1000, wrong)
	}
}
