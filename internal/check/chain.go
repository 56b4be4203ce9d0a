package check

import (
	"cmp"
	"slices"
	"time"
)

// chained tells whether chain can judge the operations of a key: none of them
// but reads, puts and exchanges, and no value written twice.
func chained(ops []*Operation) bool {
	written := make(map[Text]bool)
	for _, o := range ops {
		switch {
		case o.Op == Get || o.Outcome == Failed:
		case o.Op != Put && o.Op != Exchange, written[o.Value]:
			return false
		default:
			written[o.Value] = true
		}
	}
	return true
}

// chain judges the operations of one key for which chained holds, exactly, in
// the time that it takes to sort them. It returns nil if there is an order that
// explains them.
//
// An exchange that was answered comes right behind the write of the value that
// it found. That strings the writes into runs: one from the beginning, when there
// is no entry, and one from each write of which nobody knows what it replaced.
// Within a run every operation has its place, so it takes effect at its own call
// or when the one before it did, whichever is later, and must not be past its
// return. A write of unknown outcome that nobody saw need not have been.
//
// As runs don't mingle, all that counts of a run is the last call in it and the
// first return. Two runs can't both be had if each would have to be before the
// other, and where no two are such there is an order of all: that is the theorem
// on zones of Gibbons and Korach, "Testing Shared Memories", SIAM Journal on
// Computing 26 (1997), with runs in the place of single writes.
func chain(ops []*Operation) *Violation {
	c, v := link(ops)
	if v != nil {
		return v
	}
	var runs []run
	left := len(c.writes)
	beginning, n, v := c.follow(nil)
	if v != nil {
		return v
	}
	left -= n
	for _, w := range c.heads {
		r, n, v := c.follow(w)
		if v != nil {
			return v
		}
		left -= n
		if beginning.last != nil && r.first.end() < beginning.last.Call {
			return violation(misplaced, beginning.last, r.first)
		}
		runs = append(runs, r)
	}
	if left > 0 {
		return c.circle()
	}
	return apart(runs)
}

// links is what is known of the order of the operations of one key.
type links struct {
	writes map[Text]*Operation   // that happened, by value
	next   map[Text]*Operation   // the exchange that found a value
	first  *Operation            // the exchange that found no entry
	reads  map[Text][]*Operation // of a value
	none   []*Operation          // reads that found no entry
	heads  []*Operation          // the writes of which is not known what they replaced
}

// link finds who follows whom. What was seen must have been written, and been
// replaced by one exchange at most.
func link(ops []*Operation) (*links, *Violation) {
	c := &links{
		writes: make(map[Text]*Operation),
		next:   make(map[Text]*Operation),
		reads:  make(map[Text][]*Operation),
	}
	all := make(map[Text]*Operation) // that may have happened
	for _, o := range ops {
		if o.writes() {
			all[o.Value] = o
			if o.Outcome == OK {
				c.writes[o.Value] = o
			}
		}
	}
	see := func(value Text, by *Operation) *Violation {
		w := all[value]
		if w == nil {
			return violation("a value was found that nobody wrote", by)
		}
		c.writes[value] = w
		return nil
	}
	for _, o := range ops {
		switch {
		case o.Op == Get && o.Outcome == Missing:
			c.none = append(c.none, o)
		case o.Op == Get && o.Outcome == OK:
			if v := see(o.Value, o); v != nil {
				return nil, v
			}
			c.reads[o.Value] = append(c.reads[o.Value], o)
		case o.Op == Exchange && o.Outcome == OK && o.Found:
			if v := see(o.Expect, o); v != nil {
				return nil, v
			}
			if other := c.next[o.Expect]; other != nil {
				return nil, violation("a value was replaced twice", all[o.Expect], other, o)
			}
			c.next[o.Expect] = o
		case o.Op == Exchange && o.Outcome == OK:
			if c.first != nil {
				return nil, violation("no entry was found twice by who wrote one", c.first, o)
			}
			c.first = o
		}
	}
	for _, o := range ops { // as they are given, so that the same history gets the same verdict
		if c.writes[o.Value] == o && (o.Op == Put || o.Outcome == Unknown) {
			c.heads = append(c.heads, o)
		}
	}
	return c, nil
}

// run is what is known of a run: which of its operations has the latest call, and
// which has to be over first. Both are nil of an empty one.
type run struct{ last, first *Operation }

// add puts o behind what is there. It returns a violation if o would take effect
// past its return.
func (r *run) add(o *Operation, settles bool) *Violation {
	if r.last != nil && r.last.Call > o.end() {
		return violation(misplaced, r.last, o)
	}
	if r.first == nil || o.end() < r.first.end() {
		r.first = o
	}
	if settles && (r.last == nil || o.Call > r.last.Call) {
		r.last = o
	}
	return nil
}

const misplaced = "by what was found, the first of these comes before the second, and it began when that was over"

// end is when o has to have taken effect.
func (o *Operation) end() time.Duration {
	if o.Outcome == Unknown {
		return forever
	}
	return o.Return
}

const forever = time.Duration(1<<63 - 1)

// follow walks along the run that begins with w, or without any entry if w is nil.
// It returns how many writes are in it, too.
func (c *links) follow(w *Operation) (r run, n int, v *Violation) {
	reads, next := c.none, c.first
	for {
		if w != nil {
			if v := r.add(w, true); v != nil {
				return r, n, v
			}
			n++
			reads, next = c.reads[w.Value], c.next[w.Value]
		}
		for _, o := range reads { // in any order: each only has to be behind w
			if v := r.add(o, false); v != nil {
				return r, n, v
			}
		}
		for _, o := range reads {
			if r.last == nil || o.Call > r.last.Call {
				r.last = o
			}
		}
		if next == nil {
			return r, n, nil
		}
		w = next
	}
}

// circle is the violation of exchanges that found each other's values, of which
// none can have been first.
func (c *links) circle() *Violation {
	reached := make(map[*Operation]bool)
	for _, w := range append(c.heads, c.first) {
		for ; w != nil && !reached[w]; w = c.next[w.Value] {
			reached[w] = true
		}
	}
	var one *Operation // the earliest of them
	for _, w := range c.writes {
		if !reached[w] && (one == nil || w.Call < one.Call || w.Call == one.Call && w.Value < one.Value) {
			one = w
		}
	}
	const most = 8
	ops := []*Operation{one}
	for w := c.next[one.Value]; w != nil && w != one && len(ops) < most; w = c.next[w.Value] {
		ops = append(ops, w)
	}
	return violation("exchanges found each other's values, and none of them can have been first", ops...)
}

// apart looks for two runs each of which would have to be before the other. A run
// has to be before another if it has an operation that was over before one of the
// other's began.
func apart(runs []run) *Violation {
	// Of runs that last for a while, from the first return in them to the last
	// call, no two may overlap.
	var long, short []run
	for _, r := range runs {
		if r.first.end() < r.last.Call {
			long = append(long, r)
		} else {
			short = append(short, r)
		}
	}
	slices.SortFunc(long, func(a, b run) int {
		return cmp.Or(cmp.Compare(a.first.end(), b.first.end()), cmp.Compare(a.last.Call, b.last.Call))
	})
	for i := 1; i < len(long); i++ {
		if long[i].first.end() < long[i-1].last.Call {
			return mingled(long[i-1], long[i])
		}
	}
	// The others could take effect in one instant, at any time from the last call
	// to the first return; that must not be all within one of the former.
	for _, r := range short {
		// The last of the long ones that begins before r's last call.
		i, _ := slices.BinarySearchFunc(long, r.last.Call, func(l run, at time.Duration) int { return cmp.Compare(l.first.end(), at) })
		if i > 0 && r.first.end() < long[i-1].last.Call {
			return mingled(long[i-1], r)
		}
	}
	return nil
}

// mingled is the violation of two runs that can't be one behind the other.
func mingled(a, b run) *Violation {
	return violation("two values, and what was found and written behind each, can't be one behind the other: "+
		"of each, something was over (first, third) before something of the other began (fourth, second)", a.first, a.last, b.first, b.last)
}
