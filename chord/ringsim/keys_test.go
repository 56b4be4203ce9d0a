package ringsim

import (
	"math"
	"testing"
)

// Figures 8 and 9: with r virtual nodes, keys a node follow the gamma distribution of
// shape r, of which these are the 1st and the 99th percentile in per cent of the mean.
func TestKeysFollowGamma(t *testing.T) {
	t.Parallel()
	for _, want := range []struct {
		virtual, nodes, rings int
		p1, p99               float64
	}{{1, 1000, 4, 1, 461}, {2, 600, 3, 7, 332}, {5, 400, 2, 26, 232}, {10, 200, 2, 41, 188}} {
		const perNode = 500
		ks, err := KeysPerNode(t.Context(), Paper(uint64(want.virtual)), want.nodes, want.virtual, want.rings, []int{perNode * want.nodes})
		if err != nil {
			t.Fatal(err)
		}
		k := ks[0]
		if k.Mean() != perNode || k.Total() != want.nodes*want.rings {
			t.Errorf("%d nodes have %.1f keys on average", k.Total(), k.Mean())
		}
		p1, p99 := float64(k.Percentile(1))*100/perNode, float64(k.Percentile(99))*100/perNode
		t.Logf("%d virtual nodes: 1st percentile %.1f %% of the mean (gamma: %.0f), 99th %.1f %% (gamma: %.0f)", want.virtual, p1, want.p1, p99, want.p99)
		// 400 to 4000 nodes: their 99th percentile has a standard deviation of 5 to 10 %.
		if math.Abs(p1-want.p1) > 5 || math.Abs(p99/want.p99-1) > 0.2 {
			t.Errorf("%d virtual nodes: 1st and 99th percentile are %.1f and %.1f %% of the mean, gamma has %.0f and %.0f", want.virtual, p1, p99, want.p1, want.p99)
		}
	}
}

// Figure 8a, with a tenth of the nodes and of the keys.
func TestKeysPerNode(t *testing.T) {
	t.Parallel()
	keys := make([]int, len(PublishedLoads))
	for i, p := range PublishedLoads {
		keys[i] = p.Keys / 10
	}
	ks, err := KeysPerNode(t.Context(), Paper(1), 1000, 1, 5, keys)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range PublishedLoads {
		if k := &ks[i]; k.Percentile(1) > 2 || math.Abs(float64(k.Percentile(99))/float64(p.P99)-1) > 0.15 {
			t.Errorf("%.0f keys a node: 1st and 99th percentile are %d and %d, theirs are %d and %d", k.Mean(), k.Percentile(1), k.Percentile(99), p.P1, p.P99)
		}
	}
}
