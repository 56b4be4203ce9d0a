package store

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// model is the stupid version of a store with one shard: a list from the least
// to the most recently used, searched from end to end.
type model struct {
	items   []Item
	share   int64
	noEvict bool
	cas     uint64
	flushAt int64
}

func (m *model) advance(now int64) {
	if m.flushAt != 0 && now >= m.flushAt {
		m.items, m.flushAt = nil, 0
	}
	m.items = slices.DeleteFunc(m.items, func(it Item) bool { return it.Expires != 0 && it.Expires <= now })
}

func (m *model) find(key string) int {
	return slices.IndexFunc(m.items, func(it Item) bool { return it.Key == key })
}

func (m *model) used() int64 {
	var n int64
	for _, it := range m.items {
		n += Size(len(it.Key), it.Value)
	}
	return n
}

func (m *model) bump(i int, now int64) {
	it := m.items[i]
	it.Fetched, it.Accessed = true, now
	m.items = append(slices.Delete(m.items, i, i+1), it)
}

func (m *model) set(it Item, now int64) error {
	size := Size(len(it.Key), it.Value)
	if size > m.share {
		return ErrTooLarge
	}
	others := slices.Clone(m.items)
	if i := m.find(it.Key); i >= 0 {
		others = slices.Delete(others, i, i+1)
	}
	rest := model{items: others}
	for rest.used()+size > m.share {
		if m.noEvict {
			return ErrFull
		}
		rest.items = rest.items[1:]
	}
	m.cas++
	it.CAS, it.Accessed = m.cas, now
	m.items = append(rest.items, it)
	return nil
}

// TestAgainstModel runs random operations on a store and on the model, with a
// clock that moves in jumps, and wants the same answers, the same items, the
// same order of eviction, and never a byte above the budget.
func TestAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		clock := int64(1e18)
		budget := rapid.Int64Range(Overhead, 12*Overhead).Draw(t, "budget")
		m := &model{share: budget, noEvict: rapid.Bool().Draw(t, "noEvict")}
		s := New(Config{MaxBytes: budget, NoEvict: m.noEvict, Shards: 1, Now: func() time.Time { return time.Unix(0, clock) }})

		keys := rapid.Custom(func(t *rapid.T) string { return fmt.Sprint("k", rapid.IntRange(0, 9).Draw(t, "key")) })
		values := rapid.Map(rapid.IntRange(0, int(2*Overhead)), func(n int) []byte { return make([]byte, n) })
		ttls := rapid.SampledFrom([]time.Duration{-1, 0, 1, 2 * time.Second, 5 * time.Second})
		expires := func(d time.Duration) int64 {
			if d == 0 {
				return 0
			}
			return clock + int64(d)
		}

		t.Repeat(map[string]func(*rapid.T){
			"get": func(t *rapid.T) {
				key := keys.Draw(t, "key")
				got, ok := s.Get([]byte(key))
				i := m.find(key)
				if ok != (i >= 0) {
					t.Fatalf("Get(%s) found %v, the model %v", key, ok, i >= 0)
				}
				if ok {
					wantItem(t, got, m.items[i])
					m.bump(i, clock)
				}
			},
			"set": func(t *rapid.T) {
				it := Item{
					Key: keys.Draw(t, "key"), Value: values.Draw(t, "value"), Flags: rapid.Uint32().Draw(t, "flags"),
					Marks: rapid.Uint8().Draw(t, "marks"), Expires: expires(ttls.Draw(t, "ttl")),
				}
				if got, want := s.Set([]byte(it.Key), it), m.set(it, clock); got != want {
					t.Fatalf("Set(%s, %d bytes): %v, the model says %v", it.Key, len(it.Value), got, want)
				}
			},
			"append": func(t *rapid.T) {
				key, more := keys.Draw(t, "key"), values.Draw(t, "value")
				_, got := s.Update([]byte(key), func(it *Item, found bool) Action {
					if !found {
						return Keep
					}
					it.Value = append(slices.Clip(it.Value), more...)
					it.Value = slices.Clip(it.Value)
					return Write
				})
				var want error
				if i := m.find(key); i >= 0 {
					it := m.items[i]
					it.Value = slices.Clip(append(slices.Clip(it.Value), more...))
					want = m.set(it, clock)
				}
				if got != want && !(got == nil && want == nil) {
					t.Fatalf("append to %s: %v, the model says %v", key, got, want)
				}
			},
			"amend": func(t *rapid.T) {
				key, at := keys.Draw(t, "key"), expires(ttls.Draw(t, "ttl"))
				bump := rapid.Bool().Draw(t, "bump")
				marks := rapid.Uint8().Draw(t, "marks")
				_, _ = s.Update([]byte(key), func(it *Item, found bool) Action {
					it.Expires, it.Marks, it.Value = at, marks, nil // the value is not taken over
					if bump {
						return Amend | Bump
					}
					return Amend
				})
				if i := m.find(key); i >= 0 {
					m.items[i].Expires, m.items[i].Marks = at, marks
					if bump {
						m.bump(i, clock)
					}
				}
			},
			"delete": func(t *rapid.T) {
				key := keys.Draw(t, "key")
				i := m.find(key)
				if got := s.Delete([]byte(key)); got != (i >= 0) {
					t.Fatalf("Delete(%s) = %v, the model says %v", key, got, i >= 0)
				}
				if i >= 0 {
					m.items = slices.Delete(m.items, i, i+1)
				}
			},
			"flush": func(t *rapid.T) {
				d := rapid.SampledFrom([]time.Duration{-time.Second, 0, 3 * time.Second}).Draw(t, "delay")
				s.Flush(time.Unix(0, clock).Add(d))
				m.flushAt = clock + int64(d)
			},
			"time": func(*rapid.T) {
				clock += int64(rapid.SampledFrom([]time.Duration{1, time.Second, 4 * time.Second}).Draw(t, "passes"))
			},
			"": func(t *rapid.T) {
				m.advance(clock)
				if got := s.shards[0].used; got > budget {
					t.Fatalf("%d bytes used of %d", got, budget)
				}
				st := s.Stats()
				if int(st.Items) != len(m.items) || int64(st.Bytes) != m.used() {
					t.Fatalf("%d items in %d bytes, the model has %d in %d", st.Items, st.Bytes, len(m.items), m.used())
				}
				checkShard(t, &s.shards[0])
				got := map[string]Item{}
				for it := range s.All() {
					got[it.Key] = it
				}
				for _, want := range m.items {
					wantItem(t, got[want.Key], want)
				}
				var order []string
				for e := s.shards[0].order.oldest(); e != &s.shards[0].order.root; e = e.newer {
					order = append(order, e.Key)
				}
				for i, it := range m.items {
					if order[i] != it.Key {
						t.Fatalf("order of use is %v, the model has %s at %d", order, it.Key, i)
					}
				}
			},
		})
	})
}

func wantItem(t *rapid.T, got, want Item) {
	t.Helper()
	if !bytes.Equal(got.Value, want.Value) {
		t.Fatalf("%s: value of %d bytes, want %d", want.Key, len(got.Value), len(want.Value))
	}
	got.Value, want.Value = nil, nil
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("got %+v, want %+v", got, want)
	}
}

// checkShard holds a shard's map, list, heap and sum against each other.
func checkShard(t interface{ Fatalf(string, ...any) }, sh *shard) {
	var used int64
	listed := map[string]*entry{}
	for e := sh.order.oldest(); e != &sh.order.root; e = e.newer {
		listed[e.Key] = e
		used += e.size()
		if (e.heapIndex >= 0) != (e.Expires != 0) {
			t.Fatalf("%s expires at %d and is at %d in the heap", e.Key, e.Expires, e.heapIndex)
		}
	}
	if !maps.Equal(listed, sh.entries) {
		t.Fatalf("%d entries in the list, %d in the map", len(listed), len(sh.entries))
	}
	if used != sh.used {
		t.Fatalf("entries take %d bytes, and %d are counted", used, sh.used)
	}
	for i, e := range sh.expiring {
		if e.heapIndex != i || listed[e.Key] != e {
			t.Fatalf("the heap's entry %d, %s, believes to be at %d", i, e.Key, e.heapIndex)
		}
		if i > 0 && sh.expiring[(i-1)/2].Expires > e.Expires {
			t.Fatalf("the heap is out of order at %d", i)
		}
	}
}
