package ringsim

import (
	"context"
	"slices"
	"time"

	"github.com/torc-dht/torc/chord/internal/place"
	"github.com/torc-dht/torc/chord/internal/ring"
)

// Lost is what lookups don't find after a part of the nodes has failed.
type Lost struct {
	Fraction        float64
	Nodes, Died     int // Nodes is before
	Lookups, Failed int
}

// Rate is the share of lookups that failed.
func (l *Lost) Rate() float64 { return float64(l.Failed) / float64(l.Lookups) }

// Lose measures figure 11 of the paper of 2001: a part of the nodes fails at one
// instant, the ring settles, and lookups succeed that find the node that was the key's
// before: there are no copies.
func Lose(ctx context.Context, c Config, nodes int, fraction float64, lookups int) (Lost, error) {
	l := Lost{Fraction: fraction, Nodes: nodes, Died: int(fraction * float64(nodes)), Lookups: lookups}
	s, err := Grow(ctx, c, nodes)
	if err != nil {
		return l, err
	}
	before := slices.Clone(s.live)
	for range l.Died {
		s.Kill(s.RandomNode())
	}
	if _, err := s.Settle(ctx, 3000*c.Period); err != nil {
		return l, err
	}
	err = s.Lookups(ctx, lookups, func(_, _ *Node, f *ring.Found) {
		if f.Err != nil || f.Owner != owner(before, f.Target).ref {
			l.Failed++
		}
	})
	return l, err
}

// Walks are lookups among nodes of which some are dead. A path counts who answered,
// Silent who didn't: each a time-out.
type Walks struct {
	Paths
	Silent Tally
}

// Unrepaired measures table II of the paper of 2003: each node fails with a
// probability, all at one instant, nothing is repaired any more, and lookups are to find
// the first living node after a key.
func Unrepaired(ctx context.Context, c Config, nodes int, probability float64, lookups int) (Walks, error) {
	// Rounds are so far apart that hardly any comes between: the time is only counted.
	c.Period, c.Jitter = 20*time.Hour, 10*time.Hour
	w := Walks{Paths: Paths{Nodes: nodes}}
	s, err := Grow(ctx, c, nodes)
	if err != nil {
		return w, err
	}
	for _, n := range slices.Clone(s.live) {
		if s.rnd.Float64() < probability && len(s.live) > 1 {
			s.Kill(n)
		}
	}
	// What a node learns of dead ones is to be of no use to its next lookup: one from each
	// at a time, more or less, and then it has forgotten.
	for left := lookups; left > 0; left -= nodes {
		for range min(nodes, left) {
			target := s.RandomPlace()
			s.Walk(s.RandomNode(), target, func(k Walk) { w.add(s, target, &k) })
		}
		if err := s.run(ctx, 200*c.Patience); err != nil {
			return w, err
		}
	}
	return w, nil
}

func (w *Walks) add(s *Sim, target place.Place, k *Walk) {
	if k.End != s.Owner(target) {
		w.Wrong++
		return
	}
	w.Add(max(1, k.Answered))
	w.Silent.Add(k.Silent)
}
