package state

import (
	"cmp"

	"github.com/torc-dht/torc/replica/internal/msg"
)

// itemOverhead is what an entry is reckoned to take beside its key and its value,
// in bytes.
const itemOverhead = 128

// graveTime is for how long what was removed is known to have been, in
// microseconds of the log's time.
const graveTime = 60 * 60 * 1_000_000

// item is the last write of a key: an entry, or what is left of one that was
// removed, a grave. It is never changed, but for place, so images share it.
type item struct {
	key     string
	value   []byte
	version msg.Version
	// time is that of the write, and expires when what was put is over (0: never).
	time, expires uint64
	removed       bool
	// by is the operation that wrote it, if it has a name, without what its client
	// had acknowledged: should another lineage take the write over, it may know it.
	by msg.OpID
	// mayBe tells that the write had a condition, so that elsewhere the same operation
	// may have done nothing.
	mayBe bool
	// place is where the item is in its timeline; only the state that it belongs
	// to looks at it.
	place int
}

// name is what an operation is known by to others than its client.
func name(id msg.OpID) msg.OpID {
	if !remembered(id) {
		return msg.OpID{}
	}
	return msg.OpID{Client: id.Client, Seq: id.Seq}
}

func (it *item) size() uint64 {
	return uint64(len(it.key)) + uint64(len(it.value)) + itemOverhead
}

// entry returns it, or nil if it is nil or a grave.
func (it *item) entry() *item {
	if it == nil || it.removed {
		return nil
	}
	return it
}

// removedAt is since when a grave is one. What expired is one since then, whenever
// that was noticed.
func (it *item) removedAt() uint64 {
	if it.expires != 0 {
		return it.expires
	}
	return it.time
}

// over tells whether an entry has expired by now.
func (it *item) over(now uint64) bool {
	return !it.removed && it.expires != 0 && it.expires <= now
}

// grave returns what an entry leaves when it expires. Its version stays: nobody
// has written.
func (it *item) grave() *item {
	return &item{key: it.key, version: it.version, time: it.time, expires: it.expires, removed: true, by: it.by, mayBe: it.mayBe}
}

// timeline is a heap of items, for container/heap. Ties are by key, so that which
// is first doesn't depend on how they came.
type timeline struct {
	items []*item
	at    func(*item) uint64
}

func (t *timeline) Len() int { return len(t.items) }

func (t *timeline) Less(i, j int) bool {
	a, b := t.items[i], t.items[j]
	return cmp.Or(cmp.Compare(t.at(a), t.at(b)), cmp.Compare(a.key, b.key)) < 0
}

func (t *timeline) Swap(i, j int) {
	t.items[i], t.items[j] = t.items[j], t.items[i]
	t.items[i].place, t.items[j].place = i, j
}

func (t *timeline) Push(x any) {
	it := x.(*item)
	it.place = len(t.items)
	t.items = append(t.items, it)
}

func (t *timeline) Pop() any {
	last := len(t.items) - 1
	it := t.items[last]
	t.items[last] = nil
	t.items = t.items[:last]
	return it
}

// first returns the item of the earliest time, nil if there is none.
func (t *timeline) first() *item {
	if len(t.items) == 0 {
		return nil
	}
	return t.items[0]
}
