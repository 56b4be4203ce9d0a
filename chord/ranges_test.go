package chord

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"github.com/torc-dht/torc/chord/internal/place"
	"github.com/torc-dht/torc/chord/internal/ring"
)

// small is place i of a circle.
func small(i int) (p place.Place) {
	p[len(p)-1] = byte(i)
	return p
}

// Against sets of places on a small circle: who is heard of last has all of its span,
// and others have what lies before them without a gap.
func TestRangesAgainstSets(t *testing.T) {
	t.Parallel()
	const places = 16
	type owner struct {
		to   int
		owns [places]bool
	}
	rapid.Check(t, func(t *rapid.T) {
		var r ranges
		owners := map[uint64]*owner{}
		for boot := uint64(1); boot <= 12; boot++ {
			from, to := rapid.IntRange(0, places-1).Draw(t, "from"), rapid.IntRange(0, places-1).Draw(t, "to")
			r = r.with(arc{from: small(from), owner: ring.Ref{Place: small(to), Boot: boot}})
			news := owner{to: to}
			for i := range places {
				news.owns[i] = place.Between(small(from), small(i), small(to))
			}
			for _, o := range owners {
				var left [places]bool
				for i := o.to; o.owns[i] && !news.owns[i] && !left[i]; i = (i + places - 1) % places {
					left[i] = true
				}
				o.owns = left
			}
			owners[boot] = &news
			for i := range places {
				want := uint64(0)
				for boot, o := range owners {
					if o.owns[i] {
						want = boot
					}
				}
				got := uint64(0)
				if a := r.find(small(i)); a != nil {
					got = a.owner.Boot
				}
				if got != want {
					t.Fatalf("when (%d, %d] is %d's, place %d is %d's, want %d: %v", from, to, boot, i, got, want, r.arcs)
				}
			}
			for i := range r.ends {
				if r.ends[i] != r.arcs[i].owner.Place || i > 0 && r.ends[i-1].Compare(r.ends[i]) >= 0 {
					t.Fatalf("out of order: %v", r.arcs)
				}
			}
		}
	})
}

func BenchmarkRangesFind(b *testing.B) {
	c := place.Circle(place.MaxBits)
	for _, nodes := range []int{8, 1024} {
		b.Run(fmt.Sprint("nodes=", nodes), func(b *testing.B) {
			var r ranges
			for i := range nodes {
				r = r.with(arc{owner: ring.Ref{Place: c.OfKey(fmt.Sprint("node ", i)), Boot: uint64(i + 1)}})
			}
			for i := range r.arcs { // as in a settled ring
				r.arcs[i].from = r.ends[(i+len(r.ends)-1)%len(r.ends)]
			}
			targets := make([]place.Place, 256)
			for i := range targets {
				targets[i] = c.OfKey(fmt.Sprint("key ", rand.Int()))
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if i++; r.find(targets[i%len(targets)]) == nil {
					b.Fatal("a gap in a settled ring")
				}
			}
		})
	}
}
