package state

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// A ledger does what a slice does, and copies stay what they were.
func TestLedger(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var l ledger
		var want []*record
		var next uint64
		type kept struct {
			copy *ledger
			want []*record
		}
		var copies []kept
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				for range rapid.SampledFrom([]int{1, 20, pageSize, 3 * pageSize}).Draw(t, "records") {
					next += uint64(1 + len(want)%3)
					r := &record{order: next}
					l.add(r)
					want = append(want, r)
				}
			},
			"remove": func(t *rapid.T) {
				n := rapid.SampledFrom([]int{1, 50, pageSize - 1, 3*pageSize - 1}).Draw(t, "records")
				at := rapid.SampledFrom([]int{0, 0, 1, 100, 123456}).Draw(t, "at") // all from one place, or from all places
				step := rapid.SampledFrom([]int{0, 1, 7919}).Draw(t, "step")
				for ; n > 0 && len(want) > 0; n, at = n-1, at+step {
					i := at % len(want)
					l.remove(want[i].order)
					want = slices.Delete(want, i, i+1)
				}
			},
			"replace": func(t *rapid.T) {
				if len(want) > 0 {
					i := rapid.IntRange(0, len(want)-1).Draw(t, "i")
					want[i] = &record{order: want[i].order, time: 1}
					l.replace(want[i])
				}
			},
			"copy": func(*rapid.T) {
				copies = append(copies[max(0, len(copies)-2):], kept{l.copy(), slices.Clone(want)})
			},
			"": func(t *rapid.T) {
				same(t, &l, want)
				for _, c := range copies {
					same(t, c.copy, c.want)
				}
				order := next * uint64(rapid.IntRange(0, 10).Draw(t, "tenths")) / 10
				i := slices.IndexFunc(want, func(r *record) bool { return r.order >= order })
				if i < 0 {
					i = len(want)
				}
				if got := slices.Collect(l.from(order)); !slices.Equal(got, want[i:]) {
					t.Fatalf("from %d there are %d records, want %d", order, len(got), len(want)-i)
				}
				for i, p := range l.pages {
					// Two neighbours could be one only when they have just become so few.
					if n := len(p.records); n == 0 || i > 0 && n+len(l.pages[i-1].records) < pageSize/4 {
						t.Fatalf("page %d has %d records", i, n)
					}
				}
			},
		})
	})
}

func same(t *rapid.T, l *ledger, want []*record) {
	if l.n != len(want) || !slices.Equal(slices.Collect(l.from(0)), want) {
		t.Fatalf("%d records, want %d", l.n, len(want))
	}
	if len(want) == 0 {
		if l.oldest() != nil || l.newest() != nil {
			t.Fatal("an empty ledger has an oldest record")
		}
	} else if l.oldest() != want[0] || l.newest() != want[len(want)-1] {
		t.Fatal("it has another oldest or newest record")
	}
}

// What a few clients that go on leave behind takes a few pages, however long they
// do.
func TestLedgerOfFew(t *testing.T) {
	t.Parallel()
	for _, clients := range []uint64{1, 2, 64, 1000} {
		var l ledger
		for i := range uint64(20_000) {
			l.add(&record{order: i})
			if i >= clients {
				l.remove(i - clients)
			}
			if most := 2 + 4*int(clients)/pageSize; len(l.pages) > most {
				t.Fatalf("%d clients, %d operations: %d pages, want %d at most", clients, i, len(l.pages), most)
			}
		}
	}
}
