package ringsim

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/torc-dht/torc/chord/internal/place"
	"github.com/torc-dht/torc/chord/internal/ring"
)

// Paper is the set-up of the papers' experiments with nodes that don't fail:
// identifiers of 160 bits, messages of 50 ms on average, a round of stabilisation every
// 30 s, in which one finger is refreshed, and lookups by fingers and one successor.
func Paper(seed uint64) Config {
	return Config{
		Seed: seed, Circle: place.MaxBits, List: 8, Fingers: 1, Patience: 500 * time.Millisecond,
		Period: 30 * time.Second, Jitter: 15 * time.Second, Latency: 66 * time.Millisecond,
	}
}

// Grow returns a simulation in which n nodes have joined one after the other and all is
// settled. The error says what isn't after 3000 rounds, or is ctx's.
func Grow(ctx context.Context, c Config, n int) (*Sim, error) {
	return grow(ctx, c, n, (*Sim).Unsettled)
}

func grow(ctx context.Context, c Config, n int, wrong func(*Sim) error) (*Sim, error) {
	s := New(c)
	for i := range n {
		s.AddRandom()
		// So that the ring doubles in some rounds, and not in one. As long as it is
		// smaller than the lists, it takes in one node after another.
		if i <= c.List+1 {
			if _, err := s.settle(ctx, 3000*c.Period, s.Unordered); err != nil {
				return nil, fmt.Errorf("%d nodes don't get in order: %w", i+1, err)
			}
		} else if err := s.run(ctx, 2*c.Period/time.Duration(i+10)); err != nil {
			return nil, err
		}
	}
	if _, err := s.settle(ctx, 3000*c.Period, func() error { return wrong(s) }); err != nil {
		return nil, fmt.Errorf("%d nodes don't settle: %w", n, err)
	}
	return s, nil
}

// Paths are the lengths of lookups' paths: in nodes that were asked and answered, but
// for the one that asks, and at least 1. So the papers count.
type Paths struct {
	Nodes int
	Tally
	// Wrong is how many more lookups ended at another node than the key's successor,
	// or nowhere.
	Wrong int
}

// PathLengths makes lookups from nodes by chance for places by chance, and measures
// their paths.
func (s *Sim) PathLengths(ctx context.Context, lookups int) (Paths, error) {
	p := Paths{Nodes: len(s.live)}
	err := s.Lookups(ctx, lookups, func(_, owner *Node, f *ring.Found) {
		if f.Err != nil || f.Owner != owner.ref {
			p.Wrong++
		} else {
			answered, _ := hops(f)
			p.Add(max(1, answered))
		}
	})
	return p, err
}

// together is how many lookups are under way at a time: enough that between two of
// them little else happens.
const together = 5_000

// Lookups makes n lookups from nodes by chance for places by chance, one after another
// in each of many lanes, and calls then with who asked, whose the place was at that time,
// and what came of it. It returns when all are done, or ctx ends it.
func (s *Sim) Lookups(ctx context.Context, n int, then func(asker, owner *Node, f *ring.Found)) error {
	begun, done := 0, 0
	var lane func()
	lane = func() {
		if begun == n {
			return
		}
		begun++
		target := s.RandomPlace()
		asker, owner := s.RandomNode(), s.Owner(target)
		asker.Lookup(target, func(f *ring.Found) {
			done++
			then(asker, owner, f)
			lane()
		})
	}
	for range min(n, together) {
		lane()
	}
	for done < n {
		if err := s.run(ctx, s.c.Latency); err != nil {
			return err
		}
	}
	return nil
}

// Many is the same measured in several rings.
type Many struct {
	Paths           // all together
	Means []float64 // of each ring, in order
	State State     // of the last ring's nodes
}

// Below is the share of the rings whose mean path is shorter than mean.
func (m *Many) Below(mean float64) float64 {
	i, _ := slices.BinarySearch(m.Means, mean)
	return float64(i) / float64(len(m.Means))
}

// At is the mean path of the ring that so large a share of the rings is not above.
func (m *Many) At(share float64) float64 {
	return m.Means[int(math.Round(share*float64(len(m.Means)-1)))]
}

// Error is the standard error of the mean over rings, if there are several.
func (m *Many) Error() float64 {
	n, sum, squares := float64(len(m.Means)), 0.0, 0.0
	for _, v := range m.Means {
		sum, squares = sum+v, squares+v*v
	}
	return math.Sqrt(max(0, squares/n-sum*sum/n/n) / max(1, n-1))
}

// PathsIn measures figure 10 of the paper of 2001 (and 10 of 2003): path lengths in
// rings of so many nodes, grown from seeds one after another, with so many lookups in
// each.
func PathsIn(ctx context.Context, c Config, nodes, rings, lookups int) (Many, error) {
	m := Many{Paths: Paths{Nodes: nodes}}
	for i := range rings {
		c := c
		c.Seed += uint64(i)
		s, err := Grow(ctx, c, nodes)
		if err != nil {
			return m, err
		}
		p, err := s.PathLengths(ctx, lookups)
		if err != nil {
			return m, err
		}
		m.Wrong += p.Wrong
		m.AddAll(&p.Tally)
		m.Means = append(m.Means, p.Mean())
		m.State = s.State()
	}
	slices.Sort(m.Means)
	return m, nil
}
