package fleet

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/cluster"
)

// As long as no server comes back, stamps cost no hits: the same calls on fleets
// with and without them, over the same servers, which evict.
func TestHitRateWithoutRejoin(t *testing.T) {
	const calls, keys = 20_000, 3000
	t.Parallel()
	g := startGrid(t, cluster.Options{}, 4, []way{
		{1, "off", ""}, {1, "on", "check"}, {1, "on", "drop"},
		{3, "off", ""}, {3, "on", "check"}, {3, "on", "drop"},
	}, "-m", "16")
	hits := make([]int, len(g.fleets))
	// Cached values are read, and put where they were missed, as a cache is used.
	r := rand.New(rand.NewPCG(1, 2))
	zipf := rand.NewZipf(r, 1.1, 10, keys-1)
	drawn := make([]uint64, calls)
	for i := range drawn {
		drawn[i] = zipf.Uint64()
	}
	value := make([]byte, 4000)
	g.inParallel(calls, func(n int) error {
		for i, f := range g.fleets {
			key := fmt.Sprintf("%d %d", i, drawn[n])
			_, err := f.table.Get(t.Context(), key)
			if err != nil {
				if err := f.table.Put(t.Context(), key, value); err != nil {
					return err
				}
			}
		}
		return nil
	})
	// What was cached after that is what is compared, by reads that change nothing.
	for i, f := range g.fleets {
		for _, d := range drawn[:calls/3] {
			if _, err := f.table.Get(t.Context(), fmt.Sprintf("%d %d", i, d)); err == nil {
				hits[i]++
			}
		}
	}
	if g.stat("evictions") == 0 {
		t.Error("nothing was evicted: the test shows nothing")
	}
	var b strings.Builder
	b.WriteString("| fleet | hit rate |\n|---|--:|\n")
	for i, f := range g.fleets {
		fmt.Fprintf(&b, "| `%v` | %.1f %% |\n", f.way, 100*float64(hits[i])/(calls/3))
		without := hits[i/3*3]
		if d := hits[i] - without; d < -calls/3/50 || d > calls/3/50 {
			t.Errorf("%v: %d hits, and %d without stamps", f.way, hits[i], without)
		}
	}
	t.Logf("\n%s", b.String())
}

// TestStandInRestarts: the stand-in loses what it took when its memcached is
// restarted, and then has nothing, which proves nothing.
func TestStandInRestarts(t *testing.T) {
	t.Parallel()
	g := startGrid(t, cluster.Options{}, 4, ways[:4])
	g.example(true, func(s, in *post) {
		g.must(in.memcached.Kill())
		g.gone(in)
		g.must(in.memcached.Restart(t.Context()))
		g.back(in)
	})
}

// TestStandInRestartsAtOnce is the same with no time for anybody to see it away
// for long.
func TestStandInRestartsAtOnce(t *testing.T) {
	t.Parallel()
	g := startGrid(t, cluster.Options{}, 4, ways[:4])
	g.example(true, func(s, in *post) {
		before := g.version(g.fleets[0])
		g.must(in.memcached.Restart(t.Context()))
		g.members(g.fleets[0], "the restart to be noticed", func(v torc.View) bool { return v.Version > before })
		g.back(in)
	})
}

// TestZooKeeperLosesItsDataWhileAServerIsStale: the new history says nothing of
// who was away before it began, so that nothing from before it counts.
func TestZooKeeperLosesItsDataWhileAServerIsStale(t *testing.T) {
	t.Parallel()
	g := startGrid(t, cluster.Options{}, 4, ways[:4])
	g.example(false, func(s, in *post) {
		before := make([]uint64, len(g.fleets))
		for i, f := range g.fleets {
			before[i] = g.generation(f)
		}
		g.must(g.zk.Kill())
		g.must(g.zk.WipeData())
		g.must(g.zk.Restart(t.Context()))
		for i, f := range g.fleets {
			g.members(f, "a new generation", func(v torc.View) bool { return v.Generation != before[i] && len(v.Members) == 3 })
		}
	})
}

// example overwrites and deletes keys of a server that is away, has meanwhile
// happen to it and its stand-in, and brings it back. No read may be stale; and if
// kept says so, what is on servers that were there all along has to be found.
func (g *grid) example(kept bool, meanwhile func(s, in *post)) {
	t := g.t
	t.Helper()
	s, in := g.servers[0], g.servers[1]
	keys := make([][]staleKey, len(g.fleets))
	for i, f := range g.fleets {
		keys[i] = g.candidates(f, s, in)
		g.inParallel(len(keys[i]), func(n int) error { return f.table.Put(t.Context(), keys[i][n].key, []byte("old")) })
	}
	g.must(absences[0].leave(g, s))
	g.gone(s)
	for i, f := range g.fleets {
		keys[i] = g.chosen(f, keys[i], in)
		g.meanwhile(f, keys[i])
	}
	meanwhile(s, in)
	g.must(absences[0].comeBack(g, s))
	g.back(s)
	for i, f := range g.fleets {
		for range 2 {
			got := g.readAll(f, keys[i])
			for _, fate := range []fate{overwritten, deleted} {
				if got[fate].stale > 0 {
					t.Errorf("%v: %d of %d reads were stale of keys that were %s", f.way, got[fate].stale, got[fate].gets, fate)
				}
			}
			if f.copies > 1 && kept && got[overwritten].hits < got[overwritten].gets {
				t.Errorf("%v: two servers never went away, and yet: %+v", f.way, got)
			}
		}
	}
}

func (g *grid) view(f *sub) torc.View {
	g.t.Helper()
	for v, err := range f.table.Members(g.t.Context()) {
		g.must(err)
		return v
	}
	g.t.Fatal("no view")
	return torc.View{}
}

func (g *grid) version(f *sub) uint64    { g.t.Helper(); return g.view(f).Version }
func (g *grid) generation(f *sub) uint64 { g.t.Helper(); return g.view(f).Generation }
