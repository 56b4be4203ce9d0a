package ring

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/torc-dht/torc/chord/internal/place"
)

var (
	seeds     = flag.Int("ring.seeds", 0, "how many seeds each test by seeds tries; 0: some, with TORC_SOAK set fifty times as many")
	firstSeed = flag.Uint64("ring.seed", 1, "the first seed")
)

// many is how many seeds a test tries: some, a lot with TORC_SOAK set, or as many as the
// flag says.
func many(some int) int {
	switch {
	case *seeds > 0:
		return *seeds
	case os.Getenv("TORC_SOAK") != "":
		return 50 * some
	}
	return some
}

// wrong says how the nodes break what Zave shows to hold as long as nobody loses its
// whole list: each has a living successor, no list turns back or repeats anybody, and by
// first living successors there is one ring, once around, that everybody leads to.
func (w *town) wrong() error {
	next := map[Ref]Ref{}
	members := map[Ref]bool{}
	for _, r := range w.nodes {
		members[r.Self()] = r.Member()
	}
	for _, r := range w.sorted() {
		if !r.Member() {
			continue
		}
		self := r.Self()
		if was, is := w.prdcs[self], r.Predecessor(); was != is {
			if w.nodes[was.Boot] != nil && !place.Inside(was.Place, is.Place, self.Place) {
				return fmt.Errorf("%v gave up its predecessor %v, which lives, for %v", self, was, is)
			}
			w.prdcs[self] = is
		}
		last := self
		for _, p := range r.Successors() {
			if !place.Inside(last.Place, p.Place, self.Place) {
				return fmt.Errorf("the list of %v isn't in order: %v", self, r.Successors())
			}
			last = p
			if _, has := next[self]; !has && members[p] {
				next[self] = p
			}
		}
		if _, has := next[self]; !has {
			if len(r.Successors()) > 0 {
				return fmt.Errorf("of the list of %v nobody lives: %v", self, r.Successors())
			}
			next[self] = self
		}
	}
	ring := map[Ref]bool{} // those on a ring that was found
	for _, r := range w.sorted() {
		if !r.Member() {
			continue
		}
		p := r.Self()
		for range next { // as many steps lead into the ring
			p = next[p]
		}
		if ring[p] {
			continue
		}
		if len(ring) > 0 {
			return fmt.Errorf("there are two rings: %v isn't in that of the others", p)
		}
		turns := 0
		for q := p; ; {
			ring[q] = true
			if next[q].Place.Compare(q.Place) <= 0 {
				turns++
			}
			if q = next[q]; q == p {
				break
			}
		}
		if turns != 1 {
			return fmt.Errorf("the ring of %v goes around %d times", p, turns)
		}
	}
	return nil
}

// may tells whether r may die by Zave's rules: of everybody else a listed node still
// lives, and there are enough of them.
func (w *town) may(r *Ring) bool {
	if len(w.nodes) <= w.list+2 {
		return false
	}
	for _, o := range w.nodes {
		if o != r && !slices.ContainsFunc(o.Successors(), func(p Ref) bool { return p != r.Self() && w.nodes[p.Boot] != nil }) {
			return false
		}
	}
	// A list under way counts as well: whoever gets it takes it.
	for i := range w.mail {
		l := &w.mail[i]
		if l.m.Kind == KindState && !l.m.Busy && l.to != r.Self() && w.nodes[l.to.Boot] != nil && !w.outlives(r, l) {
			return false
		}
	}
	return true
}

// outlives tells whether of the list that an answer makes somebody lives without r.
func (w *town) outlives(r *Ring, answer *letter) bool {
	list := append([]Ref{answer.m.From}, answer.m.List[:min(len(answer.m.List), w.list-1)]...)
	return slices.ContainsFunc(list, func(p Ref) bool { return p != r.Self() && p != answer.to && w.nodes[p.Boot] != nil })
}

// churn has nodes come and go by a seed, and returns what was wrong at which time.
func churn(t *testing.T, seed uint64, bugs Bugs) error {
	w, rng := newTown(t), rand.New(rand.NewPCG(seed, 2))
	w.bugs, w.list = bugs, 1+rng.IntN(3)
	first := w.start(int64(rng.IntN(256)), nil)
	for range 7 {
		w.start(w.free(rng), first)
		w.run(3 * time.Second)
	}
	var newest *Ring
	for range 60 {
		switch all := w.sorted(); {
		case len(all) < 12 && rng.IntN(2) == 0:
			newest = w.start(w.free(rng), w.member(rng))
		default:
			r := all[rng.IntN(len(all))]
			if newest != nil && rng.IntN(2) == 0 {
				r = newest
			}
			if w.may(r) {
				w.kill(r, rng.IntN(2) == 0)
				newest = nil
			}
		}
		for range 1 + rng.IntN([]int{5, 50, 300}[rng.IntN(3)]) {
			if !w.run(time.Millisecond) {
				continue // nothing is as it wasn't
			}
			if err := w.wrong(); err != nil {
				return fmt.Errorf("seed %d, %v: %w", seed, w.now, err)
			}
		}
	}
	w.run(10 * time.Second)
	return w.unsettled()
}

// free is an identifier that no living node has.
func (w *town) free(rng *rand.Rand) int64 {
	for {
		id := int64(rng.IntN(256))
		if !slices.ContainsFunc(w.sorted(), func(r *Ring) bool { return r.Self().Place.String() == fmt.Sprint(id) }) {
			return id
		}
	}
}

func (w *town) member(rng *rand.Rand) *Ring {
	for {
		if all := w.sorted(); all[rng.IntN(len(all))].Member() {
			return slices.DeleteFunc(all, func(r *Ring) bool { return !r.Member() })[0]
		}
	}
}

func TestChurn(t *testing.T) {
	t.Parallel()
	for i := range uint64(many(40)) {
		if err := churn(t, *firstSeed+i, Bugs{}); err != nil {
			t.Fatal(err)
		}
	}
}

// What Zave changed is needed: without it the ring is lost, and the checks see it.
func TestPlantedBugsAreFound(t *testing.T) {
	t.Parallel()
	for name, bugs := range map[string]Bugs{"rectify is skipped": {SkipRectify: true}, "the published join": {PublishedJoin: true}} {
		found := uint64(0)
		for seed := uint64(1); found == 0 && seed <= 200; seed++ {
			if err := churn(t, seed, bugs); err != nil {
				found = seed
				t.Logf("%s: %v", name, err)
			}
		}
		if found == 0 {
			t.Errorf("%s: not found in 200 seeds", name)
		}
	}
}
