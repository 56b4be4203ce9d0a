package data

import (
	"fmt"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/torc-dht/torc/chord/internal/msg"
	"github.com/torc-dht/torc/chord/internal/place"
)

// A span goes from one Data to another as nodes do it, and a part of it to a third one:
// by scans, while it is written to. In the end everything of it is there that there
// should be, nothing else, and no write would be carried out again.
func TestFill(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		draw := some(t)
		from := New(draw.circle)
		spans := []msg.Span{{}} // what from has something to say of lies in all of them
		inside := func(p place.Place) bool {
			return !slices.ContainsFunc(spans, func(s msg.Span) bool { return !place.Between(s.From, p, s.To) })
		}
		var written []msg.Record
		number := uint64(0)
		write := func(to *Data) {
			number++
			e := draw.entry()
			r := draw.record()
			r.Op.Client, r.Op.Number, r.Op.Oldest = r.Op.Client+1, number, number-min(number, rapid.Uint64Range(0, 6).Draw(t, "open"))
			r.Place = draw.circle.OfKey(e.Key)
			if !inside(r.Place) {
				to = nil
			}
			gone := rapid.Bool().Draw(t, "gone")
			for _, d := range []*Data{from, to} {
				switch {
				case d == nil:
					continue
				case gone:
					d.Remove(e.Key)
				default:
					d.Put(e)
				}
				d.Record(r)
			}
			written = append(written, r)
		}
		for range rapid.IntRange(0, 20).Draw(t, "before") {
			write(nil)
		}
		for hop := range uint64(3) {
			to := New(draw.circle)
			for range rapid.IntRange(0, 10).Draw(t, "old") { // of an earlier time
				to.Put(draw.entry())
				r := draw.record()
				r.Op.Client += 100 + 10*hop
				to.Record(r)
			}
			span := draw.span()
			outside := msg.Span{From: span.To, To: span.From}
			kept, _, err := scanAll(to, outside, 1<<20)
			if err != nil {
				t.Fatal(err)
			}
			spans = append(spans, span)

			generation := to.Begin()
			for at, done := (Cursor{}), false; !done; {
				for range rapid.IntRange(0, 3).Draw(t, "between") {
					write(to)
				}
				var entries []msg.Entry
				var records []msg.Record
				entries, records, at, done = from.Scan(span, at, rapid.IntRange(0, 300).Draw(t, "bytes"))
				for _, e := range entries {
					to.Put(e)
				}
				for _, r := range records {
					if !place.Between(span.From, r.Place, span.To) {
						t.Fatalf("a scan of %v has a record of %v", span, r.Place)
					}
					to.Record(r)
				}
			}
			to.Sweep(span, generation)

			if err := alike(from, to, span, inside); err != nil {
				t.Fatal(err)
			}
			if span.From != span.To {
				if got, _, err := scanAll(to, outside, 1<<20); err != nil || !slices.EqualFunc(got, kept, func(a, b msg.Entry) bool { return reflect.DeepEqual(a, b) }) {
					t.Fatalf("outside of %v there are %v, were %v: %v", span, got, kept, err)
				}
			}
			for _, r := range written {
				if _, known, answered := to.Recall(r.Op); inside(r.Place) && !known && !answered {
					t.Fatalf("%v would be written again", r)
				}
			}
			to.clients.Scan(func(id uint64, c *client) bool {
				for _, r := range c.list {
					if id >= 100+10*hop && place.Between(span.From, r.Place, span.To) {
						t.Fatalf("the old record %v is still there", r)
					}
				}
				return true
			})
			from = to
		}
	})
}

// alike holds that two have the same entries where they should.
func alike(a, b *Data, span msg.Span, inside func(place.Place) bool) error {
	outside := func(e msg.Entry) bool { return !inside(a.circle.OfKey(e.Key)) }
	as, _, err := scanAll(a, span, 1<<20)
	if err != nil {
		return err
	}
	bs, _, err := scanAll(b, span, 1<<20)
	if err != nil {
		return err
	}
	as, bs = slices.DeleteFunc(as, outside), slices.DeleteFunc(bs, outside)
	if !slices.EqualFunc(as, bs, func(a, b msg.Entry) bool { return reflect.DeepEqual(a, b) }) {
		return fmt.Errorf("in %v there are\n%v, were\n%v", span, bs, as)
	}
	return nil
}
