package ringsim

import (
	"math"
	"os"
	"slices"
	"testing"
	"time"
)

// published is figure 10 of the paper of 2001: the mean path length with 2^k nodes, and
// the 1st and 99th percentile.
var published = map[int]struct {
	mean    float64
	p1, p99 int
}{
	3: {1.72, 1, 3}, 4: {2.09, 1, 4}, 5: {2.49, 1, 5}, 6: {2.96, 1, 5}, 7: {3.39, 1, 6}, 8: {3.88, 1, 7},
	9: {4.38, 1, 7}, 10: {4.89, 2, 8}, 11: {5.36, 2, 9}, 12: {5.85, 2, 10}, 13: {6.35, 2, 10}, 14: {6.87, 3, 11},
}

// Section 6.3 of the paper of 2001: the path length is about half of log2 N. With few
// nodes one ring is not like another, and theirs is one: it is to be as long as one of
// twenty of ours is at the most, and no shorter than the mean.
func TestPathLength(t *testing.T) {
	t.Parallel()
	most := 8
	if os.Getenv("TORC_SOAK") != "" {
		most = 14
	}
	for k := 3; k <= most; k++ {
		nodes, want := 1<<k, published[k]
		rings := 1
		switch {
		case k < 7:
			rings = 20
		case k < 9:
			rings = 2
		}
		began := time.Now()
		var means []float64
		for i := range rings {
			s, err := Grow(Paper(uint64(1000*k+i)), nodes)
			if err != nil {
				t.Fatal(err)
			}
			p := s.PathLengths(100 * nodes)
			means = append(means, p.Mean)
			if p.Wrong > 0 {
				t.Errorf("%d nodes: %d lookups ended at the wrong node", nodes, p.Wrong)
			}
			if off := max(p.P1-want.p1, want.p1-p.P1, p.P99-want.p99, want.p99-p.P99); off > 1 {
				t.Errorf("%d nodes: 1st and 99th percentile are %d and %d, theirs are %d and %d", nodes, p.P1, p.P99, want.p1, want.p99)
			}
		}
		slices.Sort(means)
		mean := 0.0
		for _, m := range means {
			mean += m / float64(rings)
		}
		t.Logf("%5d nodes, %2d rings: mean %.3f, %.3f to %.3f (theirs %.2f, %+.1f %%); %v", nodes, rings, mean, means[0], means[rings-1], want.mean, 100*(mean/want.mean-1), time.Since(began).Round(time.Millisecond))
		single := rings >= 20 && mean < want.mean && want.mean < means[rings-1]
		if math.Abs(mean/want.mean-1) > 0.03 && !single {
			t.Errorf("%d nodes: a mean of %.3f, theirs is %.2f", nodes, mean, want.mean)
		}
	}
}
