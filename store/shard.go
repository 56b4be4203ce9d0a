package store

import (
	"container/heap"
	"sync"
	"unsafe"
)

// entry is an item and its places in the order of use and in the heap.
type entry struct {
	Item
	newer, older *entry
	heapIndex    int // in shard.expiring; -1: it never expires
}

// Overhead is what an item takes besides its key and its value, in bytes: its
// entry, and its slots in the map and the heap, with the empty ones that go with
// them. TestOverhead holds it against what the runtime says.
const Overhead = int64(unsafe.Sizeof(entry{}) + 6*unsafe.Sizeof(uintptr(0)))

// Size is what an item takes of the budget. The value counts with its capacity,
// since that is what is kept.
func Size(keyLen int, value []byte) int64 {
	return Overhead + int64(keyLen) + int64(cap(value))
}

func (e *entry) size() int64            { return Size(len(e.Key), e.Value) }
func (e *entry) expired(now int64) bool { return e.Expires != 0 && e.Expires <= now }

// shard is one part of a store. Whoever calls an XxxLocked method holds mu.
type shard struct {
	mu       sync.Mutex
	entries  map[string]*entry
	order    order
	expiring expiryHeap // entries that expire, the next one on top
	used     int64      // the sum of the entries' sizes
	flushed  int64      // the Store.flushAt that was carried out here last
	flushes  uint64
	scratch  Item // what Update's function works on
	stats    Stats

	_ [64]byte // keeps the next shard's lock off this one's cache line
}

func (sh *shard) init() {
	sh.entries = make(map[string]*entry)
	sh.order.init()
}

// findLocked returns the entry at key, or nil if there is none that is alive.
func (sh *shard) findLocked(key []byte, now int64) *entry {
	e := sh.entries[string(key)]
	if e != nil && e.expired(now) {
		sh.removeLocked(e)
		sh.stats.Expired++
		return nil
	}
	return e
}

// insertLocked makes an entry without a value, the newest. The caller counts
// its size.
func (sh *shard) insertLocked(key string) *entry {
	e := &entry{Item: Item{Key: key}, heapIndex: -1}
	sh.entries[key] = e
	sh.order.pushFront(e)
	return e
}

func (sh *shard) removeLocked(e *entry) {
	delete(sh.entries, e.Key)
	sh.order.remove(e)
	if e.heapIndex >= 0 {
		heap.Remove(&sh.expiring, e.heapIndex)
	}
	sh.used -= e.size()
}

func (sh *shard) bumpLocked(e *entry, now int64) {
	e.Fetched = true
	e.Accessed = now
	sh.order.moveToFront(e)
}

// expireAtLocked changes when e expires; 0 is never.
func (sh *shard) expireAtLocked(e *entry, at int64) {
	was := e.Expires
	e.Expires = at
	switch {
	case at == was && e.heapIndex >= 0 || at == 0 && e.heapIndex < 0:
	case at == 0:
		heap.Remove(&sh.expiring, e.heapIndex)
	case e.heapIndex < 0:
		heap.Push(&sh.expiring, e)
	default:
		heap.Fix(&sh.expiring, e.heapIndex)
	}
}

// reapLocked removes all that has expired.
func (sh *shard) reapLocked(now int64) {
	for len(sh.expiring) > 0 && sh.expiring[0].expired(now) {
		sh.removeLocked(sh.expiring[0])
		sh.stats.Expired++
	}
}

// makeRoomLocked sees to it that more bytes fit into share, by removing entries
// other than keep: expired ones, then, if it may evict, the oldest. The caller
// has seen that it can be done by evicting. False says that it did not evict and
// there is no room.
func (sh *shard) makeRoomLocked(more, share int64, keep *entry, now int64, evict bool) bool {
	if sh.used+more <= share {
		return true
	}
	sh.reapLocked(now)
	for sh.used+more > share {
		if !evict {
			sh.stats.Refused++
			return false
		}
		victim := sh.order.oldest()
		if victim == keep {
			victim = victim.newer
		}
		sh.removeLocked(victim)
		sh.stats.Evictions++
	}
	return true
}

// flushLocked empties the shard. The map is a new one, so that the memory of a
// large one is let go.
func (sh *shard) flushLocked() {
	sh.entries = make(map[string]*entry)
	sh.order.init()
	sh.expiring = nil
	sh.used = 0
	sh.flushes++
}

// order is a ring of entries through a root that is none: root.older is the
// newest entry, root.newer the oldest.
type order struct{ root entry }

func (o *order) init() { o.root.newer, o.root.older = &o.root, &o.root }

func (o *order) oldest() *entry { return o.root.newer }

func (o *order) pushFront(e *entry) {
	e.newer, e.older = &o.root, o.root.older
	e.newer.older, e.older.newer = e, e
}

func (o *order) remove(e *entry) {
	e.newer.older, e.older.newer = e.older, e.newer
	e.newer, e.older = nil, nil
}

func (o *order) moveToFront(e *entry) {
	if o.root.older != e {
		o.remove(e)
		o.pushFront(e)
	}
}

// expiryHeap is a container/heap by Expires that tells each entry its index.
type expiryHeap []*entry

func (h expiryHeap) Len() int           { return len(h) }
func (h expiryHeap) Less(i, j int) bool { return h[i].Expires < h[j].Expires }
func (h expiryHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].heapIndex, h[j].heapIndex = i, j
}

// Push is for container/heap.
func (h *expiryHeap) Push(x any) {
	e := x.(*entry)
	e.heapIndex = len(*h)
	*h = append(*h, e)
}

// Pop is for container/heap.
func (h *expiryHeap) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	e.heapIndex = -1
	return e
}
