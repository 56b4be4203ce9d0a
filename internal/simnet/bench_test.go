package simnet

import (
	"fmt"
	"testing"
	"time"
)

// gossip is a node that answers each message with one to somebody else, so that
// as many messages are under way as there are nodes.
type gossip struct {
	peers    []Addr
	datagram bool
	send     bool
	next     time.Duration
}

func (g *gossip) Receive(time.Duration, Conn, int) { g.send = true }
func (g *gossip) Tick(now time.Duration)           { g.send, g.next = true, now+time.Second }
func (g *gossip) Connected(time.Duration, Conn)    {}
func (g *gossip) Disconnected(time.Duration, Conn) {}
func (g *gossip) Drain(p *Port[int]) {
	if g.send {
		g.send = false
		peer := g.peers[p.Rand().IntN(len(g.peers))]
		if g.datagram {
			p.Datagram(peer, 1)
		} else {
			p.SendTo(peer, 1)
		}
	}
	p.Alarm(g.next)
}

func BenchmarkEvents(b *testing.B) {
	for _, size := range []int{5, 5000} {
		for _, datagram := range []bool{false, true} {
			b.Run(fmt.Sprintf("nodes=%d/datagram=%v", size, datagram), func(b *testing.B) {
				n := New(Config[int]{Latency: Latency{Min: time.Millisecond, Max: 2 * time.Millisecond}})
				for i := range size {
					n.Add(Addr(fmt.Sprint("n", i)), func(p *Port[int]) Node[int] {
						g := &gossip{datagram: datagram}
						for k := range 8 {
							g.peers = append(g.peers, Addr(fmt.Sprint("n", (i+1+k*k*k)%size)))
						}
						return g
					})
				}
				n.StartAll()
				for _, nd := range n.nodes {
					for _, peer := range nd.machine.(*gossip).peers {
						if !datagram && peer != nd.addr {
							nd.port.Dial(peer)
						}
					}
				}
				n.Run(time.Second)
				b.ReportAllocs()
				start := n.Stats().Events
				for b.Loop() {
					n.step()
				}
				b.ReportMetric(float64(n.Stats().Events-start)/b.Elapsed().Seconds(), "events/s")
			})
		}
	}
}
