package sim

import (
	"bytes"
	"cmp"
	"flag"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/torc-dht/torc/internal/simnet"
	"github.com/torc-dht/torc/shard/slots"
)

var (
	seeds     = flag.Int("sim.seeds", 0, "how many seeds TestAnything tries; 0 is some, with TORC_SOAK set twenty times as many")
	firstSeed = flag.Uint64("sim.seed", 1, "the first seed of TestAnything")
	traceTo   = flag.String("sim.trace", "", "a file for the trace of the first seed")
)

// TestAnything lets faults of all kinds come by chance.
func TestAnything(t *testing.T) {
	t.Parallel()
	n := cmp.Or(*seeds, someSeeds)
	if *seeds == 0 && os.Getenv("TORC_SOAK") != "" {
		n = 20 * someSeeds
	}
	for i := range uint64(n) {
		seed := *firstSeed + i
		var trace bytes.Buffer
		c := chance(seed)
		if i == 0 && *traceTo != "" {
			c.trace = &trace
		}
		w := anything(c)
		if c.trace != nil {
			if err := os.WriteFile(*traceTo, trace.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		w.report(t)
		if w.failed() {
			t.Logf("again: go test ./shard/internal/sim -run TestAnything -sim.seeds 1 -sim.seed %d -sim.trace /tmp/trace", seed)
		}
	}
	if !t.Failed() {
		t.Logf("%d seeds\n%s", n, coverage)
	}
}

// chance chooses a table by a seed.
func chance(seed uint64) config {
	rng := rand.New(rand.NewPCG(seed, 1))
	c := config{seed: seed, servers: 2 + rng.IntN(4), clients: 2 + rng.IntN(3), pace: time.Duration(10+rng.IntN(40)) * time.Millisecond}
	c.master.Copies = 2
	switch rng.IntN(6) {
	case 0, 1:
		c.master.Copies = 3
	case 2:
		c.master.Copies, c.master.MinCopies = 3, 2
	}
	c.master.Persist = rng.IntN(3) == 0
	c.drift = rng.IntN(2) == 0
	if rng.IntN(4) == 0 {
		c.master.Placement = slots.Modulo
	}
	if c.intense = rng.IntN(3) == 0; c.intense {
		c.clients, c.pace = 6, 2*time.Millisecond
	}
	return c
}

// anything runs a table under faults by chance.
func anything(c config) *world {
	w := newWorld(c)
	rng := rand.New(rand.NewPCG(c.seed, 2))
	w.until(10*time.Second, func() bool { return rng.IntN(300) == 0 || w.unsettled() == nil })
	nodes := append(w.net.Addrs(), "")[:len(w.net.Addrs())]
	if c.drift {
		for _, a := range w.servers {
			w.net.ClockRate(a, 0.99+0.02*rng.Float64())
		}
	}
	length, every, ambushes := 20*time.Second, 200+rng.IntN(3000), rng.IntN(6)
	if c.intense {
		length, every, ambushes = 5*time.Second, 100+rng.IntN(800), 3+rng.IntN(6)
	}
	s := simnet.Nemesis{
		Nodes: nodes, Length: length, Quiet: time.Millisecond, MaxDown: 2,
		Every:   time.Duration(every) * time.Millisecond,
		Lasting: time.Duration(200+rng.IntN(2000)) * time.Millisecond,
		Reject:  refused,
	}.Schedule(c.seed)
	w.play(s)
	for range ambushes {
		w.net.At(w.net.Now()+time.Duration(rng.Int64N(int64(length))), func() { w.ambush(rng) })
	}
	for range rng.IntN(4) {
		at := time.Duration(rng.Int64N(int64(length)))
		switch rng.IntN(3) {
		case 0:
			w.net.At(w.net.Now()+at, func() {
				if len(w.live()) < 6 {
					w.join()
				}
			})
		case 1:
			w.net.At(w.net.Now()+at, func() {
				// Were one left that is out of reach, all would go with the others.
				l := slices.DeleteFunc(w.live(), func(n *serverNode) bool { return n.leaving })
				if len(l) > 3 {
					w.leave(l[rng.IntN(len(l))].addr)
				}
			})
		case 2:
			w.net.At(w.net.Now()+at, func() {
				if w.net.Up(masterAddr) {
					w.net.Call(masterAddr, func(now time.Duration) { w.master.core.Rebalance(mono(now)) })
				}
			})
		}
	}
	if rng := rand.New(rand.NewPCG(c.seed, 3)); !c.master.Persist && rng.IntN(6) == 0 {
		w.rival(rng, length)
	}
	w.run(length)
	w.heal()
	w.quiet(40 * time.Second)
	w.readAll()
	w.verify()
	return w
}

// refused says which faults don't come: rates of clocks that drift already, the
// death of clients, and what together would keep a message back for minutes.
func refused(p simnet.Planned, beside []simnet.Planned) bool {
	switch p.Kind {
	case simnet.ClockRate:
		return true
	case simnet.Kill, simnet.Freeze:
		return isClient(p.A)
	case simnet.Slow:
		return slices.ContainsFunc(beside, func(o simnet.Planned) bool { return o.Kind == simnet.Slow })
	}
	return false
}

// rival lets a second master come, which in the end is the only one.
func (w *world) rival(rng *rand.Rand, within time.Duration) {
	const other = "other"
	w.net.At(w.net.Now()+time.Duration(rng.Int64N(int64(within))), func() {
		w.addMaster(other)
		w.net.Start(other)
		for range 6 {
			w.net.At(w.net.Now()+time.Duration(rng.Int64N(int64(within))), func() {
				w.net.Reset(w.masters[rng.IntN(2)], w.servers[rng.IntN(len(w.servers))])
			})
		}
	})
	w.net.At(w.net.Now()+within, func() {
		w.lead, w.master = other, w.running[other]
		w.goneFor[masterAddr] = true
		w.net.Kill(masterAddr)
	})
}

func isClient(a simnet.Addr) bool { return strings.HasPrefix(string(a), "c") }

// play lets faults come and go, but for kills that nobody promises to survive, and
// of servers that have gone.
func (w *world) play(s simnet.Schedule) {
	start := w.net.Now()
	for _, p := range s {
		w.net.At(start+p.At, func() { w.inject(p) })
	}
}

func (w *world) inject(p simnet.Planned) {
	n := w.nodes[p.A]
	switch {
	case w.healed || w.goneFor[p.A]:
		return
	case n != nil && n.left:
		return
	case n != nil && p.Kind == simnet.Kill && !w.survives(p.A):
		return
	}
	undo := w.net.Inject(p.Fault)
	if p.For > 0 {
		w.net.At(w.net.Now()+p.For, func() {
			if !w.goneFor[p.A] {
				undo()
			}
		})
	}
}

// heal ends all faults but for servers that have left.
func (w *world) heal() {
	w.healed = true
	w.net.Heal()
	for _, a := range w.net.Addrs() {
		w.net.Thaw(a)
		if !w.goneFor[a] && (w.nodes[a] == nil || !w.nodes[a].left) {
			w.net.Start(a)
		}
	}
}
