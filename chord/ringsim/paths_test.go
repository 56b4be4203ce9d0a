package ringsim

import (
	"math"
	"os"
	"testing"
	"time"
)

// Section 6.3 of the paper of 2001: the path length is about half of log2 N. With few
// nodes one ring is not like another, and theirs is one: its mean is to lie among those
// of ours. From 64 nodes on the mean over some rings is to be theirs, within 3 %. By the
// whole successor list paths are shorter.
func TestPathLength(t *testing.T) {
	t.Parallel()
	most := 8
	if os.Getenv("TORC_SOAK") != "" {
		most = 14
	}
	for _, theirs := range PublishedPaths {
		k := theirs.Log
		if k > most {
			break
		}
		nodes, rings := 1<<k, 1
		switch {
		case k < 6:
			rings = 60
		case k < 8:
			rings = 8
		case k < 10:
			rings = 3
		}
		began := time.Now()
		c := Paper(uint64(1000 * k))
		m, err := PathsIn(t.Context(), c, nodes, rings, 100*nodes)
		if err != nil {
			t.Fatal(err)
		}
		mean := m.Mean()
		t.Logf("%5d nodes, %2d rings: mean %.3f +- %.3f, %.3f to %.3f; theirs %.2f is %+.1f %% less, and longer than %.0f %% of ours; %v", nodes, rings, mean, m.Error(), m.At(0), m.At(1), theirs.Mean,
			100*(mean/theirs.Mean-1), 100*m.Below(theirs.Mean), time.Since(began).Round(time.Millisecond))
		if m.Wrong > 0 {
			t.Errorf("%d nodes: %d lookups ended at the wrong node", nodes, m.Wrong)
		}
		if p1, p99 := m.Percentile(1), m.Percentile(99); max(p1-theirs.P1, theirs.P1-p1, p99-theirs.P99, theirs.P99-p99) > 1 {
			t.Errorf("%d nodes: 1st and 99th percentile are %d and %d, theirs are %d and %d", nodes, p1, p99, theirs.P1, theirs.P99)
		}
		if k < 6 && (theirs.Mean < m.At(0) || theirs.Mean > m.At(1)) {
			t.Errorf("%d nodes: none of %d rings is like theirs: %.3f to %.3f, and not %.2f", nodes, rings, m.At(0), m.At(1), theirs.Mean)
		}
		if k >= 6 && math.Abs(mean/theirs.Mean-1) > 0.03 {
			t.Errorf("%d nodes: a mean of %.3f, theirs is %.2f", nodes, mean, theirs.Mean)
		}
		if k > 6 {
			continue
		}
		c.WholeList = true
		whole, err := PathsIn(t.Context(), c, nodes, 3, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if whole.Mean() > mean-0.3 || whole.Wrong > 0 {
			t.Errorf("%d nodes: by the whole list the mean is %.3f, by fingers and one successor %.3f; %d wrong", nodes, whole.Mean(), mean, whole.Wrong)
		}
	}
}

// Figure 10b: the distribution, which has half of all paths within one of the mean.
func TestPathDistribution(t *testing.T) {
	if os.Getenv("TORC_SOAK") == "" {
		t.Skip("2^12 nodes take longer: TORC_SOAK=1")
	}
	t.Parallel()
	m, err := PathsIn(t.Context(), Paper(1), 1<<12, 1, 100<<12)
	if err != nil {
		t.Fatal(err)
	}
	for i, share := range PublishedShares {
		if got := m.Share(i + 1); math.Abs(got-share) > 0.01 {
			t.Errorf("length %d: %.4f of the lookups, theirs are %.4f", i+1, got, share)
		}
	}
}

// A finger table has n entries, log2 N different ones of N nodes or so.
func TestState(t *testing.T) {
	t.Parallel()
	c := usual(1)
	s, err := Grow(t.Context(), c, 64)
	if err != nil {
		t.Fatal(err)
	}
	st := s.State()
	t.Log(st)
	if st.Fingers != 160 || st.Successors != float64(c.List) || st.Different < 4 || st.Different > 8 {
		t.Errorf("%+v", st)
	}
}
