package fence

import (
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func members(addrs ...string) (list []Member) {
	for _, a := range slices.Sorted(slices.Values(addrs)) {
		list = append(list, Member{Addr: a, Weight: 1, Incarnation: "1"})
	}
	return list
}

func newHistory(t testing.TB, cfg Config, done uint64, rejoin Rejoin, views ...View) *History {
	t.Helper()
	n := len(views) - 1
	h, err := NewHistory(cfg, views[:n], views[n], done, rejoin, nil)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// Copies lie on as many hosts as there are, first owners are never changed for
// that, and nobody has two.
func TestOwnersAreOnDifferentHosts(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		hosts := rapid.IntRange(1, 12).Draw(rt, "hosts")
		var addrs []string
		for h := range hosts {
			for p := range rapid.IntRange(1, 6).Draw(rt, "servers of a host") {
				addrs = append(addrs, fmt.Sprintf("10.0.0.%d:%d", h, 11211+p))
			}
		}
		copies := rapid.IntRange(1, 8).Draw(rt, "copies")
		hash := rapid.SampledFrom([]string{"ketama", "murmur3", "rendezvous", "jump"}).Draw(rt, "hash")
		h := newHistory(t, Config{Hash: hash, Copies: copies}, 0, Check, View{Version: 1, Members: members(addrs...)})
		single := newHistory(t, Config{Hash: hash, Copies: 1}, 0, Check, View{Version: 1, Members: members(addrs...)})
		for i := range 20 {
			key := fmt.Sprint("key", i)
			owners := h.Owners(nil, key)
			if len(owners) != min(copies, len(addrs)) {
				rt.Fatalf("%d owners among %d servers, for %d copies", len(owners), len(addrs), copies)
			}
			if owners[0] != single.Owner(key) || owners[0] != h.Owner(key) {
				rt.Fatalf("the first owner is %d, and %d with one copy", owners[0], single.Owner(key))
			}
			on := make(map[string]bool)
			for _, o := range owners {
				host, _, _ := net.SplitHostPort(h.now.Members[o].Addr)
				on[host] = true
			}
			if len(on) != min(hosts, len(owners)) {
				rt.Fatalf("%d owners are on %d of %d hosts", len(owners), len(on), hosts)
			}
			if again := slices.Compact(slices.Sorted(slices.Values(owners))); len(again) != len(owners) {
				rt.Fatalf("owners twice: %v", owners)
			}
		}
	})
}

// The quick answers are those that looking into every view gives.
func TestQuickAnswers(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		cfg := Config{
			Hash:   rapid.SampledFrom([]string{"ketama", "murmur3", "rendezvous", "jump"}).Draw(rt, "hash"),
			VNodes: 4,
			Copies: rapid.IntRange(1, 3).Draw(rt, "copies"),
		}
		var views []View
		for v := range rapid.IntRange(2, 10).Draw(rt, "views") {
			var list []Member
			for s := range 8 {
				switch rapid.IntRange(0, 9).Draw(rt, "state") {
				case 0, 1:
				case 2:
					list = append(list, Member{Addr: fmt.Sprintf("10.0.0.%d:1", s), Weight: 1, Drained: true})
				default:
					list = append(list, Member{Addr: fmt.Sprintf("10.0.0.%d:1", s), Weight: 1})
				}
			}
			views = append(views, View{Version: uint64(2 * (v + 1)), Members: list})
		}
		done := 2 * rapid.Uint64Range(0, uint64(len(views))).Draw(rt, "done")
		h := newHistory(t, cfg, done, Check, views...)
		for i := range 10 {
			key := fmt.Sprint(i)
			owners := h.Owners(nil, key)
			for _, m := range owners {
				for version := h.views[0].Version; version <= h.now.Version; version += 2 { // nobody wrote before
					want := h.owned(key, m, len(h.views)-1, version) < 0
					if got := h.Counts(key, m, version); got != want {
						rt.Fatalf("%s at %s under view %d counts: %v, but it is %v", key, h.now.Members[m].Addr, version, got, want)
					}
				}
			}
			var want []int
			for m := range h.now.Members {
				for _, v := range h.views {
					if !slices.Contains(owners, m) && (v.Version >= done || h.missed[m]) && v.owns(key, m, cfg.Copies) {
						want = append(want, m)
						break
					}
				}
			}
			if got := slices.Sorted(slices.Values(h.Formers(nil, key, owners))); !slices.Equal(got, want) {
				rt.Fatalf("former owners of %s: %v, but they are %v", key, got, want)
			}
		}
	})
}

// A view with nobody in use changes nothing, since nobody could write under it:
// who takes out the last server and back in finds what it held.
func TestViewOfNobodyIsPassedOver(t *testing.T) {
	one := members("10.0.0.1:1")
	drained := slices.Clone(one)
	drained[0].Drained = true
	for what, nobody := range map[string][]Member{"drained": drained, "away": nil} {
		for _, rejoin := range []Rejoin{Check, Drop} {
			h := newHistory(t, Config{Hash: "ketama", Copies: 1}, 0, rejoin,
				View{Version: 1, Members: one}, View{Version: 2, Members: nobody}, View{Version: 3, Members: one})
			if !h.Counts("k", 0, 1) {
				t.Errorf("%s, %v: a value from before does not count", what, rejoin)
			}
		}
	}
}

// A server is away until it has been so for Linger, and of keys that it owned.
func TestAway(t *testing.T) {
	start := time.Unix(1_000_000, 0)
	both, one := members("10.0.0.1:1", "10.0.0.2:1"), members("10.0.0.1:1")
	views := []View{{1, start, both}, {2, start.Add(time.Minute), one}, {3, start.Add(time.Hour), one}}
	cfg := Config{Hash: "murmur3", Copies: 1}
	before := newHistory(t, cfg, 0, Check, views[0])
	h := newHistory(t, cfg, 0, Check, views...)
	dropping := newHistory(t, cfg, 0, Drop, views...)
	for i := range 100 {
		key := fmt.Sprint(i)
		wasElsewhere := before.Owner(key) == 1
		if h.Away(key, start.Add(2*time.Minute)) != wasElsewhere {
			t.Fatalf("%s: away is %v", key, !wasElsewhere)
		}
		if h.Away(key, start.Add(Linger+2*time.Minute)) {
			t.Fatalf("%s: somebody is away after more than an hour", key)
		}
		if dropping.Away(key, start.Add(2*time.Minute)) {
			t.Fatalf("%s: somebody is away though nothing depends on it", key)
		}
	}
}

func TestStamp(t *testing.T) {
	s := NewStamp(7<<10|5, MaxVersion)
	switch {
	case s.Version() != MaxVersion || !s.Of(5) || s.Of(6) || s.Dead(time.Second):
		t.Errorf("%x", s)
	case !s.Lingering().Dead(Linger) || s.Lingering().Dead(Linger+1) || s.Lingering().Dead(0):
		t.Errorf("%x", s.Lingering())
	case s.Lingering().Version() != MaxVersion || !s.Lingering().Of(5):
		t.Errorf("%x", s.Lingering())
	}
}

func BenchmarkCounts(b *testing.B) {
	var addrs []string
	for i := range 100 {
		addrs = append(addrs, fmt.Sprintf("10.0.1.%d:11211", 100+i))
	}
	var views []View
	for i := range 200 { // a rolling restart
		list := addrs
		if i%2 == 1 {
			list = slices.Delete(slices.Clone(addrs), i/2, i/2+1)
		}
		views = append(views, View{Version: uint64(i + 1), Members: members(list...)})
	}
	for _, hash := range []string{"ketama", "murmur3"} {
		h := newHistory(b, Config{Hash: hash, Copies: 3}, 0, Check, views...)
		keys := make([]string, 1024)
		owner := make([]int, len(keys))
		var room [8]int
		for i := range keys {
			keys[i] = fmt.Sprint("key", i)
			owner[i] = h.Owner(keys[i])
			h.Formers(nil, keys[i], h.Owners(room[:0], keys[i])) // makes the rings
		}
		b.Run("owner/"+hash, func(b *testing.B) {
			b.ReportAllocs()
			for i := range b.N {
				h.CountsAtOwner(keys[i&1023], owner[i&1023], 1)
			}
		})
		b.Run("formers/"+hash, func(b *testing.B) {
			b.ReportAllocs()
			var found [8]int
			for i := range b.N {
				h.Formers(found[:0], keys[i&1023], h.Owners(room[:0], keys[i&1023]))
			}
		})
		b.Run("owners/"+hash, func(b *testing.B) {
			b.ReportAllocs()
			for i := range b.N {
				h.Owners(room[:0], keys[i&1023])
			}
		})
	}
}
