package data

import (
	"sort"

	"github.com/tidwall/btree"

	"github.com/torc-dht/torc/chord/internal/msg"
	"github.com/torc-dht/torc/chord/internal/place"
)

// Cursor is how far a Scan or a Sweep has come on its way through a span. The zero
// Cursor is before everything.
type Cursor struct {
	stage stage
	// What is passed last; it may be gone since.
	place  place.Place // of an entry
	key    string
	client uint64
}

// stage says what a cursor has come to.
type stage uint8

const (
	atBegin   stage = iota
	atEntry         // it has passed one
	atClients       // it has passed all entries
)

// After returns the cursor that has just passed where a key lies, whether there is an
// entry or not.
func (d *Data) After(key string) Cursor {
	return Cursor{stage: atEntry, place: d.circle.OfKey(key), key: key}
}

// What of entries and records are counted as when they are sent, besides key and value.
const (
	entryBytes  = 48
	recordBytes = 64
)

// Scan returns what lies in a span beyond a cursor: entries, in order from span.From on
// clockwise, and when there are no more, records. It stops when it has maxBytes, about,
// and has at least one of either unless it is done; next is where to go on. What is
// put, recorded or removed while a scan goes on is seen if it lies beyond the cursor;
// what is there from beginning to end is seen, once.
//
// Records have the highest Oldest of their clients. Of clients without one in the span,
// but with answered writes anywhere, there is one that says so: its Number is below its
// Oldest, and its Place span.To.
func (d *Data) Scan(span msg.Span, after Cursor, maxBytes int) (entries []msg.Entry, records []msg.Record, next Cursor, done bool) {
	left := max(maxBytes, 1)
	if next = after; next.stage != atClients {
		w := d.walk(span, after)
		for e := w.next(); e != nil; e = w.next() {
			if entries == nil {
				entries = make([]msg.Entry, 0, d.expect(left))
			}
			entries = append(entries, e.Entry)
			if left -= entryBytes + len(e.Key) + len(e.Value); left <= 0 {
				return entries, nil, Cursor{stage: atEntry, place: e.place, key: e.Key}, false
			}
		}
		next = Cursor{stage: atClients}
	}
	done = true
	d.clients.Ascend(next.client, func(id uint64, c *client) bool {
		if id == next.client {
			return true
		}
		if left <= 0 {
			done = false
			return false
		}
		next.client = id
		before := len(records)
		records = c.scan(records, id, span)
		left -= recordBytes * (len(records) - before)
		return true
	})
	return entries, records, next, done
}

// firstNumber is what clients begin to number their writes with. Most write once.
const firstNumber = 1

// scan appends the records that a scan of a span has of a client.
func (c *client) scan(records []msg.Record, id uint64, span msg.Span) []msg.Record {
	before := len(records)
	for _, r := range c.open() {
		if place.Between(span.From, r.Place, span.To) {
			r.Op.Oldest = c.oldest
			records = append(records, r.Record)
		}
	}
	if c.oldest > firstNumber && len(records) == before {
		records = append(records, msg.Record{Op: msg.OpID{Client: id, Oldest: c.oldest}, Place: span.To, At: c.at})
	}
	return records
}

// expect is how many entries bytes are enough for, on average, when there are any; not
// more than what few bytes are enough for, as there may be few in a span.
func (d *Data) expect(bytes int) int {
	n := len(d.byKey)
	each := d.bytes/uint64(n) - overhead + entryBytes
	return min(n, min(bytes, 1<<18)/int(each)+1)
}

// Begin begins a generation: entries and records that are put and recorded from now on
// are of it, or of a later one. A Data has 2^32 of them.
func (d *Data) Begin() (generation uint64) {
	d.generation++
	return uint64(d.generation)
}

// step is how many entries are looked at before those of them that go are removed.
const step = 1024

// Sweep removes the entries and records in a span that were put and recorded before a
// generation began, and not since.
func (d *Data) Sweep(span msg.Span, generation uint64) {
	for at, done := (Cursor{}), false; !done; {
		at, done = d.SweepSome(span, generation, at, step)
	}
}

// SweepSome is a step of a Sweep, which looks at up to most entries beyond a cursor, and
// with the last of them at all records; next is where to go on, until done.
func (d *Data) SweepSome(span msg.Span, generation uint64, after Cursor, most int) (next Cursor, done bool) {
	return d.prune(span, after, most, uint32(generation))
}

// Drop removes all entries and records in a span.
func (d *Data) Drop(span msg.Span) {
	for d.DropSome(span, step) {
	}
}

// DropSome is a step of a Drop: it removes up to most entries, and with the last of them
// all records. It tells whether there may be more.
func (d *Data) DropSome(span msg.Span, most int) (more bool) {
	_, done := d.prune(span, Cursor{}, most, d.generation+1)
	return !done
}

// prune removes what there is in a span of before a generation.
func (d *Data) prune(span msg.Span, after Cursor, most int, generation uint32) (next Cursor, done bool) {
	var old []*entry
	next = after
	w := d.walk(span, after)
	for range most {
		e := w.next()
		if e == nil {
			d.pruneRecords(span, generation)
			done = true
			break
		}
		next = Cursor{stage: atEntry, place: e.place, key: e.Key}
		if e.generation < generation {
			old = append(old, e)
		}
	}
	for _, e := range old {
		d.remove(e)
	}
	return next, done
}

// Count counts the entries in a span that are no tombstones. Of a million it takes
// microseconds.
func (d *Data) Count(span msg.Span) int {
	return d.count(d.byPlace, span) - d.count(d.graves, span)
}

func (d *Data) count(tree *btree.BTreeG[spot], span msg.Span) int {
	// rank counts those at places before p.
	rank := func(p place.Place) int {
		return sort.Search(tree.Len(), func(i int) bool {
			s, _ := tree.GetAt(i)
			return s.place.Compare(p) >= 0
		})
	}
	begin, after := d.circle.Plus(span.From, 0), d.circle.Plus(span.To, 0)
	n := rank(after) - rank(begin)
	if after.Compare(begin) <= 0 { // by way of zero
		n += tree.Len()
	}
	return n
}

// walk is on its way through the entries of a span. A span that goes by way of zero is
// two laps: up to the end of the circle, and from zero on.
type walk struct {
	iter   btree.IterG[spot]
	ok     bool        // iter is at an entry
	toZero bool        // there is another lap
	zero   spot        // less than all others
	end    place.Place // of the last lap
}

// walk begins a walk beyond a cursor. d is not to be changed before its last next.
func (d *Data) walk(span msg.Span, after Cursor) *walk {
	begin := d.circle.Plus(span.From, 0)
	if after.stage == atBegin {
		after.place = begin
	}
	w := &walk{iter: d.byPlace.Iter(), end: span.To, zero: d.spot(new(entry))}
	w.toZero = begin.Compare(span.To) > 0 && after.place.Compare(begin) >= 0
	from := d.spot(&entry{place: after.place, Entry: msg.Entry{Key: after.key}})
	if w.ok = w.iter.Seek(from); w.ok && after.stage == atEntry && !from.less(w.iter.Item()) {
		w.ok = w.iter.Next()
	}
	return w
}

// next returns the next entry; nil at the end.
func (w *walk) next() *entry {
	if !w.ok && w.toZero {
		w.toZero = false
		w.ok = w.iter.Seek(w.zero)
	}
	if !w.ok {
		return nil
	}
	e := w.iter.Item().entry
	if !w.toZero && e.place.Compare(w.end) > 0 {
		w.ok = false
		return nil
	}
	w.ok = w.iter.Next()
	return e
}
