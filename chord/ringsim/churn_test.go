package ringsim

import (
	"math"
	"testing"
)

// Table III: nodes come and leave, and lookups go on nearly as if they didn't.
func TestDepartures(t *testing.T) {
	t.Parallel()
	p := PublishedDepartures[len(PublishedDepartures)-1]
	r, err := Departures(1, p.At, 500).Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d joined, %d left: paths of %.2f (%d, %d), time-outs %.2f (%d, %d), %d of %d wrong; theirs %+v", r.Joined, r.Ended, r.Mean(), r.Percentile(1), r.Percentile(99),
		r.Silent.Mean(), r.Silent.Percentile(1), r.Silent.Percentile(99), r.Wrong, r.Total()+r.Wrong, p)
	if math.Abs(r.Mean()/p.Path-1) > 0.1 {
		t.Errorf("paths of %.2f, theirs are %.2f", r.Mean(), p.Path)
	}
	if r.Silent.Mean() > p.Silent || r.Silent.Mean() == 0 {
		t.Errorf("%.2f time-outs, theirs are %.2f", r.Silent.Mean(), p.Silent)
	}
	if r.Wrong > 2 {
		t.Errorf("%d of %d failed", r.Wrong, r.Total()+r.Wrong)
	}
}

// Figure 12: nodes crash, and lookups that meet one of them don't try again. Fewer fail
// than theirs: here whoever names nodes to ask next leaves out those that didn't answer
// him.
func TestCrashes(t *testing.T) {
	t.Parallel()
	p := PublishedCrashes[len(PublishedCrashes)-1]
	r, err := Crashes(1, p.At, 1000).Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d joined, %d crashed: %.4f of the lookups fail, theirs are %.4f; with others tried %d", r.Joined, r.Ended, r.Rate(), p.Failed, r.Wrong)
	if r.Rate() > p.Failed || r.Hindered == 0 {
		t.Errorf("%.4f of the lookups fail, theirs are %.4f", r.Rate(), p.Failed)
	}
	if r.Wrong > 3 {
		t.Errorf("%d failed though others could be tried", r.Wrong)
	}
}
