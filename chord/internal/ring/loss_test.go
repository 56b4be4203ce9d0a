package ring

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// Messages are lost while nodes come and go, and after half a minute of quiet there is
// one ordered ring. If one of a hundred is lost it goes on being lost then, too.
func TestLoss(t *testing.T) {
	t.Parallel()
	for _, percent := range []int{1, 10, 30} {
		t.Run(fmt.Sprint(percent), func(t *testing.T) {
			t.Parallel()
			var worst, sum time.Duration
			n := many(5)
			for seed := range uint64(n) {
				took, err := lossy(t, seed, percent)
				if err != nil {
					t.Errorf("seed %d: %v", seed, err)
				}
				worst, sum = max(worst, took), sum+took
			}
			t.Logf("%d seeds: one ring after %v on average and %v at most", n, (sum / time.Duration(n)).Round(time.Millisecond), worst)
		})
	}
}

func lossy(t testing.TB, seed uint64, percent int) (took time.Duration, err error) {
	rng := rand.New(rand.NewPCG(seed, 4))
	w, err := grown(t, 2+rng.IntN(20), 2+rng.IntN(7), rng)
	if err != nil {
		return 0, err
	}
	c := w.cut(1, func(int) int { return 0 })
	w.lose = func(*letter) bool { return rng.IntN(100) < percent }
	for range 60 {
		if rng.IntN(3) == 0 && len(w.all) < 30 {
			c.churn(0, rng)
		}
		w.run(500 * time.Millisecond)
	}
	if percent > 1 {
		w.lose = nil
	}
	w.strand()
	return w.until(quiet, w.disorder)
}
