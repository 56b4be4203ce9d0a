package check

import (
	"testing"
	"time"
)

// seen makes a call of a key k that lasts from from to to, in seconds.
func seen(op Op, value string, from, to int, change ...func(*Seen)) Seen {
	o := Seen{Operation: Operation{
		Op: op, Key: "k", Value: Text(value), Outcome: OK,
		Call: time.Duration(from) * time.Second, Return: time.Duration(to) * time.Second,
	}}
	for _, f := range change {
		f(&o)
	}
	return o
}

func isBehind(o *Seen)    { o.Behind = true }
func isUnknown(o *Seen)   { o.Outcome = Unknown }
func twoSeconds(o *Seen)  { o.TTL = 2 * time.Second }
func takenByNone(o *Seen) { o.Takers = nil }

func TestFreshUnless(t *testing.T) {
	t.Parallel()
	hasTakers := func(newer, _ *Seen) bool { return newer.Takers != nil }
	for _, c := range []struct {
		name  string
		ops   []Seen
		binds func(newer, read *Seen) bool
		ok    bool
	}{
		{name: "overwritten", ops: []Seen{seen(Put, "a", 0, 1), seen(Put, "b", 2, 3), seen(Get, "a", 4, 5)}},
		{name: "deleted", ops: []Seen{seen(Put, "a", 0, 1), seen(Delete, "", 2, 3), seen(Get, "a", 4, 5)}},
		{name: "newest", ok: true, ops: []Seen{seen(Put, "a", 0, 1), seen(Put, "b", 2, 3), seen(Get, "b", 4, 5)}},
		{name: "at the same time", ok: true, ops: []Seen{seen(Put, "a", 0, 3), seen(Put, "b", 2, 3), seen(Get, "a", 4, 5)}},
		{name: "not yet answered", ok: true, ops: []Seen{seen(Put, "a", 0, 1), seen(Put, "b", 2, 5), seen(Get, "a", 4, 5)}},
		{name: "known by a read", ops: []Seen{seen(Put, "a", 0, 1), seen(Put, "b", 2, 9), seen(Get, "b", 3, 4), seen(Get, "a", 5, 6)}},
		{name: "known by a read that is behind", ok: true, ops: []Seen{seen(Put, "a", 0, 1), seen(Put, "b", 2, 9), seen(Get, "b", 3, 4, isBehind), seen(Get, "a", 5, 6)}},
		{name: "a read that is behind", ok: true, ops: []Seen{seen(Put, "a", 0, 1), seen(Put, "b", 2, 3), seen(Get, "a", 4, 5, isBehind)}},
		{name: "a write that is behind is not known", ok: true, ops: []Seen{seen(Put, "a", 0, 1), seen(Put, "b", 2, 3, isBehind), seen(Get, "a", 4, 5)}},
		{name: "a write that is behind may lie over a newer one", ok: true, ops: []Seen{seen(Put, "a", 0, 1), seen(Put, "b", 2, 3), seen(Put, "c", 4, 5, isBehind), seen(Get, "a", 6, 7)}},
		{name: "until it is written again", ops: []Seen{seen(Put, "a", 0, 1), seen(Put, "c", 2, 3, isBehind), seen(Put, "b", 4, 5), seen(Get, "a", 6, 7)}},
		{name: "but not by a write that began before", ok: true, ops: []Seen{seen(Put, "a", 0, 1), seen(Put, "c", 2, 5, isBehind), seen(Put, "b", 4, 6), seen(Get, "a", 7, 8)}},
		{name: "nobody knows when", ok: true, ops: []Seen{seen(Put, "a", 0, 1, isUnknown), seen(Put, "b", 2, 3), seen(Get, "a", 4, 5)}},
		{name: "it was seen before", ops: []Seen{seen(Put, "a", 0, 1, isUnknown), seen(Get, "a", 1, 2), seen(Put, "b", 3, 4), seen(Get, "a", 5, 6)}},
		{name: "sent again", ok: true, ops: []Seen{seen(Put, "a", 0, 5), seen(Get, "a", 1, 2), seen(Put, "b", 3, 4), seen(Get, "a", 6, 7)}},
		{name: "expired", ops: []Seen{seen(Put, "a", 0, 1, twoSeconds), seen(Get, "a", 5, 6)}},
		{name: "hardly expired", ok: true, ops: []Seen{seen(Put, "a", 0, 1, twoSeconds), seen(Get, "a", 4, 5)}},
		{name: "does not bind", ok: true, binds: hasTakers, ops: []Seen{seen(Put, "a", 0, 1), seen(Put, "b", 2, 3, takenByNone), seen(Get, "a", 4, 5)}},
		{name: "the one before binds", binds: hasTakers, ops: []Seen{
			seen(Put, "a", 0, 1), seen(Put, "b", 2, 3, func(o *Seen) { o.Takers = []string{"s"} }), seen(Put, "c", 4, 5), seen(Get, "a", 6, 7)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if err := FreshUnless(c.ops, time.Second, c.binds); (err == nil) != c.ok {
				t.Errorf("FreshUnless = %v", err)
			}
		})
	}
}

// Where nobody is behind, every write binds, and none is read before it is over, it
// is Fresh.
func TestFreshUnlessIsFresh(t *testing.T) {
	t.Parallel()
	values := []string{"a", "b", "c"}
	// All histories of two puts and two gets in slots of time that overlap or not.
	for code := range 4 * 4 * 4 * 4 {
		c := code
		pick := func(n int) int { d := c % n; c /= n; return d }
		first, second := pick(4), pick(4)
		ops := []Seen{
			seen(Put, "a", first, first+1+pick(2)),
			seen(Put, "b", second, second+1+pick(2)),
		}
		ops = append(ops, seen(Get, values[pick(2)], 5, 6), seen(Get, values[pick(2)], 7, 8))
		var h History
		for _, o := range ops {
			h = append(h, o.Operation)
		}
		if Values(h) != nil {
			continue
		}
		if plain, ours := Fresh(h), FreshUnless(ops, 0, nil); (plain == nil) != (ours == nil) {
			t.Fatalf("Fresh says %v, FreshUnless %v of\n%v", plain, ours, h)
		}
	}
}
