package ringsim

import (
	"math"
	"testing"
)

// Figure 11: as large a part of the lookups fails as of the nodes did, and no more.
func TestLose(t *testing.T) {
	t.Parallel()
	c := Paper(1)
	c.List = 16
	for _, p := range PublishedLost {
		if p.At != .05 && p.At != .20 {
			continue
		}
		const nodes = 500
		l, err := Lose(t.Context(), c, nodes, p.At, 5000)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%+v: %.4f", l, l.Rate())
		// The arcs of so few nodes are of different lengths, and lookups are a sample.
		if deviation := 4 * math.Sqrt(p.At/nodes); math.Abs(l.Rate()-p.Failed) > deviation {
			t.Errorf("%.2f of the nodes died: %.4f of the lookups fail, theirs are %.3f", p.At, l.Rate(), p.Failed)
		}
	}
}

// Table II: all lookups find their way among nodes of which half are dead, within the
// lengths of path and the time-outs of theirs.
func TestUnrepaired(t *testing.T) {
	t.Parallel()
	for _, p := range PublishedUnrepaired {
		if p.At != 0 && p.At != .3 && p.At != .5 {
			continue
		}
		c := Paper(1)
		c.List, c.WholeList = 20, true
		w, err := Unrepaired(t.Context(), c, 1000, p.At, 2000)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%.1f: paths of %.2f (%d, %d), time-outs %.2f (%d, %d); theirs %+v", p.At, w.Mean(), w.Percentile(1), w.Percentile(99), w.Silent.Mean(), w.Silent.Percentile(1), w.Silent.Percentile(99), p)
		if w.Wrong > 0 {
			t.Errorf("%.1f of the nodes died: %d lookups didn't end at the first living node", p.At, w.Wrong)
		}
		if math.Abs(w.Mean()/p.Path-1) > 0.08 {
			t.Errorf("%.1f of the nodes died: paths of %.2f, theirs are %.2f", p.At, w.Mean(), p.Path)
		}
		if math.Abs(w.Silent.Mean()-p.Silent) > 0.25*p.Silent {
			t.Errorf("%.1f of the nodes died: %.2f time-outs, theirs are %.2f", p.At, w.Silent.Mean(), p.Silent)
		}
	}
}
