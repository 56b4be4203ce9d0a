package simnet

import (
	"testing"
	"time"
)

// After any schedule and some quiet nothing is left over: each node that dialed
// has one connection, and each connection has two ends.
func TestNoConnectionIsLeftOver(t *testing.T) {
	t.Parallel()
	for seed := range uint64(100) {
		n := New(Config[int]{Seed: seed})
		for _, a := range abcde {
			n.Add(a, func(p *Port[int]) Node[int] {
				for _, peer := range abcde {
					if peer != a {
						p.Dial(peer)
					}
				}
				p.Alarm(p.Now())
				return &gossip{peers: abcde}
			})
		}
		n.StartAll()
		n.Play(Nemesis{Nodes: abcde, Length: 30 * time.Second, Every: 300 * time.Millisecond, MaxDown: 4}.Schedule(seed))
		n.Run(30 * time.Second)
		inUse := 0
		for _, c := range n.conns {
			if c.id == 0 {
				continue
			}
			inUse++
			if c.ends[0].state != up || c.ends[1].state != up || c.bad {
				t.Fatalf("seed %d: %+v", seed, c.ends)
			}
		}
		if inUse != 20 || len(n.freeConns)+inUse != len(n.conns) {
			t.Fatalf("seed %d: %d connections in use, %d free, of %d", seed, inUse, len(n.freeConns), len(n.conns))
		}
	}
}
