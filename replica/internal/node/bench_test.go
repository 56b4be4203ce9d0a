package node

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/torc-dht/torc/replica/internal/msg"
)

// BenchmarkSwaps is what the machine itself costs: nodes that hand each other
// messages directly, 64 clients that wait for their answers, all at the leader.
func BenchmarkSwaps(b *testing.B) {
	for _, slots := range []int{1, 3, 4} {
		b.Run(fmt.Sprintf("nodes=%d", slots), func(b *testing.B) {
			nodes := make([]*Node, slots)
			for s := range nodes {
				nodes[s] = New(Config{Slot: s, Slots: slots, Rand: rand.New(rand.NewPCG(uint64(s), 7)), Wall: func(now time.Duration) uint64 { return uint64(now / 1000) }}, 0)
			}
			for s := range nodes {
				for o := range nodes {
					if o != s {
						nodes[s].Connected(0, o)
					}
				}
			}
			var now time.Duration
			var out Output
			var seq, done uint64
			value := make([]byte, 100)
			ask := func() {
				seq++
				nodes[0].Do(now, seq, &msg.Op{ID: msg.OpID{Client: 9, Seq: seq, Acked: max(seq, 65) - 65}, Kind: msg.Put, Key: fmt.Sprint("key", seq%1000), Value: value})
			}
			round := func(answered func()) {
				now += 100 * time.Microsecond
				for s, n := range nodes {
					if n.Next() <= now {
						n.Tick(now)
					}
					out.Send, out.Replies = out.Send[:0], out.Replies[:0]
					n.Drain(&out)
					for _, o := range out.Send {
						nodes[o.Slot].Receive(now, s, o.M)
					}
					for range out.Replies {
						answered()
					}
				}
			}
			for !nodes[0].Status().Serving {
				round(func() {})
			}
			b.ReportAllocs()
			b.ResetTimer()
			for range 64 {
				ask()
			}
			for done < uint64(b.N) {
				round(func() {
					done++
					ask()
				})
			}
		})
	}
}
