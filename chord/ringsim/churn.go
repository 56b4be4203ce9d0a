package ringsim

import (
	"context"
	"time"
)

// Churn is an experiment in which nodes come and go while lookups are made, each after
// a time of its own by chance (a Poisson process).
type Churn struct {
	Config
	Nodes int
	// Rate is how many nodes a second join, and as many go: by telling it, if Politely.
	Rate     float64
	Politely bool
	// Lookups are made at PerSecond.
	Lookups   int
	PerSecond float64
}

// Crashes is figure 12 of the paper of 2001: 500 nodes, all fingers refreshed in each
// round, and nodes that fail.
func Crashes(seed uint64, rate float64, lookups int) Churn {
	c := Paper(seed)
	c.Fingers = 0
	return Churn{Config: c, Nodes: 500, Rate: rate, Lookups: lookups, PerSecond: 1}
}

// Departures is table III of the paper of 2003: 1,000 nodes with lists of 20, all of which
// are used, and nodes that leave in peace.
func Departures(seed uint64, rate float64, lookups int) Churn {
	c := Paper(seed)
	c.List, c.WholeList = 20, true
	return Churn{Config: c, Nodes: 1000, Rate: rate, Politely: true, Lookups: lookups, PerSecond: 1}
}

// Churned is what came of lookups under churn.
type Churned struct {
	Walks // of those that found the key's node; Wrong: of the others
	// Hindered is how many lookups met a dead node, or ended at the wrong one: so many
	// fail if there is no second try.
	Hindered      int
	Joined, Ended int // nodes
}

// Rate is the share of the lookups that was hindered.
func (c *Churned) Rate() float64 { return float64(c.Hindered) / float64(c.Total()+c.Wrong) }

// Run grows the ring, has nodes come and go for a while, and then makes the lookups.
// Each is to find who is the key's node when it ends.
func (c Churn) Run(ctx context.Context) (Churned, error) {
	result := Churned{Walks: Walks{Paths: Paths{Nodes: c.Nodes}}}
	s, err := Grow(ctx, c.Config, c.Nodes)
	if err != nil {
		return result, err
	}
	wait := func(perSecond float64) time.Duration {
		return time.Duration(s.rnd.ExpFloat64() / perSecond * float64(time.Second))
	}
	warm := s.now + 20*c.Period
	join, end, look := s.now+wait(c.Rate), s.now+wait(c.Rate), warm+wait(c.PerSecond)
	for begun := 0; begun < c.Lookups; {
		next := min(join, end, look)
		if err := s.run(ctx, max(0, next-s.now)); err != nil {
			return result, err
		}
		switch next {
		case join:
			s.AddRandom()
			result.Joined++
			join += wait(c.Rate)
		case end:
			n := s.RandomNode()
			if c.Politely {
				s.Leave(n)
			} else {
				s.Kill(n)
			}
			result.Ended++
			end += wait(c.Rate)
		default:
			begun++
			look += wait(c.PerSecond)
			target := s.RandomPlace()
			s.Walk(s.RandomNode(), target, func(k Walk) {
				if k.Silent > 0 || k.End != s.Owner(target) {
					result.Hindered++
				}
				result.add(s, target, &k)
			})
		}
	}
	// The last ones are under way. Those whose node went meanwhile don't count.
	return result, s.run(ctx, 50*c.Patience)
}
