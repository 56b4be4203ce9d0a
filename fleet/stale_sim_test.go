package fleet_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/torc-dht/torc/memcache"
)

var (
	simSeed  = flag.Uint64("sim.seed", 0, "the one seed to play, 0: many")
	simSeeds = flag.Int("sim.seeds", 0, "how many seeds to play in each mode, 0: as many as are worth the time")
	simTrace = flag.Bool("sim.trace", false, "print what happens in the seed that is played")
)

// modes are those that promise something.
var modes = []mode{
	{1, "on", "check"},
	{1, "on", "drop"},
	{2, "on", "check"},
	{2, "on", "drop"},
	{3, "on", "check"},
	{3, "on", "drop"},
}

// seeds is how many seeds are played: more where time is no matter.
func seeds(t *testing.T, usual int) int {
	switch {
	case *simSeeds > 0:
		return *simSeeds
	case os.Getenv("TORC_SOAK") != "":
		return 100 * usual
	case testing.Short():
		return usual / 10
	}
	return usual
}

// TestNoStaleReadInAnySchedule plays random schedules of faults, evictions and
// calls in virtual time. See judge for what is promised.
//
//	go test ./fleet -run InAnySchedule -sim.seed 17 -sim.trace
func TestNoStaleReadInAnySchedule(t *testing.T) {
	for _, m := range modes {
		t.Run(m.String(), func(t *testing.T) {
			t.Parallel()
			first, n := uint64(1), seeds(t, 120)
			if *simSeed != 0 {
				first, n = *simSeed, 1
			}
			began := time.Now()
			var gets, hits, judged, writes int
			for seed := first; seed < first+uint64(n); seed++ {
				s := randomSchedule(seed, m)
				o := play(t, s, "")
				if *simTrace {
					t.Logf("%v\n%s", s, strings.Join(o.trace, "\n"))
				}
				if o.err != nil {
					report(t, s, o)
					return
				}
				gets, hits, judged, writes = gets+o.gets, hits+o.hits, judged+o.judged, writes+o.failedWrites
			}
			t.Logf("%d schedules, %d gets, %d hits of which %d were judged, %d writes failed, in %v", n, gets, hits, judged, writes, time.Since(began).Round(time.Millisecond))
			if n > 100 && (hits < gets/4 || judged < hits/2) {
				t.Error("the schedules are no good: hardly anything is read, or judged")
			}
		})
	}
}

// report fails t with the smallest schedule that can be found.
func report(t *testing.T, s schedule, o outcome) {
	t.Helper()
	t.Errorf("seed %d: %v", s.Seed, o.err)
	small := smallest(t, s, "", func(o outcome) bool { return o.err != nil })
	for range 20 {
		if o := play(t, small, ""); o.err != nil {
			t.Logf("as small as it gets: %v\n%v\n%s", o.err, small, strings.Join(o.trace, "\n"))
			return
		}
	}
	t.Logf("not seen again in the smallest schedule: %v\nas it was at first:\n%s", small, strings.Join(o.trace, "\n"))
}

// bug is something wrong, planted between the table and the servers or in the
// directory, so that the table is what it is.
type bug string

const (
	noStamps          bug = "stamps are ignored"
	overwritesRepairs bug = "what is written back overwrites"
	keepsFormers      bug = "former owners keep what they have"
	noTombstones      bug = "no tombstones"
	keepsCopies       bug = "a copy of what changed meanwhile is not taken back"
	forgetsViews      bug = "two of three views are not written down"
)

// plant says that r is not to be carried out as it is, or changes it.
func (b bug) plant(g *gate, r *memcache.Request) (skip bool) {
	tombstone := r.Op == memcache.OpSet && len(r.Value) == 0
	switch b {
	case overwritesRepairs:
		// Conditional puts are not among the schedules that this is played on.
		if r.Op == memcache.OpSet && (r.Mode == memcache.ModeAdd || r.Mode == memcache.ModeCAS) {
			r.Mode, r.CAS, r.HasCAS = memcache.ModeSet, 0, false
		}
	case keepsFormers:
		return r.Op == memcache.OpDelete && !r.HasCAS && !g.owns(r.Key)
	case noTombstones:
		if tombstone {
			*r = memcache.Request{Op: memcache.OpDelete, Key: bytes.Clone(r.Key)}
		}
	case keepsCopies:
		return r.Op == memcache.OpDelete && r.HasCAS
	}
	return false
}

// owns says whether the machine owns key, as far as the client knows.
func (g *gate) owns(key []byte) bool {
	p, err := g.client.table.Locate(g.client.life, string(key))
	if err != nil {
		return false
	}
	for _, o := range p.Owners {
		if o.Addr == g.machine.addr {
			return true
		}
	}
	return false
}

// TestPlantedBugsAreFound is the proof that the schedules can find what is wrong.
func TestPlantedBugsAreFound(t *testing.T) {
	for _, p := range []struct {
		bug    bug
		mode   mode
		from   uint64 // the first seed: few schedules show some of them
		within int    // seeds
	}{
		{noStamps, mode{1, "off", "check"}, 1, 50},
		{noStamps, mode{3, "off", "check"}, 1, 50},
		{forgetsViews, mode{1, "on", "drop"}, 1, 200},
		{forgetsViews, mode{3, "on", "check"}, 1, 200},
		{overwritesRepairs, mode{1, "on", "check"}, 750, 200},
		{keepsFormers, mode{1, "on", "check"}, 1, 1000},
		{noTombstones, mode{1, "on", "check"}, 1, 200},
		{keepsCopies, mode{2, "on", "drop"}, 1, 2000},
	} {
		t.Run(fmt.Sprintf("%s/%v", p.bug, p.mode), func(t *testing.T) {
			t.Parallel()
			for n := range uint64(p.within) {
				s := randomSchedule(p.from+n, p.mode)
				if p.bug == overwritesRepairs {
					s.Steps = without(s.Steps, add, replace, swap)
				}
				if o := play(t, s, p.bug); o.err != nil {
					t.Logf("found by seed %d: %v", s.Seed, o.err)
					return
				}
			}
			t.Errorf("not found within %d seeds from %d on", p.within, p.from)
		})
	}
}

func without(steps []step, deeds ...deed) []step {
	var left []step
	for _, x := range steps {
		keep := true
		for _, d := range deeds {
			keep = keep && x.Do != d
		}
		if keep {
			left = append(left, x)
		}
	}
	return left
}
