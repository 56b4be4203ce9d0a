package ringsim

import (
	"testing"
	"time"

	"github.com/torc-dht/torc/chord/internal/place"
	"github.com/torc-dht/torc/chord/internal/ring"
)

// usual is how nodes are set by default, on a network of one building.
func usual(seed uint64) Config {
	return Config{Seed: seed, Circle: place.MaxBits, List: 8, Period: 200 * time.Millisecond, Jitter: 20 * time.Millisecond, Patience: 600 * time.Millisecond, Latency: 10 * time.Millisecond, WholeList: true}
}

// Rings of any size grow from one node, and everybody finds everything.
func TestGrow(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, 3, 5, 8, 9, 10, 64} {
		s, err := Grow(t.Context(), usual(uint64(n)), n)
		if err != nil {
			t.Error(err)
			continue
		}
		p, err := s.PathLengths(t.Context(), 1000)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%d nodes: settled after %v and %d messages; paths of %.2f", n, s.Now(), s.Sent, p.Mean())
		if p.Wrong > 0 {
			t.Errorf("%d nodes: %d of 1000 lookups ended at the wrong node", n, p.Wrong)
		}
	}
}

// A seed decides everything.
func TestSameSeedSameRun(t *testing.T) {
	t.Parallel()
	run := func(seed uint64) (uint64, []ring.Ref) {
		s, err := Grow(t.Context(), usual(seed), 20)
		if err != nil {
			t.Fatal(err)
		}
		var refs []ring.Ref
		for _, n := range s.Live() {
			refs = append(append(refs, n.Ref()), n.Fingers()...)
		}
		return s.Sent, refs
	}
	sent, refs := run(7)
	again, same := run(7)
	if sent != again || len(refs) != len(same) {
		t.Fatalf("%d messages, and %d the second time", sent, again)
	}
	for i := range refs {
		if refs[i] != same[i] {
			t.Fatalf("%v, and %v the second time", refs[i], same[i])
		}
	}
	if other, _ := run(8); other == sent {
		t.Error("another seed gives the same")
	}
}

// A fifth dies at one instant. As long as nobody loses its whole list the ring closes.
func TestMassacre(t *testing.T) {
	t.Parallel()
	c := usual(1)
	c.List = 16
	s, err := Grow(t.Context(), c, 100)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		s.Kill(s.RandomNode())
	}
	took, err := s.Settle(t.Context(), 5*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("settled after %v", took)
	if p, err := s.PathLengths(t.Context(), 1000); err != nil || p.Wrong > 0 {
		t.Errorf("%d of 1000 lookups ended at the wrong node, %v", p.Wrong, err)
	}
}
