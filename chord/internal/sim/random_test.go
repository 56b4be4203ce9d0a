package sim

import (
	"cmp"
	"flag"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
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
	someSeeds = 500
	fewSeeds  = 60
)

func soaks() bool { return os.Getenv("TORC_SOAK") != "" }

func writeTrace(t *testing.T, text string) {
	if err := os.WriteFile(*traceTo, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

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
		var trace strings.Builder
		c := chance(seed)
		if i == 0 && *traceTo != "" {
			c.trace = &trace
		}
		w := anything(c)
		if c.trace != nil {
			writeTrace(t, trace.String())
		}
		if w.report(t); w.failed() {
			t.Logf("again: go test ./chord/internal/sim -run TestAnything -sim.seeds 1 -sim.seed %d -sim.trace /tmp/trace", seed)
			if wrong++; wrong == 200 {
				t.Fatalf("that is enough, of %d seeds", i+1)
			}
		}
	}
	if t.Failed() {
		return
	}
	t.Logf("%d seeds\n%s", n, coverage)
	if n >= someSeeds {
		if missing := slices.DeleteFunc(coverage.Missing(), func(name string) bool { return rarely(name, n) }); len(missing) > 0 {
			t.Errorf("no seed came by %q", missing)
		}
	}
}

// chance chooses a ring by a seed.
func chance(seed uint64) config {
	rng := rand.New(rand.NewPCG(seed, 1))
	c := config{
		seed: seed, bits: []int{3, 5, 8, 16, 64, 160}[rng.IntN(6)], replicas: []int{-1, 1, 1, 1, 2, 2, 3}[rng.IntN(7)],
		nodes: 1 + rng.IntN(6), clients: 2 + rng.IntN(3), pace: time.Duration(5+rng.IntN(40)) * ms,
		keys: 4 + rng.IntN(5), impatient: rng.IntN(2) == 0, bulk: rng.IntN(2) * rng.IntN(20),
		style: []style{gentle, deaths, deaths, deaths, deaths, cuts, cuts}[rng.IntN(7)],
	}
	if rng.IntN(3) == 0 {
		c.list = max(2, c.replicas+1)
	}
	if c.replicas == -1 && c.style == deaths {
		c.style = gentle
	}
	if c.intense = rng.IntN(4) == 0; c.intense {
		c.pace = time.Duration(1+rng.IntN(5)) * ms
	}
	if rng.IntN(8) == 0 {
		c.latency = lossy([]float64{0.01, 0.1, 0.3}[rng.IntN(3)])
		c.style = cuts // a message that is late is as good as a cut
	}
	if c.style != cuts && rng.IntN(2) == 0 {
		c.skew = time.Duration(rng.IntN(3000)) * ms
	}
	return c
}

// lossy is a network that loses a share of the messages: each is late by TCP's
// shortest time-out, and so are those behind it.
func lossy(share float64) simnet.Latency {
	return simnet.Latency{Min: quickly.Min, Max: quickly.Max, Tail: 210 * ms, TailOneIn: int(1 / share)}
}

// anything runs a ring under faults by chance.
func anything(c config) *world {
	w := newWorld(c)
	if w.cfg.latency.Tail > 0 {
		w.forked = true
	}
	rng := rand.New(rand.NewPCG(c.seed, 2))
	w.startNodes()
	w.startClients()
	if rng.IntN(4) > 0 {
		w.until(10*time.Second, func() bool { return w.unsettled() == nil })
	}
	length := time.Duration(4+rng.IntN(8)) * time.Second
	every, lasting, ambushes, comings := 150+rng.IntN(2500), 50+rng.IntN(2500), rng.IntN(6), rng.IntN(5)
	if c.intense {
		length, every, lasting, ambushes = 3*time.Second, 30+rng.IntN(300), 5+rng.IntN(600), 3+rng.IntN(8)
	}
	if w.cfg.style != cuts {
		w.drift(rng, length)
	}
	w.play(simnet.Nemesis{
		Nodes: w.net.Addrs(), Length: length, Quiet: ms, MaxDown: max(w.cfg.replicas, 1),
		Every:   time.Duration(every) * ms,
		Lasting: time.Duration(lasting) * ms,
		Weights: weights[w.cfg.style],
		Reject:  refused,
	}.Schedule(c.seed))
	for range ambushes {
		w.after(time.Duration(rng.Int64N(int64(length))), func() { w.ambush(rng) })
	}
	for range comings {
		w.after(time.Duration(rng.Int64N(int64(length))), func() { w.come(rng) })
	}
	w.run(length)
	w.heal()
	w.end()
	return w
}

// come has somebody join, leave or fail.
func (w *world) come(rng *rand.Rand) {
	live := w.live()
	switch {
	case rng.IntN(2) == 0 || len(live) < 3:
		if len(live) < 8 && len(w.nodes) < 1<<min(w.cfg.bits, 4) {
			w.join()
		}
	default:
		w.strike(rng.IntN(5), live[rng.IntN(len(live))].addr, time.Second)
	}
}

// drift gives clocks rates that differ by up to 1 %, and lets those of the day jump.
func (w *world) drift(rng *rand.Rand, within time.Duration) {
	for _, a := range w.nodes {
		if rng.IntN(3) == 0 {
			w.net.ClockRate(a, 0.99+0.02*rng.Float64())
		}
		if rng.IntN(4) == 0 {
			by := []int64{1e6, 1e9, 60e9, 300e9}[rng.IntN(4)] * (1 - 2*rng.Int64N(2))
			w.after(time.Duration(rng.Int64N(int64(within))), func() { w.wallOff[a] += by })
		}
	}
}
