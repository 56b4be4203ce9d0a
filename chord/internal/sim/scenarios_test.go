package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/torc-dht/torc/internal/check"
	"github.com/torc-dht/torc/internal/simnet"
)

// undisturbed holds that calls since a mark were all answered, none after longer than
// a time.
func (w *world) undisturbed(since int, within time.Duration) {
	got := w.outcomes(since)
	if got[check.Failed]+got[check.Unknown] > 0 || w.longest(since) > within {
		w.fail("calls ended so: %v, after up to %v", got, w.longest(since))
	}
}

// quietly waits until all is as it shall be, while calls go on.
func (w *world) quietly(within time.Duration, after string) {
	began := w.net.Now()
	if !w.until(within, func() bool { return w.unsettled() == nil }) && !w.failed() {
		w.fail("%v after %s the ring is not settled: %s", w.net.Now()-began, after, w.unsettled()())
	}
}

func TestNothingHappens(t *testing.T) {
	for _, c := range []config{
		{nodes: 1, bits: 1, replicas: -1}, {nodes: 2, bits: 1}, {nodes: 8, bits: 3, replicas: 2}, {nodes: 4, bits: 3, replicas: 3},
		{nodes: 3, bits: 10, replicas: -1}, {nodes: 12, bits: 100, list: 3}, {nodes: 5, bits: 160, replicas: 3}, {nodes: 3, replicas: 3},
	} {
		t.Run(fmt.Sprintf("%d nodes, %d bits, %d copies", c.nodes, c.bits, c.replicas), func(t *testing.T) {
			c.latency, c.impatient = quickly, true
			bear(t, c, func(w *world) {
				before := w.mark()
				w.run(5 * time.Second)
				w.undisturbed(before, 30*ms)
			})
		})
	}
}

// Nobody's call fails while a node joins, and none waits for long.
func TestJoinUnderLoad(t *testing.T) {
	bear(t, config{nodes: 3, clients: 6, pace: 2 * ms, bulk: 40, latency: quickly, tagged: true}, func(w *world) {
		before := w.mark()
		for range 6 {
			w.join()
			w.quietly(5*time.Second, "a join")
		}
		w.undisturbed(before, 100*ms)
	})
}

func TestLeaveUnderLoad(t *testing.T) {
	for _, replicas := range []int{-1, 1, 2} {
		t.Run(fmt.Sprint(replicas), func(t *testing.T) {
			bear(t, config{nodes: 6, clients: 6, pace: 2 * ms, bulk: 40, latency: quickly, replicas: replicas, tagged: true}, func(w *world) {
				before := w.mark()
				for _, a := range w.nodes[:5] {
					w.leave(a)
					if !w.until(5*time.Second, func() bool { return !w.net.Up(a) }) && !w.failed() {
						w.fail("%s could not leave: %s", a, w.runs[a].view())
					}
					w.quietly(5*time.Second, "a leave")
				}
				w.undisturbed(before, 250*ms)
			})
		})
	}
}

// single are the faults that come one at a time.
var single = []struct {
	name string
	of   func(w *world, a simnet.Addr)
}{
	{"join", func(w *world, a simnet.Addr) { w.join() }},
	{"leave", func(w *world, a simnet.Addr) { w.leave(a) }},
	{"fail", func(w *world, a simnet.Addr) { w.failNode(a) }},
	{"kill", func(w *world, a simnet.Addr) { w.kill(a) }},
	{"kill, and back at once", func(w *world, a simnet.Addr) { w.killFor(a, ms) }},
	{"kill, and back", func(w *world, a simnet.Addr) { w.killFor(a, 400*ms) }},
	{"freeze for 300 ms", func(w *world, a simnet.Addr) { w.freezeFor(a, 300*ms) }},
	{"freeze for 700 ms", func(w *world, a simnet.Addr) { w.freezeFor(a, 700*ms) }},
	{"freeze for 1.3 s", func(w *world, a simnet.Addr) { w.freezeFor(a, 1300*ms) }},
	{"freeze for 5 s", func(w *world, a simnet.Addr) { w.freezeFor(a, 5*time.Second) }},
	{"freeze for a minute", func(w *world, a simnet.Addr) { w.freezeFor(a, time.Minute) }},
}

// One at a time, at any moment, each fault is borne.
func TestOneAtATime(t *testing.T) {
	for _, f := range single {
		for _, replicas := range []int{1, 2, 3} {
			t.Run(fmt.Sprintf("%s, %d copies", f.name, replicas), func(t *testing.T) {
				bear(t, config{nodes: 5, clients: 4, pace: 5 * ms, replicas: replicas, bulk: 5}, func(w *world) {
					for i := range 4 {
						live := w.joined()
						if len(live) < 3 {
							w.join()
							w.quietly(10*time.Second, "a join")
							live = w.joined()
						}
						f.of(w, live[w.rng.IntN(len(live))].addr)
						w.run(time.Duration(w.rng.IntN(3000)) * ms)
						for _, a := range w.nodes {
							w.net.Thaw(a)
						}
						w.quietly(15*time.Second, fmt.Sprintf("%s %d", f.name, i+1))
					}
				})
			})
		}
	}
}

// What died is repaired soon: each pair has all its copies within 2 s, and is answered
// within one.
func TestRepairedSoon(t *testing.T) {
	for _, name := range []string{"fail", "kill"} {
		t.Run(name, func(t *testing.T) {
			bear(t, config{nodes: 6, clients: 4, pace: 5 * ms, bulk: 60, latency: quickly}, func(w *world) {
				before := w.mark()
				for range 3 {
					live := w.joined()
					a := live[w.rng.IntN(len(live))].addr
					if name == "kill" {
						w.kill(a)
					} else {
						w.failNode(a)
					}
					w.run(ms)
					if !w.until(2*time.Second, w.whole) && !w.failed() {
						w.fail("2 s after a %s not all pairs have all their copies: %s", name, w.unsettled()())
					}
					w.quietly(10*time.Second, "a "+name)
				}
				if d := w.longest(before); d > time.Second {
					w.fail("a call took %v", d)
				}
			})
		})
	}
}

// Two that follow each other go at one time, and with two copies nothing is lost.
func TestTwoAdjacent(t *testing.T) {
	for _, f := range single[2:] {
		t.Run(f.name, func(t *testing.T) {
			bear(t, config{nodes: 6, clients: 4, pace: 5 * ms, replicas: 2, bulk: 10}, func(w *world) {
				live := w.joined()
				i := w.rng.IntN(len(live))
				f.of(w, live[i].addr)
				w.run(time.Duration(w.rng.IntN(2)*w.rng.IntN(300)) * ms)
				f.of(w, live[(i+1)%len(live)].addr)
				w.run(8 * time.Second)
			})
		})
	}
}

// A single link is cut, whichever, for whatever time. When it is mended all agree again
// within 10 s, and nothing newer was overwritten.
func TestSingleLinkCut(t *testing.T) {
	for _, d := range []time.Duration{500 * ms, 2 * time.Second, 20 * time.Second} {
		for _, oneWay := range []bool{false, true} {
			t.Run(fmt.Sprintf("%v, one way %v", d, oneWay), func(t *testing.T) {
				bear(t, config{nodes: 5, clients: 4, pace: 10 * ms}, func(w *world) {
					live := w.joined()
					i := w.rng.IntN(len(live))
					a, b := live[i].addr, live[(i+1+w.rng.IntN(4))%len(live)].addr
					w.cut()
					kind := simnet.Cut
					if oneWay {
						kind = simnet.CutOneWay
					}
					undo := w.net.Inject(simnet.Fault{Kind: kind, A: a, B: b})
					w.run(d)
					undo()
					w.quietly(10*time.Second, fmt.Sprintf("the link of %s and %s was mended", a, b))
				})
			})
		}
	}
}

// Of all messages a share is lost; nodes come and go.
func TestLoss(t *testing.T) {
	for _, share := range []float64{0.01, 0.1, 0.3} {
		t.Run(fmt.Sprint(share), func(t *testing.T) {
			bear(t, config{nodes: 4, clients: 3, replicas: 2, latency: lossy(share)}, func(w *world) {
				w.forked = true
				w.join()
				w.run(4 * time.Second)
				w.leave(w.nodes[0])
				w.run(4 * time.Second)
				if w.bears(w.nodes[1]) {
					w.kill(w.nodes[1])
				}
				w.run(4 * time.Second)
			})
		})
	}
}

// The ring is cut in two for a minute. Both sides answer; when they have met there is
// one ring, and of each key the newest value.
func TestSplitForAMinute(t *testing.T) {
	for _, left := range []int{1, 2, 3} {
		t.Run(fmt.Sprintf("%d of 6", left), func(t *testing.T) {
			bear(t, config{nodes: 6, clients: 4, pace: 20 * ms, bulk: 5}, func(w *world) {
				w.splitFor(time.Minute, left, w.rng)
				if n := w.overwritten(); n == 0 {
					w.fail("both sides wrote, and nothing was counted as overwritten")
				}
			})
		})
	}
}

// splitFor cuts some of the nodes, and half of the clients, off from the others for a
// time, and waits until there is one ring.
func (w *world) splitFor(d time.Duration, left int, rng *rand.Rand) {
	w.cut()
	side := slices.Clone(w.nodes)
	rng.Shuffle(len(side), func(i, j int) { side[i], side[j] = side[j], side[i] })
	side = side[:left]
	for i := range len(w.clients) / 2 {
		side = append(side, clientAddr(i))
	}
	undo := w.net.Split(side)
	w.run(d)
	for _, n := range w.joined() {
		w.net.Call(n.addr, func(time.Duration) {}) // a line in the trace
	}
	undo()
	w.quietly(settleWithin, "the ring was joined")
}

// overwritten is how many entries gave way to newer ones when owners met.
func (w *world) overwritten() (sum uint64) {
	for _, n := range w.live() {
		sum += n.view().Counts.Overwritten
	}
	return sum
}

// Whoever was frozen answers nothing old, however long it was.
func TestWokenAnswersNothingOld(t *testing.T) {
	for _, d := range []time.Duration{300 * ms, 650 * ms, 900 * ms, 1300 * ms, 2500 * ms, 10 * time.Second, 3 * time.Minute} {
		t.Run(d.String(), func(t *testing.T) {
			bear(t, config{nodes: 4, clients: 6, pace: 3 * ms, reads: 60}, func(w *world) {
				for range 3 {
					live := w.joined()
					a := live[w.rng.IntN(len(live))].addr
					for _, c := range w.clients[:3] {
						c.only = []simnet.Addr{a} // they ask whoever is frozen
					}
					w.run(100 * ms)
					w.freezeFor(a, d)
					w.run(d + 400*ms)
					for _, c := range w.clients {
						c.only = nil
					}
					w.quietly(15*time.Second, "it was woken")
				}
			})
		})
	}
}

// do carries out one call by a client and returns what became of it.
func (w *world) do(c *client, op check.Operation, ttl time.Duration) *calling {
	var got *calling
	c.done = func(q *calling) {
		if q.op.Key == op.Key && q.op.Op == op.Op {
			got = q
		}
	}
	c.ttl = ttl
	c.scripts = append(c.scripts, op)
	if !w.until(2*giveUpAfter, func() bool { return got != nil }) && !w.failed() {
		w.fail("%v is not over", op)
	}
	c.done, c.ttl = nil, 0
	if got == nil {
		got = new(calling)
	}
	return got
}

// Entries that are to go after a time go, whoever owns them, and not before.
func TestExpiry(t *testing.T) {
	bear(t, config{nodes: 4, clients: 2, replicas: 1, latency: quickly}, func(w *world) {
		const ttl = 4 * time.Second
		w.resting = true
		w.until(time.Second, func() bool { return !w.busy() })
		for i := range 4 {
			key := check.Text(fmt.Sprintf("t%d", i))
			w.do(w.clients[0], check.Operation{Op: check.Put, Key: key}, ttl)
			began := w.net.Now()
			owner := ownerOf(w.joined(), w.circle.OfKey(string(key)))
			switch i {
			case 0:
				w.kill(owner.addr)
			case 1:
				w.leave(owner.addr)
			case 2:
				w.join()
			}
			w.run(ttl/2 - (w.net.Now() - began))
			if q := w.do(w.clients[1], check.Operation{Op: check.Get, Key: key}, ttl); q.op.Outcome != check.OK {
				w.fail("gone too early: %v", q.op)
			}
			w.run(ttl + 50*ms - (w.net.Now() - began))
			if q := w.do(w.clients[1], check.Operation{Op: check.Get, Key: key}, ttl); q.op.Outcome != check.Missing {
				w.fail("there too long: %v", q.op)
			}
			w.quietly(10*time.Second, "a change")
		}
		w.resting = false
	})
}

// A node that is full refuses writes, goes on reading, and loses nothing.
func TestMemoryLimit(t *testing.T) {
	bear(t, config{nodes: 4, clients: 3, limit: 400 << 10, bulk: 60}, func(w *world) {
		w.run(3 * time.Second)
		if w.outcomes(0)[check.Failed] == 0 {
			w.fail("nobody was ever full")
		}
		for _, n := range w.live() {
			if b := n.view().Bytes; b > w.cfg.limit*3/2 {
				w.fail("%s has %d bytes, and may have %d", n.addr, b, w.cfg.limit)
			}
		}
		live := w.joined()
		w.kill(live[0].addr)
		w.run(3 * time.Second)
	})
}
