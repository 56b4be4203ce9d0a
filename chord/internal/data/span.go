package data

import (
	"sort"

	"github.com/tidwall/btree"

	"github.com/torc-dht/torc/chord/internal/msg"
	"github.com/torc-dht/torc/chord/internal/place"
)

// Cursor is how far a Scan, or a Sweep, has come on its way through a span: behind it
// is all up to an entry or a record, which may be gone since. The zero Cursor is before
// everything.
type Cursor struct {
	stage  stage
	place  place.Place
	key    string // of an entry
	client uint64 // of a record, or a client
	number uint64 // of a record
}

// stage says what is the last thing behind a cursor. Of one place records come first,
// and when all is done clients.
type stage uint8

const (
	atStart stage = iota
	atRecord
	atEntry
	atClient
)

// After returns the cursor that has just passed where a key lies, whether there is
// something or not.
func (d *Data) After(key string) Cursor {
	return Cursor{stage: atEntry, place: d.circle.OfKey(key), key: key}
}

// What of entries and records are counted as when they are sent, besides key and value.
const (
	entryBytes  = 48
	recordBytes = 64
)

// Scan returns what lies in a span, in order from span.From on clockwise, and beyond a
// cursor; next is where to go on, until done. It stops when it has maxBytes, about, and
// has at least one entry or record unless it is done. What is put, recorded or removed
// while a scan goes on is seen if it lies beyond the cursor; all that is there from
// beginning to end is seen, once.
//
// Records come with the highest Oldest of their clients. Last come those of clients'
// answered writes, see the package's comment; their Place is span.To.
func (d *Data) Scan(span msg.Span, after Cursor, maxBytes int) (entries []msg.Entry, records []msg.Record, next Cursor, done bool) {
	next, maxBytes = after, max(maxBytes, 1)
	used := 0
	for t := d.tour(span, after); next.stage != atClient; next = t.cursor {
		if used >= maxBytes {
			return entries, records, next, false
		}
		e, r := t.next()
		switch {
		case e != nil:
			if entries == nil {
				entries = make([]msg.Entry, 0, d.expect(maxBytes))
			}
			entries = append(entries, e.Entry)
			used += entryBytes + len(e.Key) + len(e.Value)
		case r != nil:
			records = append(records, d.outward(r))
			used += recordBytes
		default:
			t.cursor = Cursor{stage: atClient}
		}
	}
	done = true
	d.clients.Ascend(next.client, func(id uint64, c *client) bool {
		if id == next.client || !c.forgot {
			return true
		}
		if used >= maxBytes {
			done = false
			return false
		}
		next.client = id
		records = append(records, msg.Record{Op: msg.OpID{Client: id, Oldest: c.oldest}, Place: span.To, At: c.at})
		used += recordBytes
		return true
	})
	return entries, records, next, done
}

// expect is how many entries bytes are enough for, on average.
func (d *Data) expect(bytes int) int {
	n := len(d.byKey)
	each := d.bytes/uint64(n) - overhead + entryBytes
	return min(n, max(bytes, 0)/int(each)+1)
}

// outward returns r as others are to know it.
func (d *Data) outward(r *record) msg.Record {
	c, _ := d.clients.Get(r.Op.Client)
	out := r.Record
	out.Op.Oldest = c.oldest
	return out
}

// Begin begins a generation: entries and records that are put and recorded from now on
// are of it, or of a later one. A Data has 2^32 of them.
func (d *Data) Begin() (generation uint64) {
	d.generation++
	return uint64(d.generation)
}

// Sweep removes the entries and records in a span that were put and recorded before a
// generation began, and not since.
func (d *Data) Sweep(span msg.Span, generation uint64) {
	for at, done := (Cursor{}), false; !done; {
		at, done = d.SweepSome(span, generation, at, 1024)
	}
}

// SweepSome is a step of a Sweep, which looks at up to max entries and records beyond a
// cursor; next is where to go on, until done.
func (d *Data) SweepSome(span msg.Span, generation uint64, after Cursor, max int) (next Cursor, done bool) {
	return d.prune(span, after, max, uint32(generation))
}

// Drop removes all entries and records in a span.
func (d *Data) Drop(span msg.Span) {
	for d.DropSome(span, 1024) {
	}
}

// DropSome is a step of a Drop: it removes up to max entries and records, and tells
// whether there may be more.
func (d *Data) DropSome(span msg.Span, max int) (more bool) {
	_, done := d.prune(span, Cursor{}, max, d.generation+1)
	return !done
}

// prune removes what there is in a span of before a generation. It looks at up to max
// entries and records beyond a cursor.
func (d *Data) prune(span msg.Span, after Cursor, max int, generation uint32) (next Cursor, done bool) {
	var entries []*entry
	var records []*record
	t := d.tour(span, after)
	for range max {
		e, r := t.next()
		switch {
		case e == nil && r == nil:
			done = true
		case e != nil && e.generation < generation:
			entries = append(entries, e)
		case r != nil && r.generation < generation:
			records = append(records, r)
		}
		if done {
			break
		}
	}
	for _, e := range entries {
		d.remove(e)
	}
	for _, r := range records {
		d.forget(r)
	}
	return t.cursor, done
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

// tour is on its way through the entries and records of a span.
type tour struct {
	entries walk[spot]
	records walk[*record]
	cursor  Cursor // after what next returned last
}

// tour begins, or goes on, after a cursor. d is not to be changed while it is used.
func (d *Data) tour(span msg.Span, after Cursor) *tour {
	begin := d.circle.Plus(span.From, 0)
	if after.stage == atStart {
		after.place = begin
	}
	// The walks go on with what they are at, unless that is behind the cursor.
	t := &tour{cursor: after}
	t.entries.init(d.byPlace, begin, span.To, d.spot(&entry{place: after.place, Entry: msg.Entry{Key: after.key}}), d.spot(new(entry)))
	if e, ok := t.entries.at(); ok && after.stage == atEntry && e.place == after.place && e.Key == after.key {
		t.entries.pass()
	}
	at := &record{Record: msg.Record{Place: after.place, Op: msg.OpID{Client: after.client, Number: after.number}}}
	if after.stage == atEntry {
		at.Op = msg.OpID{Client: 1<<64 - 1, Number: 1<<64 - 1}
	}
	t.records.init(d.records, begin, span.To, at, new(record))
	if r, ok := t.records.at(); ok && after.stage != atStart && !r.less(at) && !at.less(r) {
		t.records.pass()
	}
	return t
}

// next returns an entry or a record; neither when there are no more.
func (t *tour) next() (*entry, *record) {
	e, anEntry := t.entries.at()
	r, aRecord := t.records.at()
	if anEntry && aRecord {
		if t.entries.lap != t.records.lap {
			anEntry, aRecord = t.entries.lap > t.records.lap, t.entries.lap < t.records.lap
		} else {
			aRecord = r.Place.Compare(e.place) <= 0
			anEntry = !aRecord
		}
	}
	switch {
	case anEntry:
		t.entries.pass()
		t.cursor = Cursor{stage: atEntry, place: e.place, key: e.Key}
		return e.entry, nil
	case aRecord:
		t.records.pass()
		t.cursor = Cursor{stage: atRecord, place: r.Place, client: r.Op.Client, number: r.Op.Number}
		return nil, r
	}
	return nil, nil
}
