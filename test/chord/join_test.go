package chord

import (
	"math/rand/v2"
	"testing"

	"github.com/torc-dht/torc/internal/cluster"
)

// TestRandomChanges has nodes join, fail and be killed by chance, one at a time: after
// each of those every pair is there, and lies on r+1 nodes.
func TestRandomChanges(t *testing.T) {
	beside(t)
	changes := 6
	if soak() {
		changes = 100
	} else if *faults > 0 {
		changes = 10 * *faults
	}
	seed := rand.Uint64()
	t.Logf("seed of the changes: %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	l := start(t, cluster.Options{}, 5, 2, 1000)
	for i := range changes {
		victim := l.nodes[r.IntN(len(l.nodes))]
		var what string
		switch n := r.IntN(4); {
		case n < 2 && len(l.nodes) < 9 || len(l.nodes) < 4:
			what = "joined"
			victim = l.join()
		case n == 2:
			what = "told to fail"
			l.fail(victim)
		default:
			what = "killed"
			l.kill(victim)
		}
		pairs := l.counted()
		l.present()
		if pairs != l.pairs {
			t.Fatalf("change %d: %v %s, and there are %d pairs instead of %d", i+1, victim, what, pairs, l.pairs)
		}
	}
	l.trusted()
}
