package fleet

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/cluster"
)

// fate is what becomes of a key while the server that holds it is away.
type fate string

// The fates.
const (
	stillTrue   fate = "still true"
	overwritten fate = "overwritten meanwhile"
	deleted     fate = "deleted meanwhile"
	expired     fate = "expired meanwhile"
)

var fates = []fate{stillTrue, overwritten, deleted, expired}

// perFate is how many keys there are of each fate, in each fleet.
const perFate = 200

// staleKey is one key of the matrix.
type staleKey struct {
	key  string
	fate fate
}

// TestStaleReads takes a server away with all that it holds, in each of three
// ways, lets keys of it be overwritten, deleted and expire meanwhile or leaves
// them alone, brings it back and reads them all; and each again with the server
// gone that stood in for it. Where values have stamps, no read may be stale. Where
// they don't, reads must be, or the test is worth nothing.
func TestStaleReads(t *testing.T) {
	t.Parallel() // with others of its kind, behind the tests that take times
	t.Cleanup(func() { t.Logf("\n%s", staleness.markdown()) })
	for _, a := range absences {
		for _, gone := range []bool{false, true} {
			name := a.name
			if gone {
				name += ", its stand-in gone"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				if a.namespaces {
					cluster.NeedNamespaces(t)
				}
				staleReads(t, a, gone)
			})
		}
	}
}

func staleReads(t *testing.T, a absence, standInGone bool) {
	g := startGrid(t, cluster.Options{Namespaces: a.namespaces}, 4, ways)
	s, standIn := g.servers[0], g.servers[1]
	keys := make([][]staleKey, len(g.fleets))
	for i, f := range g.fleets {
		keys[i] = g.candidates(f, s, standIn)
		g.inParallel(len(keys[i]), func(n int) error {
			return f.table.Put(t.Context(), keys[i][n].key, []byte("old"))
		})
	}

	g.must(a.leave(g, s))
	g.gone(s)
	for i, f := range g.fleets {
		keys[i] = g.chosen(f, keys[i], standIn)
		g.meanwhile(f, keys[i])
	}
	ended := time.Now().Add(2100 * time.Millisecond) // of the longest that memcached makes of a second
	if standInGone {
		g.must(standIn.memcached.Kill())
		g.gone(standIn)
	}
	time.Sleep(time.Until(ended)) // a time to live can't be waited for otherwise

	g.must(a.comeBack(g, s))
	g.back(s)
	for i, f := range g.fleets {
		for round := range 2 { // the second one reads what the first has written back
			got := g.readAll(f, keys[i])
			got.check(t, f.way, standInGone)
			if round == 0 {
				staleness.add(f.way, a.name, standInGone, got)
			}
		}
	}
}

// meanwhile lets the keys meet their fates.
func (g *grid) meanwhile(f *sub, keys []staleKey) {
	g.t.Helper()
	ctx := g.t.Context()
	g.inParallel(len(keys), func(n int) error {
		k := keys[n]
		switch k.fate {
		case overwritten:
			return f.table.Put(ctx, k.key, []byte("new"))
		case deleted:
			// In a fleet of one copy, who stands in has never had the key.
			if err := f.table.Delete(ctx, k.key); err != nil && !errors.Is(err, torc.ErrNotFound) {
				return err
			}
		case expired:
			return f.table.Put(ctx, k.key, []byte("short"), torc.TTL(time.Second))
		}
		return nil
	})
}

// candidates returns keys that s is the first owner of and standIn is not among
// the owners of: enough that after s has left, there are perFate of each fate
// among those that standIn took over.
func (g *grid) candidates(f *sub, s, standIn *post) []staleKey {
	g.t.Helper()
	var keys []staleKey
	for i := 0; len(keys) < 6*perFate*len(fates); i++ {
		key := fmt.Sprintf("%s %d", strings.NewReplacer("=", "", "&", "").Replace(f.way.String()), i)
		owners := g.owners(f, key)
		if owners[0] == s.memcached.Addr && !slices.Contains(owners, standIn.memcached.Addr) {
			keys = append(keys, staleKey{key: key})
		}
	}
	return keys
}

// chosen returns those of the keys that standIn owns now, and gives them fates.
func (g *grid) chosen(f *sub, keys []staleKey, standIn *post) []staleKey {
	g.t.Helper()
	var chosen []staleKey
	for _, k := range keys {
		if len(chosen) < perFate*len(fates) && slices.Contains(g.owners(f, k.key), standIn.memcached.Addr) {
			chosen = append(chosen, staleKey{k.key, fates[len(chosen)%len(fates)]})
		}
	}
	if len(chosen) < perFate*len(fates) {
		g.t.Fatalf("%v: %s took over only %d of %d keys", f.way, standIn.memcached.Addr, len(chosen), len(keys))
	}
	return chosen
}

// tally is what was read of keys of one fate.
type tally struct {
	gets, hits, stale int
	miss              error // one of those where something was to be found
}

// readings is what was read.
type readings map[fate]tally

// readAll gets every key once.
func (g *grid) readAll(f *sub, keys []staleKey) readings {
	g.t.Helper()
	values, misses := make([]string, len(keys)), make([]error, len(keys))
	g.inParallel(len(keys), func(n int) error {
		e, err := f.table.Get(g.t.Context(), keys[n].key)
		if err != nil && !errors.Is(err, torc.ErrNotFound) {
			return err
		}
		values[n], misses[n] = string(e.Value), err
		return nil
	})
	got := make(readings)
	for i, k := range keys {
		c := got[k.fate]
		c.gets++
		want := map[fate]string{stillTrue: "old", overwritten: "new"}[k.fate]
		switch values[i] {
		case "":
			if want != "" {
				c.miss = misses[i]
			}
		case want:
			c.hits++
		default:
			c.stale++
		}
		got[k.fate] = c
	}
	return got
}

func (c tally) String() string {
	s := fmt.Sprintf("%d reads, %d hits, %d stale", c.gets, c.hits, c.stale)
	if c.miss != nil {
		s += fmt.Sprintf(" (one of the others: %v)", c.miss)
	}
	return s
}

// check fails the test if got breaks what the fleet promises.
func (got readings) check(t *testing.T, w way, standInGone bool) {
	t.Helper()
	all := func(f fate) bool { return got[f].hits == got[f].gets }
	for _, f := range fates {
		if w.stamp == "on" && got[f].stale > 0 {
			t.Errorf("%v: %d of %d reads were stale of keys that were %s", w, got[f].stale, got[f].gets, f)
		}
		// As proof that this can happen at all.
		if w.stamp == "off" && f != stillTrue && got[f].stale == 0 {
			t.Errorf("%v: no read was stale of keys that were %s: the test shows nothing", w, f)
		}
	}
	switch {
	case w.copies > 1 || w.stamp == "off":
		// Two owners never went away.
		if !all(stillTrue) || w.stamp == "on" && !all(overwritten) {
			t.Errorf("%v: %v: what is true has to be found", w, got)
		}
	case w.rejoin == "check" && !standInGone:
		if !all(stillTrue) || !all(overwritten) {
			t.Errorf("%v: %v: with the stand-in there, what is true has to be found", w, got)
		}
	}
}

// staleness is what TestStaleReads has counted.
var staleness staleRows

type staleRows struct {
	sync.Mutex
	rows []staleRow
}

type staleRow struct {
	way
	absence     string
	standInGone bool
	got         readings
}

func (r staleRow) title() string {
	if r.standInGone {
		return r.absence + "; stand-in gone for good"
	}
	return r.absence
}

func (r *staleRows) add(w way, absence string, standInGone bool, got readings) {
	r.Lock()
	defer r.Unlock()
	r.rows = append(r.rows, staleRow{w, absence, standInGone, got})
}

// markdown is the table of docs/fleet.md.
func (r *staleRows) markdown() string {
	r.Lock()
	defer r.Unlock()
	var b strings.Builder
	slices.SortStableFunc(r.rows, func(a, b staleRow) int { return strings.Compare(a.title(), b.title()) })
	b.WriteString("| server away | fleet | reads | stale | still true: hits | overwritten: hits |\n|---|---|--:|--:|--:|--:|\n")
	for _, row := range r.rows {
		var all tally
		for _, c := range row.got {
			all.gets += c.gets
			all.stale += c.stale
		}
		percent := func(f fate) string { return fmt.Sprintf("%d %%", 100*row.got[f].hits/row.got[f].gets) }
		fmt.Fprintf(&b, "| %s | `%v` | %d | %d | %s | %s |\n", row.title(), row.way, all.gets, all.stale, percent(stillTrue), percent(overwritten))
	}
	return b.String()
}
