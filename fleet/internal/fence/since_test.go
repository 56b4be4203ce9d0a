package fence

import (
	"fmt"
	"slices"
	"testing"
)

// Kept is compared with what Owners of each view's own history says.
func TestKept(t *testing.T) {
	member := func(i int, incarnation string, drained bool) Member {
		return Member{Addr: fmt.Sprintf("10.0.0.%d:11211", i), Weight: 1, Incarnation: incarnation, Drained: drained}
	}
	views := []View{
		{Version: 3, Members: []Member{member(1, "a", false), member(2, "a", false)}},
		{Version: 5, Members: []Member{member(1, "a", false), member(2, "a", false), member(3, "a", false)}},
		{Version: 6, Members: []Member{member(1, "a", false), member(2, "a", true), member(3, "a", false), member(4, "a", false)}},
		{Version: 9, Members: []Member{member(1, "a", false), member(2, "a", false), member(3, "b", false), member(4, "a", false)}},
	}
	for _, hash := range []string{"ketama", "murmur3", "rendezvous", "jump"} {
		for copies := 1; copies <= 3; copies++ {
			cfg := Config{Hash: hash, Copies: copies}
			then := make([]*History, len(views))
			for i, v := range views {
				var err error
				if then[i], err = NewHistory(cfg, nil, v, 0, Check, nil); err != nil {
					t.Fatal(err)
				}
			}
			for _, done := range []uint64{0, 2, 3, 5, 6, 7, 9} {
				h, err := NewHistory(cfg, views[:3], views[3], done, Check, nil)
				if err != nil {
					t.Fatal(err)
				}
				since := h.Since()
				from := slices.IndexFunc(views, func(v View) bool { return v.Version == done })
				if since.Known() != (from >= 0) {
					t.Fatalf("done %d: known is %v", done, since.Known())
				}
				for k := range 300 {
					key := fmt.Sprint(k)
					owners := h.Owners(nil, key)
					var want uint
					for i, o := range owners {
						addr, kept := views[3].Members[o].Addr, from >= 0
						for n := max(from, 0); n < len(views); n++ {
							v := views[n]
							kept = kept && slices.ContainsFunc(then[n].Owners(nil, key), func(m int) bool {
								return v.Members[m].Addr == addr && v.Members[m].Incarnation == views[3].Members[o].Incarnation
							})
						}
						if kept {
							want |= 1 << i
						}
					}
					if got := since.Kept(key, owners, nil); got != want {
						t.Fatalf("%s, %d copies, done %d, key %s, owners %v: kept %b, want %b", hash, copies, done, key, owners, got, want)
					}
				}
				owners, scratch := make([]int, 0, 8), make([]int, 8)
				allocs := testing.AllocsPerRun(100, func() {
					since.Kept("key", h.Owners(owners, "key"), scratch)
				})
				if allocs > 0 {
					t.Errorf("%s: Kept allocates %v times", hash, allocs)
				}
			}
		}
	}
}
