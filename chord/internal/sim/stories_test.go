package sim

import (
	"fmt"
	"testing"
	"time"

	"github.com/torc-dht/torc/internal/check"
	"github.com/torc-dht/torc/internal/simnet"
)

// What went wrong elsewhere. The names are those of the table of stories; each test is
// the scenario that its row has.

// etcd 3.4.3: locks were not safe when their holder was paused. Here the owner of a key
// is frozen for 2 s in the middle of calls that add it.
func TestEtcd343LocksUnderPauses(t *testing.T) {
	bear(t, config{nodes: 4, clients: 5, pace: ms, keys: 3, reads: 5}, func(w *world) {
		for range 5 {
			a := ownerOf(w.joined(), w.circle.OfKey(w.keys[w.rng.IntN(len(w.keys))])).addr
			w.freezeFor(a, 2*time.Second)
			w.run(4 * time.Second)
			w.quietly(15*time.Second, "the owner was woken")
		}
	})
}

// Olric 258: all that were started at once became two clusters. Here all join in the
// same instant, by whoever is there.
func TestOlric258AllAtOnce(t *testing.T) {
	t.Parallel()
	for seed := range uint64(100) {
		w := newWorld(config{seed: seed + 1, nodes: 3 + int(seed%6), clients: 2})
		for _, a := range w.nodes {
			w.net.Start(a)
		}
		w.startClients()
		w.quietly(settleWithin, "all were started")
		w.run(500 * ms)
		w.end()
		w.report(t)
	}
}

// Scalaris 59: three of four nodes were frozen, the fourth was written to, and when
// the others woke that was lost, or there were four values with one version.
func TestScalaris59ThreeOfFourFrozen(t *testing.T) {
	bear(t, config{nodes: 4, clients: 4, pace: 5 * ms, replicas: 3, tagged: true}, func(w *world) {
		for range 3 {
			left := w.nodes[w.rng.IntN(4)]
			for _, a := range w.nodes {
				if a != left {
					w.freezeFor(a, 9*time.Second)
				}
			}
			w.run(2 * time.Second)
			before := w.mark()
			if !w.until(6*time.Second, func() bool { return w.outcomes(before)[check.OK] > 0 }) && !w.failed() {
				w.fail("the one that is left doesn't answer: %s", w.runs[left].view())
				return
			}
			w.run(8 * time.Second)
			w.quietly(15*time.Second, "they were woken")
		}
	})
}

// Hazelcast 16732: after STOP and CONT reads answered "none" for a while.
func TestHazelcast16732NoneAfterCont(t *testing.T) {
	bear(t, config{nodes: 4, clients: 4, pace: ms, reads: 100}, func(w *world) {
		w.resting = true
		w.until(time.Second, func() bool { return !w.busy() })
		for _, key := range w.keys {
			w.do(w.clients[0], check.Operation{Op: check.Put, Key: check.Text(key)}, 0)
		}
		w.resting = false
		before := w.mark()
		for _, a := range w.nodes {
			w.freezeFor(a, 3*time.Second)
			w.run(5 * time.Second)
			w.quietly(15*time.Second, "one was woken")
		}
		if n := w.outcomes(before)[check.Missing]; n > 0 {
			w.fail("%d reads found nothing", n)
		}
	})
}

// Hazelcast 4481: data survived only if the first backup did. Here all holders but one
// are killed, each in turn.
func TestHazelcast4481AnyHolderWillDo(t *testing.T) {
	for left := range 4 {
		t.Run(fmt.Sprint(left), func(t *testing.T) {
			bear(t, config{nodes: 7, clients: 3, pace: 10 * ms, replicas: 3, bulk: 10}, func(w *world) {
				for range 2 {
					live := w.joined()
					i := w.rng.IntN(len(live))
					for k := range 4 { // the owner and its holders
						if k != left {
							w.killFor(live[(i+k)%len(live)].addr, 5*time.Second)
						}
					}
					w.run(6 * time.Second)
					w.quietly(15*time.Second, "three died")
				}
			})
		})
	}
}

// Hazelcast 11999 and 11542: entries were lost when a split healed. Both sides write
// different keys, and the same.
func TestHazelcast11999SplitHeals(t *testing.T) {
	bear(t, config{nodes: 5, clients: 4, pace: 10 * ms, keys: 8}, func(w *world) {
		for range 3 {
			w.splitFor(time.Duration(1+w.rng.IntN(10))*time.Second, 1+w.rng.IntN(2), w.rng)
			// Each on its own: what one split left is the beginning of the next.
			w.readAll()
			w.reunited()
		}
		w.forked = true
	})
}

// Olric 225: a replica was started again, then the owner was, and all was gone.
func TestOlric225OneRestartAfterTheOther(t *testing.T) {
	for _, nodes := range []int{2, 3, 5} {
		t.Run(fmt.Sprint(nodes), func(t *testing.T) {
			bear(t, config{nodes: nodes, clients: 3, pace: 5 * ms, bulk: 10}, func(w *world) {
				for i := range 12 {
					// The second as soon as the first is back.
					if !w.exactly(15*time.Second, func() bool { return len(w.joined()) == nodes && w.whole() }) {
						if !w.failed() {
							w.fail("nobody else ever has what one has: %s", w.unsettled()())
						}
						return
					}
					live := w.joined() // the holder, then the owner
					w.killFor(live[(i/2+1-i%2)%nodes].addr, time.Duration(w.rng.IntN(300))*ms)
					w.run(ms)
				}
			})
		})
	}
}

// Pragmatica 1136: a joiner counted as a copy while it was empty. Here everything is
// read through every node in the middle of every join.
func TestPragmatica1136ReadsInTheMiddleOfAJoin(t *testing.T) {
	bear(t, config{nodes: 2, clients: 6, pace: ms, reads: 80, bulk: 20}, func(w *world) {
		before := w.mark()
		for range 5 {
			a := w.join()
			for _, c := range w.clients[:3] {
				c.only = []simnet.Addr{a}
			}
			w.run(300 * ms)
			for _, c := range w.clients {
				c.only = nil
			}
			w.quietly(5*time.Second, "a join")
		}
		if n := w.outcomes(before); n[check.Failed] > 0 {
			w.fail("calls ended so: %v", n)
		}
	})
}

// go-libp2p-kad-dht 811 and 387: dead peers stayed for ever, and a table that was empty
// never filled again. Here a node is cut off until its lists are empty.
func TestLibp2p811And387EmptyTableFillsAgain(t *testing.T) {
	for _, d := range []time.Duration{5 * time.Second, time.Minute, 20 * time.Minute} {
		t.Run(d.String(), func(t *testing.T) {
			bear(t, config{nodes: 6, clients: 2, pace: 200 * ms, list: 3}, func(w *world) {
				w.cut()
				a := w.nodes[w.rng.IntN(len(w.nodes))]
				undo := w.net.Isolate(a)
				w.run(d)
				if v := w.runs[a].view(); len(v.Successors) > 0 && v.Successors[0] != w.runs[a].self {
					w.fail("%s is cut off, and has a list: %s", a, v)
				}
				undo()
				w.quietly(settleWithin, "it was joined again")
			})
		})
	}
}
