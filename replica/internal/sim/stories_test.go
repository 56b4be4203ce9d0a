package sim

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/torc-dht/torc/internal/simnet"
	"github.com/torc-dht/torc/replica/internal/msg"
)

// What went wrong elsewhere. The names are those of the table of stories; each
// test is the scenario that its row has.

// scenario is something that happens to a table at work.
type scenario func(*world, *rand.Rand)

// in runs it in one world, to the judgement.
func (what scenario) in(c config) *world {
	w := settled(c)
	w.run(300 * ms)
	what(w, rand.New(rand.NewPCG(c.seed, 4)))
	w.heal()
	w.end()
	return w
}

// bears runs a scenario over some seeds: what is promised holds.
func bears(t *testing.T, c config, what scenario) {
	t.Helper()
	t.Parallel()
	n := uint64(4)
	if soaks() {
		n = 300
	}
	if *traceTo != "" { // one seed alone
		var trace bytes.Buffer
		c.seed, c.trace = *firstSeed, &trace
		what.in(c).report(t)
		if err := os.WriteFile(*traceTo, trace.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	for seed := range n {
		c.seed = seed + 1
		what.in(c).report(t)
	}
}

// Redis with Sentinel lost 56 % of the acknowledged writes of a split.
func TestRedisSentinelLostWritesOfASplit(t *testing.T) {
	for _, nodes := range []int{3, 4} {
		t.Run(fmt.Sprint(nodes), func(t *testing.T) {
			bears(t, config{nodes: nodes, clients: 6, pace: 2 * ms, reads: 10, forks: true}, func(w *world, _ *rand.Rand) {
				leader := w.leading()
				side := []simnet.Addr{leader, "c0", "c1", "c2"}
				if nodes == 4 {
					side = append(side, w.follower(0))
				}
				before := w.net.Now()
				w.faultFor(simnet.Fault{Kind: simnet.Split, Groups: [][]simnet.Addr{side}}, 4*time.Second)
				if got := w.since(before); got.answered < 100 {
					w.fail("with a quorum on one side too few answers are without label: %v", got)
				}
				w.run(time.Second)
			})
		})
	}
}

// Redis-Raft lost everything on failover, and its brain split.
func TestRedisRaftLosesAllOnFailover(t *testing.T) {
	bears(t, config{nodes: 3, clients: 3, pace: 5 * ms}, func(w *world, rng *rand.Rand) {
		for range 50 {
			if !w.until(10*time.Second, func() bool { l := w.leader(); return l != nil && w.survives(l.addr) }) {
				if !w.failed() {
					w.fail("there is no leader that may be killed")
				}
				return
			}
			start := w.net.Kill(w.leading())
			w.at(time.Duration(rng.IntN(100))*ms, start)
			w.run(time.Duration(rng.IntN(30)) * ms)
		}
	})
}

// Redis-Raft read at a leader that had no entry of its own term yet.
func TestRedisRaftReadsBeforeItsTermsFirstEntry(t *testing.T) {
	for _, nodes := range []int{2, 3, 4} {
		t.Run(fmt.Sprint(nodes), func(t *testing.T) {
			bears(t, config{nodes: nodes, pace: 3 * ms}, func(w *world, rng *rand.Rand) {
				for range 8 {
					if w.leader() == nil || !w.survives(w.leading()) {
						w.run(500 * ms)
						continue
					}
					old := w.leading()
					start := w.net.Kill(old)
					// Answers to what a new leader appends come late.
					for _, a := range w.others(old) {
						for _, b := range w.others(old, a) {
							w.net.SetLatency(a, b, simnet.Latency{Min: ms, Max: time.Duration(2+rng.IntN(15)) * ms})
						}
					}
					w.exactly(2*time.Second, func() bool { return w.leader() != nil })
					w.readNowAt(w.leading())
					w.run(30 * ms)
					for _, a := range w.others(old) {
						for _, b := range w.others(old, a) {
							w.net.SetLatency(a, b, quickly)
						}
					}
					start()
					w.until(3*time.Second, w.steady)
				}
			})
		})
	}
}

// readNowAt lets every client that has nothing to do read all keys at a.
func (w *world) readNowAt(a simnet.Addr) {
	for _, c := range w.clients {
		c.use(a)
		for _, key := range w.keys {
			c.script = append(c.script, msg.Op{Kind: msg.Get, Key: key})
		}
	}
	w.at(giveUpAfter/4, func() {
		for _, c := range w.clients {
			c.use(w.servers...)
		}
	})
}

// etcd 0.4 and Consul read at whoever took himself for the leader.
func TestEtcdAndConsulReadAtAFormerLeader(t *testing.T) {
	bears(t, config{nodes: 3, clients: 4, pace: 3 * ms, forks: true}, func(w *world, rng *rand.Rand) {
		for range 4 {
			old := w.leading()
			reader := w.clients[0]
			reader.use(old)
			thaw := w.net.Freeze(old)
			w.run(time.Duration(100+rng.IntN(1500)) * ms)
			w.readNowAt(old)
			thaw()
			w.run(500 * ms)
			reader.use(w.servers...)
			w.until(3*time.Second, w.steady)
		}
	})
}

// etcd 20418: late answers to a first heartbeat confirmed the read repeated under
// the same context at a leader that was cut off.
func TestEtcd20418LateAnswersConfirmARead(t *testing.T) { bears(t, etcd20418, lateAnswers) }

var etcd20418 = config{nodes: 3, clients: 4, pace: 3 * ms, reads: 70, forks: true}

func lateAnswers(w *world, rng *rand.Rand) {
	for range 5 {
		leader := w.leading()
		// Little by little, or it would think that it had lost them.
		for late := 50 * ms; late < 600*ms; late += 50 * ms {
			for _, a := range w.others(leader) {
				w.net.SetLatency(a, leader, simnet.Latency{Min: late, Max: late + 10*ms})
			}
			w.run(100 * ms)
		}
		w.run(time.Duration(rng.IntN(100)) * ms)
		if w.leading() != leader {
			continue
		}
		w.covered("a leader that is answered late")
		// Nothing comes from it any more; answers to what it sent still arrive.
		for _, a := range w.others(leader) {
			w.at(900*ms, w.net.CutOneWay(leader, a))
		}
		for _, c := range w.clients[:2] {
			c.use(leader)
		}
		w.run(900 * ms)
		for _, a := range w.others(leader) {
			w.net.SetLatency(a, leader, quickly)
		}
		for _, c := range w.clients[:2] {
			c.use(w.servers...)
		}
		w.until(4*time.Second, w.steady)
	}
}

// etcd 14370: a cluster of one answered a write that a crash then took. Here the
// sole voter dies at each step between append and answer.
func TestEtcd14370SoleVoterDies(t *testing.T) {
	bears(t, config{nodes: 2, clients: 3, pace: 3 * ms, reads: 20}, func(w *world, rng *rand.Rand) {
		for steps := range 12 {
			if !w.until(5*time.Second, w.steady) {
				w.fail("not settled: %s", w.unsettled()())
				return
			}
			w.run(time.Duration(rng.IntN(20)) * ms)
			leader := w.leading()
			w.killAfter(leader, entry(isBatch), steps)
			w.run(300 * ms)
		}
	})
}

// killAfter kills a node, for a while, when it has sent a number of messages after
// the next one of some kind.
func (w *world) killAfter(a simnet.Addr, is func(*msg.Message) bool, steps int) {
	seen, over := false, false
	w.onSent = append(w.onSent, func(n *server, _ int, m *msg.Message) {
		if over || n.addr != a {
			return
		}
		if seen = seen || is(m); !seen {
			return
		}
		if steps--; steps < 0 {
			over = true
			w.at(0, func() {
				if w.survives(a) {
					w.at(100*ms, w.net.Kill(a))
				}
			})
		}
	})
}

// Consul 2644: reads of a server that was just started were stale.
func TestConsul2644StaleReadsAtStart(t *testing.T) {
	bears(t, config{nodes: 3, clients: 4, pace: ms, reads: 80}, func(w *world, rng *rand.Rand) {
		for range 10 {
			a := w.leading()
			if !w.survives(a) {
				w.run(200 * ms)
				continue
			}
			w.clients[0].use(a)
			w.clients[1].use(a)
			start := w.net.Kill(a)
			w.run(time.Duration(rng.IntN(60)) * ms)
			start()
			w.run(300 * ms)
		}
		for _, c := range w.clients {
			c.use(w.servers...)
		}
	})
}

// rqlite is linearizable at its strongest level only. Here reads go to followers.
func TestRqliteReadsAtFollowers(t *testing.T) {
	bears(t, config{nodes: 4, clients: 5, pace: ms, forks: true}, func(w *world, rng *rand.Rand) {
		for i := range 6 {
			leader := w.leading()
			for _, c := range w.clients[1:] {
				c.use(w.others(leader)...)
			}
			w.run(300 * ms)
			switch i % 3 {
			case 0:
				if w.survives(leader) {
					w.killFor(leader, 100*ms)
				}
			case 1:
				w.faultFor(simnet.Fault{Kind: simnet.Isolate, A: w.follower(0)}, 400*ms)
			case 2:
				w.faultFor(simnet.Fault{Kind: simnet.Freeze, A: leader}, 300*ms)
			}
		}
		for _, c := range w.clients {
			c.use(w.servers...)
		}
	})
}

// TiDB 2.1.7 repeated writes blindly and lost updates. Here an answer is lost, and
// the write is sent again at another node: after a snapshot, after a failover.
func TestTiDBBlindRetries(t *testing.T) {
	bears(t, config{nodes: 3, clients: 4, pace: 2 * ms, reads: 10, impatient: true}, func(w *world, rng *rand.Rand) {
		for i := range 12 {
			for _, c := range w.clients { // answers are lost
				w.net.Reset(simnet.Addr(fmt.Sprintf("c%d", c.id)), w.servers[rng.IntN(3)])
			}
			a := w.servers[i%3]
			if w.survives(a) {
				w.killFor(a, 40*ms) // it comes back by a snapshot
			}
			w.run(time.Duration(rng.IntN(200)) * ms)
		}
	})
}

// RethinkDB 2.1 changed its configuration in a split; VoltDB 6.3 read what was not
// answered yet. Here members come and go while a split moves.
func TestRethinkDBAndVoltDBChangesInASplit(t *testing.T) {
	bears(t, config{nodes: 4, clients: 5, pace: 3 * ms, forks: true}, func(w *world, rng *rand.Rand) {
		for range 8 {
			nodes := slices.Clone(w.servers)
			rng.Shuffle(len(nodes), func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
			side := append(nodes[:1+rng.IntN(2)], "c0", "c1")
			undo := w.net.Split(side)
			w.run(time.Duration(rng.IntN(500)) * ms)
			if a := w.servers[rng.IntN(4)]; w.survives(a) {
				w.at(time.Duration(rng.IntN(600))*ms, w.net.Kill(a))
			}
			w.run(time.Duration(rng.IntN(700)) * ms)
			undo()
			w.run(time.Duration(rng.IntN(300)) * ms)
		}
	})
}

// Olric 258: all that were started at once became two clusters.
func TestOlric258AllAtOnce(t *testing.T) {
	t.Parallel()
	for seed := range uint64(100) {
		w := started(config{seed: seed + 1, nodes: 2 + int(seed%3), startClients: ms})
		epochs := make(map[msg.Epoch]bool)
		if !w.until(5*time.Second, w.steady) && !w.failed() {
			w.fail("not settled: %s", w.unsettled()())
		}
		w.run(500 * ms)
		for _, n := range w.up() {
			epochs[n.stand().epoch] = true
		}
		if len(epochs) != 1 {
			w.fail("there are %d epochs", len(epochs))
		}
		if got := w.since(0); got.labelled > 0 {
			w.fail("all were there at once, and %d answers bear the label", got.labelled)
		}
		w.end()
		w.report(t)
	}
}

// Olric 225: a replica was started again, then the owner was, and all was gone.
func TestOlric225OneRestartAfterTheOther(t *testing.T) {
	for _, nodes := range []int{2, 3} {
		t.Run(fmt.Sprint(nodes), func(t *testing.T) {
			bears(t, config{nodes: nodes, pace: 5 * ms}, func(w *world, rng *rand.Rand) {
				for i := range 12 {
					a := w.servers[i%nodes]
					// The next as soon as the one before is back.
					if !w.exactly(5*time.Second, func() bool { return w.survives(a) }) {
						w.fail("nobody else ever has what %s has", a)
						return
					}
					start := w.net.Kill(a)
					w.run(time.Duration(rng.IntN(20)) * ms)
					start()
				}
			})
		})
	}
}

// The known hard case: one grows to three, commits alone, and dies before the
// others, learners yet, have applied that they are members.
func TestSoleVoterDiesWhileOthersJoin(t *testing.T) {
	t.Parallel()
	n := uint64(30)
	if soaks() {
		n = 600
	}
	for seed := range n {
		w := newWorld(config{seed: seed + 1, nodes: 3, clients: 3, pace: 2 * ms})
		rng := rand.New(rand.NewPCG(seed, 5))
		w.net.Start("n1")
		w.startClients()
		w.until(5*time.Second, func() bool { return w.since(0).labelled > 20 })
		is := []func(*msg.Message) bool{entry(isView), entry(isConf), step(raftpb.MsgSnap), kind(msg.KindChunk)}[rng.IntN(4)]
		w.killAfter("n1", is, rng.IntN(20))
		w.net.Start("n2")
		w.run(time.Duration(rng.IntN(20)) * ms)
		w.net.Start("n3")
		w.run(time.Second)
		w.heal()
		w.end()
		w.report(t)
	}
}
