// Package store is one machine's memory: items with a byte budget, a time to
// live and a version each, kept in order of use so that the least recently used
// go first when room is needed.
//
//	s := store.New(store.Config{MaxBytes: 1 << 30})
//	err := s.Set([]byte("greeting"), store.Item{Value: []byte("hello")})
//	it, ok := s.Get([]byte("greeting"))
//
// # One primitive
//
// [Store.Update] runs a function on the item at a key, alone with it, and does
// what the function says: leave it, write it, amend it, remove it. Everything
// that has to be atomic (add, compare and set, append, increment, get and touch)
// is such a function; [Store.Set] and [Store.Delete] are two of them, package
// memcache has the others.
//
// # Shards
//
//	key ── hash ──> shard ──> map ──> entry ──> value
//	                  │                 ├─ order of use: newest ... oldest
//	                  │                 └─ heap: the next to expire on top
//	                  └─ one lock, one share of the budget
//
// A shard is a lock, a map, a list and a heap. It has an equal share of
// the budget and never exceeds it: room is made before an item is written,
// first from items that have expired, then from the end of the list. There is no
// goroutine: what has expired is removed by the calls that come upon it.
//
// # Duties of the caller
//
// Values belong to the store once they are handed over and to nobody once they
// are returned: they are never changed, and one slice may be in many hands. That
// is why a Get copies nothing.
package store
