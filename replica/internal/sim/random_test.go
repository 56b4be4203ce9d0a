package sim

import (
	"bytes"
	"cmp"
	"flag"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/torc-dht/torc/internal/simnet"
)

var (
	seeds     = flag.Int("sim.seeds", 0, "how many seeds TestAnything tries; 0 is some, with TORC_SOAK set twenty times as many")
	firstSeed = flag.Uint64("sim.seed", 1, "the first seed")
	traceTo   = flag.String("sim.trace", "", "a file for the trace of the first seed, of TestAnything or of a scenario")
)

// someSeeds is how many TestAnything tries, and fewSeeds when tests are to be short.
const (
	someSeeds = 2000
	fewSeeds  = 200
)

func soaks() bool { return os.Getenv("TORC_SOAK") != "" }

// TestAnything lets faults of all kinds come by chance.
func TestAnything(t *testing.T) {
	t.Parallel()
	n := cmp.Or(*seeds, someSeeds)
	switch {
	case *seeds != 0:
	case soaks():
		n = 20 * someSeeds
	case testing.Short():
		n = fewSeeds
	}
	wrong := 0
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
		if w.report(t); w.failed() {
			t.Logf("again: go test ./replica/internal/sim -run TestAnything -sim.seeds 1 -sim.seed %d -sim.trace /tmp/trace", seed)
			if wrong++; wrong == 20 {
				t.Fatalf("that is enough, of %d seeds", i+1)
			}
		}
	}
	if t.Failed() {
		return
	}
	t.Logf("%d seeds\n%s", n, coverage)
	if n >= fewSeeds {
		if missing := slices.DeleteFunc(coverage.Missing(), func(name string) bool { return rarely(name, n) }); len(missing) > 0 {
			t.Errorf("no seed came by %q", missing)
		}
	}
}

// style is which faults a run has.
type style int

const (
	deaths style = iota // of processes, and resets: nothing is lost, label or not
	cuts                // of the network, too
	all
)

// chance chooses a table by a seed.
func chance(seed uint64) config {
	rng := rand.New(rand.NewPCG(seed, 1))
	c := config{
		seed: seed, nodes: []int{1, 2, 2, 3, 3, 3, 4, 4, 4, 4}[rng.IntN(10)],
		clients: 2 + rng.IntN(3), pace: time.Duration(5+rng.IntN(40)) * time.Millisecond,
		keys: 3 + rng.IntN(3), mixed: rng.IntN(2) == 0, impatient: rng.IntN(2) == 0, bytes: rng.IntN(2) == 0,
		refuse:  rng.IntN(8) == 0,
		silence: []time.Duration{300 * time.Millisecond, 2 * time.Second, 4 * time.Second}[rng.IntN(3)],
		style:   style(rng.IntN(3)),
	}
	if c.intense = rng.IntN(4) == 0; c.intense {
		c.pace = time.Duration(1+rng.IntN(5)) * time.Millisecond
	}
	c.startClients = time.Duration(rng.IntN(1500)) * time.Millisecond
	if rng.IntN(2) == 0 {
		c.skew = time.Duration(rng.IntN(2000)) * time.Millisecond
	}
	if rng.IntN(4) == 0 {
		c.latency = lossy([]int{1000, 100, 20}[rng.IntN(3)])
		if c.style == deaths {
			c.style = all // a message that is late is as good as a cut
		}
	}
	return c
}

// anything runs a table under faults by chance.
func anything(c config) *world {
	w := newWorld(c)
	rng := rand.New(rand.NewPCG(c.seed, 2))
	w.startAnyhow(rng)
	length := time.Duration(4+rng.IntN(8)) * time.Second
	every, lasting, ambushes := 100+rng.IntN(1500), 20+rng.IntN(1500), rng.IntN(6)
	if c.intense {
		length, every, lasting, ambushes = 3*time.Second, 10+rng.IntN(150), 5+rng.IntN(400), 4+rng.IntN(12)
	}
	w.drift(rng, length)
	s := simnet.Nemesis{
		Nodes: w.net.Addrs(), Length: length, Quiet: time.Millisecond, MaxDown: c.nodes,
		Every:   time.Duration(every) * time.Millisecond,
		Lasting: time.Duration(lasting) * time.Millisecond,
		Weights: weights[c.style],
		Reject:  refused,
	}.Schedule(c.seed)
	w.play(s)
	for range ambushes {
		w.at(time.Duration(rng.Int64N(int64(length))), func() { w.ambush(rng) })
	}
	if c.style == deaths && rng.IntN(2) == 0 {
		w.assassin(rng, w.net.Now()+length)
	}
	w.run(length)
	w.heal()
	w.end()
	return w
}

// assassin kills who leads, or anybody, again and again until some time, and has
// him back soon.
func (w *world) assassin(rng *rand.Rand, until time.Duration) {
	most := []int{10, 50, 200}[rng.IntN(3)]
	var strike func()
	strike = func() {
		if w.healed || w.net.Now() >= until {
			return
		}
		a := w.servers[rng.IntN(len(w.servers))]
		if l := w.leader(); l != nil && rng.IntN(4) > 0 {
			a = l.addr
		}
		w.inject(simnet.Planned{For: time.Duration(1+rng.IntN(2*most)) * ms, Fault: simnet.Fault{Kind: simnet.Kill, A: a}})
		w.at(time.Duration(1+rng.IntN(most))*ms, strike)
	}
	w.at(time.Duration(rng.IntN(most))*ms, strike)
}

// startAnyhow starts all at one instant, or one after the other, or leaves some
// for later.
func (w *world) startAnyhow(rng *rand.Rand) {
	switch rng.IntN(4) {
	case 0, 1:
		for _, a := range w.servers {
			w.net.Start(a)
		}
	default:
		most := 200 + rng.Int64N(2)*1800
		for _, a := range w.servers {
			w.at(time.Duration(rng.Int64N(most))*time.Millisecond, func() { w.net.Start(a) })
		}
	}
	w.startClients()
	if rng.IntN(3) > 0 {
		w.until(5*time.Second, w.steady)
	}
}

// drift gives clocks rates that differ by up to 1 %, and lets those of the day jump.
func (w *world) drift(rng *rand.Rand, within time.Duration) {
	for slot, a := range w.servers {
		if rng.IntN(3) == 0 {
			w.net.ClockRate(a, 0.99+0.02*rng.Float64())
		}
		if rng.IntN(4) == 0 {
			by := []int64{1e3, 1e6, 60e6, 3600e6, 86400e6}[rng.IntN(5)] * (1 - 2*rng.Int64N(2))
			w.at(time.Duration(rng.Int64N(int64(within))), func() { w.offset[slot] += by })
		}
	}
}

var weights = map[style]map[simnet.Kind]int{
	deaths: {simnet.Kill: 6, simnet.Reset: 1},
	cuts:   {simnet.Cut: 4, simnet.CutOneWay: 3, simnet.Isolate: 3, simnet.Split: 3, simnet.Reset: 2, simnet.Kill: 3},
	all: {
		simnet.Cut: 4, simnet.CutOneWay: 3, simnet.Isolate: 3, simnet.Split: 2, simnet.Reset: 4, simnet.Slow: 1,
		simnet.Kill: 8, simnet.Freeze: 6,
	},
}

// refused says which faults don't come: the death of clients, and what together
// would keep a message back for minutes.
func refused(p simnet.Planned, beside []simnet.Planned) bool {
	switch p.Kind {
	case simnet.Kill, simnet.Freeze, simnet.Isolate:
		return isClient(p.A)
	case simnet.Slow:
		return p.X > 16 || slices.ContainsFunc(beside, func(o simnet.Planned) bool { return o.Kind == simnet.Slow })
	}
	return false
}

// play lets faults come and go, but for deaths that nobody promises to survive.
func (w *world) play(s simnet.Schedule) {
	start := w.net.Now()
	for _, p := range s {
		w.net.At(start+p.At, func() { w.inject(p) })
	}
}

func (w *world) inject(p simnet.Planned) {
	if w.healed || p.Kind == simnet.Kill && !w.survives(p.A) {
		return
	}
	if p.Kind != simnet.Kill && p.Kind != simnet.Reset {
		w.forked = true
	}
	undo := w.net.Inject(p.Fault)
	if p.For > 0 {
		w.at(p.For, undo)
	}
}

// lossy is a network in which one in some messages is late by TCP's shortest
// time-out, and so are those behind it.
func lossy(oneIn int) simnet.Latency {
	return simnet.Latency{Min: quickly.Min, Max: quickly.Max, Tail: 210 * ms, TailOneIn: oneIn}
}

// heal ends all faults.
func (w *world) heal() {
	w.healed = true
	w.net.Heal()
	if w.cfg.latency.Tail > 0 {
		for _, a := range w.net.Addrs() {
			for _, b := range w.net.Addrs() {
				w.net.SetLatency(a, b, quickly)
			}
		}
	}
	for _, a := range w.net.Addrs() {
		w.net.Thaw(a)
		w.net.Start(a)
	}
}
