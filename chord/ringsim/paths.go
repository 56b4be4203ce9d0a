package ringsim

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/torc-dht/torc/chord/internal/place"
	"github.com/torc-dht/torc/chord/internal/ring"
)

// Paper is the set-up of the papers' experiments with n nodes that don't fail:
// identifiers of 160 bits, messages of 50 ms on average, a round of stabilisation every
// 30 s, and lookups by fingers and one successor.
func Paper(seed uint64) Config {
	return Config{
		Seed: seed, Circle: place.MaxBits, List: 8, Fingers: 1, Patience: 500 * time.Millisecond,
		Period: 30 * time.Second, Jitter: 15 * time.Second, Latency: 66 * time.Millisecond,
	}
}

// Grow returns a simulation in which n nodes have joined one after the other and all is
// settled. The error says what isn't after a day of virtual time.
func Grow(c Config, n int) (*Sim, error) {
	s := New(c)
	for i := range n {
		s.AddRandom()
		// So that the ring doubles in some rounds, and not in one.
		s.Run(2 * c.Period / time.Duration(i+10))
	}
	if _, err := s.Settle(24 * time.Hour); err != nil {
		return nil, fmt.Errorf("%d nodes don't settle in a day: %w", n, err)
	}
	return s, nil
}

// Paths are the lengths of lookups' paths.
type Paths struct {
	Nodes   int
	Lookups int
	Mean    float64
	// P1 and P99 are the 1st and 99th percentile.
	P1, P99 int
	// Share is how much of all lookups has each length, from 0.
	Share []float64
	// Wrong is how many ended at another node than the key's successor, or nowhere.
	Wrong int
}

// PathLengths makes lookups from nodes by chance for places by chance, and measures
// their paths as the papers do: in nodes that were asked, but for the one that asks, and
// at least 1.
func (s *Sim) PathLengths(lookups int) Paths {
	p := Paths{Nodes: len(s.live), Lookups: lookups}
	var counts []int
	s.Lookups(lookups, func(owner *Node, f *ring.Found) {
		if f.Err != nil || f.Owner != owner.ref {
			p.Wrong++
			return
		}
		length := max(1, len(f.Hops))
		for len(counts) <= length {
			counts = append(counts, 0)
		}
		counts[length]++
	})
	p.fill(counts)
	return p
}

// together is how many lookups are under way at a time: enough that between two of
// them little else happens.
const together = 5_000

// Lookups makes n lookups from nodes by chance for places by chance, one after another
// in each of many lanes, and calls then with what came of each and the place's owner
// when it began. It returns when all are done.
func (s *Sim) Lookups(n int, then func(owner *Node, f *ring.Found)) {
	begun, done := 0, 0
	var lane func()
	lane = func() {
		if begun == n {
			return
		}
		begun++
		target := s.RandomPlace()
		owner := s.Owner(target)
		s.RandomNode().Lookup(target, func(f *ring.Found) {
			done++
			then(owner, f)
			lane()
		})
	}
	for range min(n, together) {
		lane()
	}
	for done < n {
		s.Run(s.c.Latency)
	}
}

func (p *Paths) fill(counts []int) {
	total, sum := 0, 0
	for length, n := range counts {
		total += n
		sum += n * length
	}
	p.Mean = float64(sum) / float64(total)
	p.Share = make([]float64, len(counts))
	for length, n := range counts {
		p.Share[length] = float64(n) / float64(total)
	}
	p.P1, p.P99 = percentile(counts, total, 0.01), percentile(counts, total, 0.99)
}

// percentile is the smallest length that at least the given share is not above.
func percentile(counts []int, total int, share float64) int {
	need := int(math.Ceil(share * float64(total)))
	return slices.IndexFunc(counts, func(n int) bool {
		need -= n
		return need <= 0
	})
}
