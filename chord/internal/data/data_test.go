package data

import (
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"github.com/torc-dht/torc/chord/internal/msg"
	"github.com/torc-dht/torc/chord/internal/place"
)

// on8 is a circle of 256 places, where the requirement's key 291 lies at 35.
const on8 = place.Circle(8)

func span(from, to string) msg.Span { return msg.Span{From: on8.OfKey(from), To: on8.OfKey(to)} }

// have returns a Data with keys on on8.
func have(keys ...string) *Data {
	d := New(on8)
	for i, key := range keys {
		d.Put(msg.Entry{Key: key, Stamp: uint64(i + 1)})
	}
	return d
}

// seen returns the keys of a span in the order in which Scan has them.
func seen(t *testing.T, d *Data, span msg.Span) string {
	t.Helper()
	entries, _, err := scanAll(d, span, 1)
	if err != nil {
		t.Fatal(err)
	}
	keys := make([]string, len(entries))
	for i, e := range entries {
		keys[i] = e.Key
	}
	return strings.Join(keys, " ")
}

func TestSpans(t *testing.T) {
	t.Parallel()
	d := have("0", "1", "291", "35", "136", "255")
	for _, tc := range []struct{ from, to, want string }{
		{"1", "136", "291 35 136"},
		{"0", "1", "1"},
		{"254", "255", "255"},
		{"136", "1", "255 0 1"},            // by way of zero
		{"255", "0", "0"},                  // from its edge
		{"255", "254", "0 1 291 35 136"},   // all but 255
		{"35", "35", "136 255 0 1 291 35"}, // everything, From last
		{"255", "255", "0 1 291 35 136 255"},
		{"0", "0", "1 291 35 136 255 0"},
		{"2", "34", ""},
		{"256", "257", "1"}, // modulo 2^n
	} {
		s := span(tc.from, tc.to)
		if got := seen(t, d, s); got != tc.want {
			t.Errorf("from %s to %s there is %q, want %q", tc.from, tc.to, got, tc.want)
		}
		if got, want := d.Count(s), len(strings.Fields(tc.want)); got != want {
			t.Errorf("from %s to %s there are %d, want %d", tc.from, tc.to, got, want)
		}
	}
	if got := seen(t, New(on8), msg.Span{}); got != "" {
		t.Errorf("where there is nothing there is %q", got)
	}
}

// What changes beyond the cursor is seen, what changes behind it is not, and it doesn't
// matter whether what the cursor passed last is still there.
func TestScanOfWhatChanges(t *testing.T) {
	t.Parallel()
	d := have("10", "20", "30", "40", "250", "5")
	around := span("8", "8")
	entries, _, at, done := d.Scan(around, Cursor{}, 1)
	if len(entries) != 1 || entries[0].Key != "10" || done {
		t.Fatalf("first there are %v, %v", entries, done)
	}
	_, _, at, _ = d.Scan(around, at, 1) // 20
	d.Remove("20")                      // what it passed last
	d.Put(msg.Entry{Key: "15"})         // behind
	d.Put(msg.Entry{Key: "25"})         // beyond
	d.Put(msg.Entry{Key: "20"})         // passed, and new
	d.Put(msg.Entry{Key: "0276"})       // at 20 too, but an earlier key
	d.Remove("30")
	d.Put(msg.Entry{Key: "40", Flags: 7})
	d.Put(msg.Entry{Key: "7"})
	var rest []string
	for !done {
		entries, _, at, done = d.Scan(around, at, 1)
		for _, e := range entries {
			rest = append(rest, fmt.Sprint(e.Key, "/", e.Flags))
		}
	}
	if got, want := strings.Join(rest, " "), "25/0 40/7 250/0 5/0 7/0"; got != want {
		t.Errorf("then there are %s, want %s", got, want)
	}
	entries, _, _, _ = d.Scan(around, d.After("0300"), 1) // a key that isn't there, at 44
	if len(entries) != 1 || entries[0].Key != "250" {
		t.Errorf("after 0300 there are %v", entries)
	}
}

// A sweep leaves what came since its generation began, be it in answer to another
// Begin.
func TestSweepOfGenerations(t *testing.T) {
	t.Parallel()
	d := have("10", "20", "30", "40")
	one := d.Begin()
	d.Put(msg.Entry{Key: "10"})
	d.Record(msg.Record{Op: msg.OpID{Client: 1, Number: 1}, Place: on8.OfKey("10")})
	two := d.Begin()
	d.Put(msg.Entry{Key: "20"})
	d.Sweep(span("0", "30"), one)
	if got, want := seen(t, d, msg.Span{}), "10 20 40"; got != want {
		t.Errorf("after the first sweep there are %q, want %q", got, want)
	}
	if _, known, _ := d.Recall(msg.OpID{Client: 1, Number: 1}); !known {
		t.Error("the record has gone")
	}
	d.Sweep(span("0", "100"), two)
	if got, want := seen(t, d, msg.Span{}), "20"; got != want {
		t.Errorf("after the second sweep there are %q, want %q", got, want)
	}
	if _, known, _ := d.Recall(msg.OpID{Client: 1, Number: 1}); known {
		t.Error("the record is still there")
	}
}

// A write whose record has been forgotten, for the client went on elsewhere, isn't
// taken for a new one: neither here, nor where only its span goes.
func TestAnswered(t *testing.T) {
	t.Parallel()
	d := New(on8)
	late := msg.OpID{Client: 7, Number: 4, Oldest: 4}
	d.Record(msg.Record{Op: late, Place: on8.OfKey("10"), At: 100})
	if r, known, answered := d.Recall(late); !known || answered || r.At != 100 {
		t.Fatalf("%v, %v, %v", r, known, answered)
	}
	d.Record(msg.Record{Op: msg.OpID{Client: 7, Number: 5, Oldest: 5}, Place: on8.OfKey("200"), At: 101})
	if r, known, answered := d.Recall(late); known || !answered {
		t.Fatalf("%v, %v, %v", r, known, answered)
	}
	// To one that gets all, and from there to one that gets what lies at 10 alone.
	middle, other := New(on8), New(on8)
	for _, hop := range []struct {
		from, to *Data
		span     msg.Span
	}{{d, middle, msg.Span{}}, {middle, other, span("0", "20")}} {
		_, records, _, done := hop.from.Scan(hop.span, Cursor{}, 1000)
		if len(records) != 1 || !done {
			t.Fatalf("%v, %v", records, done)
		}
		hop.to.Record(records[0])
	}
	if _, known, answered := other.Recall(late); known || !answered {
		t.Errorf("%v, %v", known, answered)
	}
	if n := other.Records(); n != 0 {
		t.Errorf("there are %d records", n)
	}
	d.Drop(msg.Span{})
	if _, _, answered := d.Recall(late); !answered {
		t.Error("dropping a span made it new")
	}
	d.ExpireRecords(102, 10)
	if _, _, answered := d.Recall(late); answered {
		t.Error("the client is known for ever")
	}
}

// Records of a client that has very many writes under way, and of one that has one at a
// time, take no more room than there is need of.
func TestRoomOfRecords(t *testing.T) {
	t.Parallel()
	d := New(on8)
	for number := uint64(1); number < 100_000; number++ {
		d.Record(msg.Record{Op: msg.OpID{Client: 1, Number: number, Oldest: number}})
		d.Record(msg.Record{Op: msg.OpID{Client: 2, Number: number, Oldest: number - min(number, 1000)}})
	}
	for number := uint64(1); number < 1000; number++ { // long on their way
		d.Record(msg.Record{Op: msg.OpID{Client: 1, Number: number, Oldest: number}})
	}
	one, _ := d.clients.Get(1)
	many, _ := d.clients.Get(2)
	if cap(one.list) > 4 || cap(many.list) > 8192 || d.Records() != 1002 {
		t.Errorf("room for %d and %d records, %d are known", cap(one.list), cap(many.list), d.Records())
	}
}

// Of two equal keys the first one is kept, which is the map's as well, and a scan takes
// no more room than what it has needs.
func TestRoomOfEntries(t *testing.T) {
	t.Parallel()
	d := have("10")
	first := unsafe.StringData(d.Get([]byte("10")).Key)
	d.Put(msg.Entry{Key: strings.Clone("10"), Stamp: 2})
	if e := d.Get([]byte("10")); e.Stamp != 2 || unsafe.StringData(e.Key) != first {
		t.Errorf("%v has a key of its own", e)
	}
	for i := range 100_000 {
		d.Put(msg.Entry{Key: fmt.Sprint(256*i + 20)})
	}
	if entries, _, _, _ := d.Scan(span("0", "15"), Cursor{}, math.MaxInt); len(entries) != 1 || cap(entries) > 10_000 {
		t.Errorf("room for %d of %d entries", cap(entries), len(entries))
	}
}

func TestExpiry(t *testing.T) {
	t.Parallel()
	d := New(on8)
	d.Put(msg.Entry{Key: "1", Expires: 30})
	d.Put(msg.Entry{Key: "2", Expires: 10})
	d.Put(msg.Entry{Key: "3"})
	d.Put(msg.Entry{Key: "4", Expires: 20, Removed: true})
	if n := d.Expire(9, 2); n != 0 {
		t.Errorf("%d expired", n)
	}
	d.Put(msg.Entry{Key: "2", Expires: 40})
	if n := d.Expire(40, 2); n != 2 || seen(t, d, msg.Span{}) != "2 3" {
		t.Errorf("%d expired, and there are %s", n, seen(t, d, msg.Span{}))
	}
	if n := d.Expire(40, 2); n != 1 || d.Bytes() != Size(&msg.Entry{Key: "3"}) {
		t.Errorf("%d expired, and there are %d bytes", n, d.Bytes())
	}
}

// Size against what the heap says.
func TestSize(t *testing.T) { // not beside others: it looks at the heap of all
	for _, tc := range []struct {
		n, value int
		expires  uint64
	}{{100_000, 10, 0}, {100_000, 100, 0}, {225_000, 100, 0}, {50_000, 1000, 0}, {100_000, 100, 1}} {
		before := heap()
		d := New(circle)
		for i := range tc.n {
			d.Put(msg.Entry{Key: fmt.Sprintf("key:%012d", i), Value: make([]byte, tc.value), Expires: tc.expires * uint64(i+1)})
		}
		took, counted := float64(heap()-before), float64(d.Bytes())
		t.Logf("%d entries of %d bytes, expires %d: %.0f bytes an entry, counted %.0f (%.2f)", tc.n, tc.value, tc.expires, took/float64(tc.n), counted/float64(tc.n), took/counted)
		if took < 0.8*counted || took > 1.15*counted {
			t.Errorf("counted %.0f bytes, the heap has %.0f", counted, took)
		}
		runtime.KeepAlive(d)
	}
}

func TestGetAllocatesNothing(t *testing.T) {
	key := []byte("a key of more than thirty-two bytes, which no temporary holds")
	d := New(circle)
	d.Put(msg.Entry{Key: string(key)})
	if n := testing.AllocsPerRun(1000, func() {
		if d.Get(key) == nil {
			t.Fatal("gone")
		}
	}); n != 0 {
		t.Errorf("%v allocations a Get", n)
	}
}
