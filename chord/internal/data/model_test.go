package data

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/torc-dht/torc/chord/internal/msg"
	"github.com/torc-dht/torc/chord/internal/place"
)

// model is a Data without any order or index.
type model struct {
	circle  place.Circle
	entries map[string]modelEntry
	records map[msg.OpID]modelRecord // by client and number alone
	clients map[uint64]modelClient
	begun   uint64
}

type modelEntry struct {
	msg.Entry
	generation uint64
}

type modelRecord struct {
	msg.Record
	generation uint64
}

type modelClient struct{ oldest, at uint64 }

func newModel(c place.Circle) *model {
	return &model{circle: c, entries: map[string]modelEntry{}, records: map[msg.OpID]modelRecord{}, clients: map[uint64]modelClient{}}
}

func name(op msg.OpID) msg.OpID { return msg.OpID{Client: op.Client, Number: op.Number} }

func (m *model) record(r msg.Record) {
	if r.Op.Client == 0 {
		return
	}
	c := m.clients[r.Op.Client]
	c.oldest, c.at = max(c.oldest, r.Op.Oldest), max(c.at, r.At)
	m.records[name(r.Op)] = modelRecord{r, m.begun}
	for op := range m.records {
		if op.Client == r.Op.Client && op.Number < c.oldest {
			delete(m.records, op)
		}
	}
	m.clients[r.Op.Client] = c
}

func (m *model) forget(before uint64) {
	maps.DeleteFunc(m.records, func(_ msg.OpID, r modelRecord) bool { return r.At < before })
	maps.DeleteFunc(m.clients, func(id uint64, c modelClient) bool {
		for op := range m.records {
			if op.Client == id {
				return false
			}
		}
		return c.at < before
	})
}

// expire removes what expires first, up to most.
func (m *model) expire(now uint64, most int) {
	var keys []string
	for key, e := range m.entries {
		if e.Expires != 0 && e.Expires <= now {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b string) int {
		return cmp.Or(cmp.Compare(m.entries[a].Expires, m.entries[b].Expires), m.circle.OfKey(a).Compare(m.circle.OfKey(b)), cmp.Compare(a, b))
	})
	for _, key := range keys[:min(most, len(keys))] {
		delete(m.entries, key)
	}
}

func (m *model) inside(span msg.Span, p place.Place) bool {
	return place.Between(span.From, p, span.To)
}

// remove removes what there is in a span of before a generation.
func (m *model) remove(span msg.Span, generation uint64) {
	maps.DeleteFunc(m.entries, func(key string, e modelEntry) bool {
		return e.generation < generation && m.inside(span, m.circle.OfKey(key))
	})
	maps.DeleteFunc(m.records, func(_ msg.OpID, r modelRecord) bool {
		return r.generation < generation && m.inside(span, r.Place)
	})
}

// scan is all that Scan says of a span.
func (m *model) scan(span msg.Span) (entries []msg.Entry, records []msg.Record) {
	begin := m.circle.Plus(span.From, 0)
	along := func(p, q place.Place) int {
		return m.circle.Distance(begin, p).Compare(m.circle.Distance(begin, q))
	}
	for key, e := range m.entries {
		if m.inside(span, m.circle.OfKey(key)) {
			entries = append(entries, e.Entry)
		}
	}
	slices.SortFunc(entries, func(a, b msg.Entry) int {
		return cmp.Or(along(m.circle.OfKey(a.Key), m.circle.OfKey(b.Key)), cmp.Compare(a.Key, b.Key))
	})
	for _, r := range m.records {
		if m.inside(span, r.Place) {
			r.Op.Oldest = m.clients[r.Op.Client].oldest
			records = append(records, r.Record)
		}
	}
	for id, c := range m.clients {
		if c.oldest > 1 && !slices.ContainsFunc(records, func(r msg.Record) bool { return r.Op.Client == id }) {
			records = append(records, msg.Record{Op: msg.OpID{Client: id, Oldest: c.oldest}, Place: span.To, At: c.at})
		}
	}
	slices.SortFunc(records, func(a, b msg.Record) int {
		return cmp.Compare(a.Op.Client, b.Op.Client)*2 + cmp.Compare(a.Op.Number, b.Op.Number)
	})
	return entries, records
}

// agree holds that d has what m has.
func (m *model) agree(d *Data) error {
	everything := msg.Span{}
	var keys, tombstones, bytes uint64
	for key, e := range m.entries {
		bytes += Size(&e.Entry)
		if e.Removed {
			tombstones++
		} else {
			keys++
		}
		if got := d.Get([]byte(key)); got == nil || !reflect.DeepEqual(*got, e.Entry) {
			return fmt.Errorf("at %q there is %+v, want %+v", key, got, e.Entry)
		}
	}
	if d.Keys() != keys || d.Tombstones() != tombstones || d.Bytes() != bytes || d.Records() != len(m.records) {
		return fmt.Errorf("%d keys, %d tombstones, %d bytes, %d records; want %d, %d, %d, %d", d.Keys(), d.Tombstones(), d.Bytes(), d.Records(), keys, tombstones, bytes, len(m.records))
	}
	entries, records, err := scanAll(d, everything, 1<<20)
	if err != nil {
		return err
	}
	return m.same(everything, entries, records)
}

// same holds that a scan of a span is what m has in it.
func (m *model) same(span msg.Span, entries []msg.Entry, records []msg.Record) error {
	wantEntries, wantRecords := m.scan(span)
	if !slices.EqualFunc(entries, wantEntries, func(a, b msg.Entry) bool { return reflect.DeepEqual(a, b) }) {
		return fmt.Errorf("in %v there are\n%+v, want\n%+v", span, entries, wantEntries)
	}
	if !slices.Equal(records, wantRecords) {
		return fmt.Errorf("in %v there are\n%+v, want\n%+v", span, records, wantRecords)
	}
	return nil
}

// scanAll scans a span to its end.
func scanAll(d *Data, span msg.Span, maxBytes int) (entries []msg.Entry, records []msg.Record, err error) {
	at, done := Cursor{}, false
	for !done {
		var e []msg.Entry
		var r []msg.Record
		e, r, at, done = d.Scan(span, at, maxBytes)
		if !done && len(e)+len(r) == 0 {
			return nil, nil, fmt.Errorf("a scan of %v at %v is not done and has nothing", span, at)
		}
		entries, records = append(entries, e...), append(records, r...)
	}
	return entries, records, nil
}

// drawn are what tests draw: few keys, clients and places, so that they meet.
type drawn struct {
	*rapid.T
	circle place.Circle
}

func (t drawn) key() string {
	n := rapid.IntRange(0, 24).Draw(t.T, "key")
	switch n % 3 {
	case 0:
		return strconv.Itoa(n)
	case 1: // the same place as another key
		return "00" + strconv.Itoa(n-1)
	}
	return "key " + strconv.Itoa(n)
}

func (t drawn) span() msg.Span {
	p := func(label string) place.Place {
		return t.circle.OfKey(rapid.StringMatching(`[0-9]{1,2}|key [0-9]`).Draw(t.T, label))
	}
	return msg.Span{From: p("from"), To: p("to")}
}

func (t drawn) entry() msg.Entry {
	return msg.Entry{
		Key: t.key(), Value: rapid.SliceOfN(rapid.Byte(), 0, 30).Draw(t.T, "value"), Stamp: rapid.Uint64().Draw(t.T, "stamp"),
		Expires: rapid.Uint64Range(0, 5).Draw(t.T, "expires"), Removed: rapid.IntRange(0, 3).Draw(t.T, "removed") == 0,
	}
}

func (t drawn) record() msg.Record {
	client, number := rapid.Uint64Range(0, 3).Draw(t.T, "client"), rapid.Uint64Range(1, 12).Draw(t.T, "number")
	return msg.Record{
		Op:    msg.OpID{Client: client, Number: number, Oldest: uint64(max(0, int(number)-rapid.IntRange(0, 12).Draw(t.T, "unanswered")))},
		Place: t.circle.OfKey(t.key()), Stamp: rapid.Uint64().Draw(t.T, "stamp"), At: rapid.Uint64Range(0, 20).Draw(t.T, "at"),
	}
}

func some(t *rapid.T) drawn {
	n := rapid.OneOf(rapid.IntRange(1, 5), rapid.SampledFrom([]int{8, 63, 64, 65, 100, 159, 160})).Draw(t, "n")
	return drawn{t, place.Circle(n)}
}

// Everything against the model.
func TestModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		draw := some(t)
		d, m := New(draw.circle), newModel(draw.circle)
		t.Repeat(map[string]func(*rapid.T){
			"": func(t *rapid.T) {
				if err := m.agree(d); err != nil {
					t.Fatal(err)
				}
			},
			"put": func(t *rapid.T) {
				e := drawn{t, draw.circle}.entry()
				d.Put(e)
				m.entries[e.Key] = modelEntry{e, m.begun}
			},
			"remove": func(t *rapid.T) {
				key := drawn{t, draw.circle}.key()
				d.Remove(key)
				delete(m.entries, key)
				if e := d.Get([]byte(key)); e != nil {
					t.Fatalf("at %q there still is %+v", key, e)
				}
			},
			"expire": func(t *rapid.T) {
				now, most := rapid.Uint64Range(1, 5).Draw(t, "now"), rapid.IntRange(1, 5).Draw(t, "most")
				before := len(m.entries)
				m.expire(now, most)
				if got, want := d.Expire(now, most), before-len(m.entries); got != want {
					t.Fatalf("%d expired, want %d", got, want)
				}
			},
			"record": func(t *rapid.T) {
				r := drawn{t, draw.circle}.record()
				d.Record(r)
				m.record(r)
			},
			"recall": func(t *rapid.T) {
				op := drawn{t, draw.circle}.record().Op
				want, known := m.records[name(op)]
				answered := op.Number < m.clients[op.Client].oldest
				r, k, a := d.Recall(op)
				if r != want.Record || k != known || a != answered {
					t.Fatalf("of %v there is %+v, %v, %v; want %+v, %v, %v", op, r, k, a, want.Record, known, answered)
				}
			},
			"forget": func(t *rapid.T) {
				before := rapid.Uint64Range(0, 20).Draw(t, "before")
				for range len(m.clients)/2 + 1 {
					d.ExpireRecords(before, 2)
				}
				d.expiring = 0
				m.forget(before)
			},
			"begin": func(t *rapid.T) {
				m.begun++
				if g := d.Begin(); g != m.begun {
					t.Fatalf("generation %d, want %d", g, m.begun)
				}
			},
			"sweep": func(t *rapid.T) {
				span, generation := drawn{t, draw.circle}.span(), rapid.Uint64Range(0, m.begun).Draw(t, "generation")
				m.remove(span, generation)
				most := rapid.IntRange(1, 5).Draw(t, "max")
				for at, done := (Cursor{}), false; !done; {
					at, done = d.SweepSome(span, generation, at, most)
				}
			},
			"drop": func(t *rapid.T) {
				span := drawn{t, draw.circle}.span()
				m.remove(span, m.begun+1)
				for d.DropSome(span, rapid.IntRange(1, 5).Draw(t, "max")) {
				}
			},
			"count": func(t *rapid.T) {
				span := drawn{t, draw.circle}.span()
				entries, _ := m.scan(span)
				want := len(slices.DeleteFunc(entries, func(e msg.Entry) bool { return e.Removed }))
				if got := d.Count(span); got != want {
					t.Fatalf("in %v there are %d keys, want %d", span, got, want)
				}
			},
			"scan": func(t *rapid.T) {
				span := drawn{t, draw.circle}.span()
				entries, records, err := scanAll(d, span, rapid.IntRange(0, 1000).Draw(t, "bytes"))
				if err == nil {
					err = m.same(span, entries, records)
				}
				if err != nil {
					t.Fatal(err)
				}
			},
		})
	})
}
