package ring

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// quiet is how long after all faults there has to be one ordered ring.
const quiet = 30 * time.Second

// usual sets nodes as they are in practice.
func usual(c *Config) {
	c.Patience, c.Tries, c.Remember, c.Fingers, c.WholeList = 600*time.Millisecond, 3, 24*time.Hour, 2, true
}

// grown is a settled ring of n nodes, set as they are in practice.
func grown(t testing.TB, n, list int, rng *rand.Rand) (*town, error) {
	w := newTown(t)
	w.set, w.list = usual, list
	w.slow = func() time.Duration { return time.Duration(1+rng.IntN(10)) * time.Millisecond }
	first := w.start(int64(rng.IntN(256)), nil)
	for len(w.all) < n {
		w.start(w.free(rng), first)
		w.run(time.Duration(rng.IntN(200)) * time.Millisecond)
	}
	if _, err := w.until(2*time.Minute, w.unsettled); err != nil {
		return nil, fmt.Errorf("%d nodes with lists of %d don't settle: %w", n, list, err)
	}
	return w, nil
}

// cut is a network that is cut in parts.
type cut struct {
	*town
	part map[uint64]int // by boot
}

func (w *town) cut(parts int, side func(i int) int) *cut {
	c := &cut{w, map[uint64]int{}}
	for i, r := range w.all {
		c.part[r.Self().Boot] = side(i) % parts
	}
	w.lose = func(l *letter) bool { return c.part[l.m.From.Boot] != c.part[l.to.Boot] }
	return c
}

func (c *cut) of(part int) []*Ring {
	return slices.DeleteFunc(c.sorted(), func(r *Ring) bool { return c.part[r.Self().Boot] != part })
}

// churn has one node of a part come or go.
func (c *cut) churn(part int, rng *rand.Rand) {
	all := c.of(part)
	if len(all) == 0 {
		return
	}
	r := all[rng.IntN(len(all))]
	if rng.IntN(2) == 0 && len(c.all) < 100 {
		if r.Member() {
			n := c.start(c.free(rng), r)
			c.part[n.Self().Boot] = part
		}
		return
	}
	if len(all) < 2 || slices.ContainsFunc(all, func(o *Ring) bool {
		return o != r && o.Member() && !slices.ContainsFunc(o.Successors(), func(p Ref) bool {
			return p != r.Self() && c.nodes[p.Boot] != nil && c.part[p.Boot] == part
		})
	}) {
		return
	}
	c.remove(r)
	refused := rng.IntN(2) == 0
	for _, o := range c.of(part) {
		if refused {
			o.Dead(c.now, r.Self())
		}
	}
}

// linked tells whether all parts that are left can find together: each pair, perhaps by
// way of others, has a node that remembers one of the other that lives.
func (c *cut) linked() bool {
	reach := map[int]bool{}
	for _, r := range c.all {
		reach[c.part[r.Self().Boot]] = len(reach) == 0 || reach[c.part[r.Self().Boot]]
	}
	for range reach {
		for _, r := range c.all {
			for _, p := range r.Remembered() {
				if a, b := c.part[r.Self().Boot], c.part[p.Boot]; c.nodes[p.Boot] != nil && r.Member() && (reach[a] || reach[b]) {
					reach[a], reach[b] = true, true
				}
			}
		}
	}
	for _, is := range reach {
		if !is {
			return false
		}
	}
	return true
}

// strand removes those who want to join and know nobody who lives, which no protocol helps.
func (w *town) strand() {
	for _, r := range w.sorted() {
		if j := r.join; j != nil && !slices.ContainsFunc(j.contacts, func(p Ref) bool { return w.nodes[p.Boot] != nil }) {
			w.remove(r)
		}
	}
}

type mended struct {
	nodes  int
	took   time.Duration
	each   float64 // messages of a node in a second meanwhile
	linked bool
}

// mend cuts a ring by a seed, lets a minute pass, and mends it.
func mend(t testing.TB, seed uint64) (m mended, err error) {
	rng := rand.New(rand.NewPCG(seed, 3))
	n := 2 + rng.IntN(63)
	if rng.IntN(3) == 0 {
		n = 2 + rng.IntN(7)
	}
	w, err := grown(t, n, 2+rng.IntN(7), rng)
	if err != nil {
		return m, err
	}
	parts := 2 + rng.IntN(2)
	c := w.cut(parts, func(int) int { return rng.IntN(parts) })
	if rng.IntN(4) == 0 { // in arcs
		c = w.cut(parts, func(i int) int { return i * parts / n })
	}
	busy := rng.IntN(3)
	for range 60 {
		if rng.IntN(4) < busy {
			c.churn(rng.IntN(parts), rng)
		}
		w.run(time.Second)
	}
	w.strand()
	m.linked = c.linked()
	if !m.linked {
		return m, nil
	}
	w.lose = nil
	sent := w.sent
	m.took, err = w.until(quiet, w.disorder)
	m.nodes, m.each = len(w.all), float64(w.sent-sent)/float64(len(w.all))/max(m.took, time.Second).Seconds()
	if err == nil {
		_, err = w.until(quiet-m.took, w.unsettled)
	}
	return m, err
}

// A ring is cut in two or three for a minute, nodes come and go in each part, and they
// find together.
func TestCut(t *testing.T) {
	t.Parallel()
	var worst, most mended
	lost := 0
	for seed := range uint64(many(8)) {
		m, err := mend(t, seed)
		if err != nil {
			t.Errorf("seed %d: %d nodes: %v", seed, m.nodes, err)
		}
		if !m.linked {
			lost++
		}
		if m.each > 400 {
			t.Errorf("seed %d: %.0f messages of a node in a second", seed, m.each)
		}
		if m.took > worst.took {
			worst = m
		}
		if m.each > most.each {
			most = m
		}
	}
	t.Logf("slowest: %+v; most messages: %+v; %d without anybody who remembers", worst, most, lost)
}
