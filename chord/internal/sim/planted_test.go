package sim

import (
	"testing"
	"time"

	"github.com/torc-dht/torc/chord/internal/msg"
	"github.com/torc-dht/torc/chord/internal/node"
	"github.com/torc-dht/torc/chord/internal/ring"
	"github.com/torc-dht/torc/internal/simnet"
)

// TestPlantedBugsAreFound breaks a rule at a time, and looks for the first seed that
// shows it.
func TestPlantedBugsAreFound(t *testing.T) {
	t.Parallel()
	for _, bug := range []struct {
		name   string
		within uint64 // seeds
		bugs   bugs
		run    func(seed uint64, b bugs) *world
	}{
		{"rectify is skipped", 100, bugs{ring: ring.Bugs{SkipRectify: true}}, untraced},
		{"the published join", 100, bugs{ring: ring.Bugs{PublishedJoin: true}}, untraced},
		{"a write is answered before the copies have it", 20, bugs{node: node.Bugs{AnswerEarly: true}}, hasty},
		{"a span is handed off while it is written to", 20, bugs{node: node.Bugs{NoFreeze: true}}, planted},
		{"promises are endless", 20, bugs{node: node.Bugs{ServePast: true}}, deaf},
		{"repeats are carried out again", 50, bugs{node: node.Bugs{Forgetful: true}}, planted},
	} {
		t.Run(bug.name, func(t *testing.T) {
			t.Parallel()
			for seed := range bug.within {
				if w := bug.run(*firstSeed+seed, bug.bugs); w.failed() {
					t.Logf("seed %d: %.300s", *firstSeed+seed, w.errs[0])
					return
				}
			}
			t.Errorf("not found by %d seeds", bug.within)
		})
	}
}

func untraced(seed uint64, b bugs) *world { return churn(seed, b, nil) }

// planted is a run of TestAnything in which nobody is cut off.
func planted(seed uint64, b bugs) *world {
	c := chance(seed)
	if c.style == cuts {
		c.style, c.latency = deaths, quickly
	}
	c.bugs = b
	return anything(c)
}

// hasty is a run in which owners die when they have just carried out a write.
func hasty(seed uint64, b bugs) *world {
	w := settled(config{seed: seed, nodes: 4, clients: 6, pace: ms, reads: 20, bugs: b})
	var victim simnet.Addr
	isWrite := item(msg.Write)
	w.onSent = append(w.onSent, func(from simnet.Addr, m any) {
		if from == victim && isWrite(m) {
			victim = ""
			w.after(0, func() { w.killFor(from, 100*ms) })
		}
	})
	for range 12 {
		if !w.until(10*time.Second, w.whole) {
			break
		}
		live := w.joined()
		victim = live[w.rng.IntN(len(live))].addr
		w.run(300 * ms)
	}
	victim = ""
	w.end()
	return w
}

// deaf is a run in which what an owner sends doesn't reach the node behind it, and what
// that one sends does, if late: the owner hears it for longer than it is heard, and must
// know by itself when it may not answer any more. It dies when it was taken over.
func deaf(seed uint64, b bugs) *world {
	w := settled(config{seed: seed, nodes: 2, clients: 6, pace: 2 * ms, bugs: b})
	live := w.joined()
	owner, behind := live[seed%2], live[1-seed%2]
	w.net.SetLatency(behind.addr, owner.addr, simnet.Latency{Min: 250 * ms, Max: 300 * ms})
	w.run(500 * ms)
	w.net.CutOneWay(owner.addr, behind.addr)
	was := behind.view().Counts.TakeOvers
	w.until(2*time.Second, func() bool { return behind.view().Counts.TakeOvers > was })
	w.kill(owner.addr)
	w.net.Heal()
	w.net.SetLatency(behind.addr, owner.addr, quickly)
	w.end()
	return w
}

// Nobody is wrong where there is no bug.
func TestNothingPlanted(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		hasty(seed+1, bugs{}).report(t)
		deaf(seed+1, bugs{}).report(t)
	}
}
