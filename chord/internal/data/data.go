package data

import (
	"cmp"
	"encoding/binary"
	"unsafe"

	"github.com/tidwall/btree"

	"github.com/torc-dht/torc/chord/internal/msg"
	"github.com/torc-dht/torc/chord/internal/place"
)

// Data is the entries and records of one node. Make it with New.
type Data struct {
	circle place.Circle

	byKey    map[string]*entry
	byPlace  *btree.BTreeG[spot] // the same ones
	graves   *btree.BTreeG[spot] // those of them that are tombstones
	byExpiry *btree.BTreeG[*entry]
	bytes    uint64

	clients  btree.Map[uint64, *client]
	expiring uint64 // the client that ExpireRecords looks at next

	generation uint32
}

// entry is what there is at a key.
type entry struct {
	msg.Entry
	place      place.Place
	generation uint32 // in which it was put
}

// spot is an entry in an order by place. Most comparisons are decided by prefix,
// without a look at the entry.
type spot struct {
	prefix uint64 // the topmost 64 bits of a place on the circle
	*entry
}

// overhead is what an entry takes besides its key and value, in bytes: itself, and its
// places in the map and the order, neither of which is ever quite full.
const overhead = uint64(unsafe.Sizeof(entry{})) + 10*uint64(unsafe.Sizeof(uintptr(0)))

// Size is what Bytes counts for an entry, or would.
func Size(e *msg.Entry) uint64 { return overhead + uint64(len(e.Key)) + uint64(len(e.Value)) }

// New returns a Data with nothing in it, for keys on a circle.
func New(c place.Circle) *Data {
	unlocked := btree.Options{NoLocks: true}
	return &Data{
		circle:   c,
		byKey:    make(map[string]*entry),
		byPlace:  btree.NewBTreeGOptions(spot.less, unlocked),
		graves:   btree.NewBTreeGOptions(spot.less, unlocked),
		byExpiry: btree.NewBTreeGOptions(expiresBefore, unlocked),
	}
}

// spot returns where e is in an order by place.
func (d *Data) spot(e *entry) spot {
	// What is in front of a place's n bits is zero.
	from := min(max(0, len(e.place)-(int(d.circle)+7)/8), len(e.place)-8)
	return spot{prefix: binary.BigEndian.Uint64(e.place[from:]), entry: e}
}

func (s spot) less(o spot) bool {
	if s.prefix != o.prefix {
		return s.prefix < o.prefix
	}
	if c := s.place.Compare(o.place); c != 0 {
		return c < 0
	}
	return s.Key < o.Key
}

func expiresBefore(e, o *entry) bool {
	return cmp.Or(cmp.Compare(e.Expires, o.Expires), e.place.Compare(o.place), cmp.Compare(e.Key, o.Key)) < 0
}

// Keys counts the entries that are no tombstones.
func (d *Data) Keys() uint64 { return uint64(len(d.byKey) - d.graves.Len()) }

// Tombstones counts those that are.
func (d *Data) Tombstones() uint64 { return uint64(d.graves.Len()) }

// Bytes is the sum of the Sizes of all entries, tombstones too. Records are few and
// not in it.
func (d *Data) Bytes() uint64 { return d.bytes }

// Get returns what there is at a key, a tombstone too; nil if there is nothing. What
// it points to is not to be changed, and good until the next call that changes d.
func (d *Data) Get(key []byte) *msg.Entry {
	if e := d.byKey[string(key)]; e != nil {
		return &e.Entry
	}
	return nil
}

// Put makes e what there is at its key, which is never empty, whatever was there
// before. d keeps Key and Value: they are not to be changed, and should be no parts of
// something larger, which would be kept with them.
func (d *Data) Put(e msg.Entry) {
	at := d.byKey[e.Key]
	if at == nil {
		at = &entry{Entry: e, place: d.circle.OfKey(e.Key)}
		d.byKey[e.Key] = at
		d.byPlace.Set(d.spot(at))
	} else {
		d.unmark(at)
		e.Key = at.Key
		at.Entry = e
	}
	at.generation = d.generation
	d.mark(at)
}

// mark counts e, as it is now, and has it in the orders that not every entry is in.
func (d *Data) mark(e *entry) {
	d.bytes += Size(&e.Entry)
	if e.Removed {
		d.graves.Set(d.spot(e))
	}
	if e.Expires != 0 {
		d.byExpiry.Set(e)
	}
}

// unmark undoes mark.
func (d *Data) unmark(e *entry) {
	d.bytes -= Size(&e.Entry)
	if e.Removed {
		d.graves.Delete(d.spot(e))
	}
	if e.Expires != 0 {
		d.byExpiry.Delete(e)
	}
}

// Remove removes what there is at a key, without a tombstone.
func (d *Data) Remove(key string) {
	if e := d.byKey[key]; e != nil {
		d.remove(e)
	}
}

func (d *Data) remove(e *entry) {
	d.unmark(e)
	d.byPlace.Delete(d.spot(e))
	delete(d.byKey, e.Key)
}

// Expire removes up to most entries that have expired, now being in microseconds since
// 1970, and returns how many.
func (d *Data) Expire(now uint64, most int) (removed int) {
	for removed < most {
		e, ok := d.byExpiry.Min()
		if !ok || e.Expires > now {
			break
		}
		d.remove(e)
		removed++
	}
	return removed
}
