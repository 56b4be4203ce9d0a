package check

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// Semantics is what a table promises about entries that nobody deleted.
type Semantics int

const (
	// Register: they stay.
	Register Semantics = iota
	// Cache: they may be gone, and a read that misses one doesn't say that a
	// later one will. What is read is never older than what it promises.
	Cache
)

// DefaultTimeout bounds the search of Linearizable. Histories of a few thousand
// operations a key take milliseconds; one that takes longer than this has too
// many at a time on one key, and will not be decided by waiting.
const DefaultTimeout = 30 * time.Second

// Linearizable returns a *Violation if no order of the operations explains what
// they saw, and also if none was found in time. Of a Register, keys that are only
// read, put and exchanged, each value once, take no search and no time to speak
// of, however many operations there are, and how many at a time.
func Linearizable(h History, s Semantics, timeout time.Duration) error {
	deadline := time.Now().Add(timeout)
	m := model(s)
	for key, opsOfKey := range h.binding().byKey() {
		if s == Register && chained(opsOfKey) {
			if v := chain(opsOfKey); v != nil {
				if len(opsOfKey) <= drawable {
					v.visual = visual{m, operations(opsOfKey)}
				}
				return v
			}
			continue
		}
		found := search(s, m, opsOfKey, deadline)
		if found == porcupine.Ok {
			continue
		}
		ops := operations(opsOfKey)
		what := fmt.Sprintf("no order of its %d operations explains what they saw", len(ops))
		if found == porcupine.Unknown {
			what = fmt.Sprintf("undecided after %v: the history has too many operations at a time on one key", timeout)
		}
		return &Violation{Key: key, What: what, visual: visual{m, ops}}
	}
	return nil
}

// search looks for an order of the operations of one key. A search that has more deletes
// to choose from than it needs may be done at once, and may never be: so it is tried
// with all of them for a while, and then with those that are enough.
func search(s Semantics, m porcupine.Model, ops []*Operation, deadline time.Time) porcupine.CheckResult {
	left := func() time.Duration { return max(time.Until(deadline), time.Millisecond) } // 0 would mean no bound
	few := ops
	if s == Register {
		few = fewDeletes(ops)
	}
	if len(few) < len(ops) {
		if r := porcupine.CheckOperationsTimeout(m, operations(ops), left()/4); r != porcupine.Unknown {
			return r
		}
	}
	return porcupine.CheckOperationsTimeout(m, operations(few), left())
}

// drawable is how many operations a drawing of a chain shows at most: to draw one
// takes the search that its check does without.
const drawable = 1000

// visual is what porcupine needs to draw a history.
type visual struct {
	model porcupine.Model
	ops   []porcupine.Operation
}

// Visualize writes an HTML page that shows the longest orders that explain a
// part of what was seen. Only violations found by Linearizable have one.
func (v *Violation) Visualize(w io.Writer) error {
	if v.visual.ops == nil {
		return fmt.Errorf("check: nothing to draw: %s", v.What)
	}
	_, info := porcupine.CheckOperationsVerbose(v.visual.model, v.visual.ops, DefaultTimeout)
	return porcupine.Visualize(v.visual.model, info, w)
}

// operations translates the operations of one key, without those that neither
// did nor saw anything. A write of unknown outcome returns after all others, so
// that it can be placed anywhere after its call, and also behind everything,
// which is as good as nowhere. Its client goes on meanwhile, so it is drawn as a
// client of its own.
func operations(ops []*Operation) []porcupine.Operation {
	var extra int
	var end time.Duration
	for _, o := range ops {
		extra, end = max(extra, o.Client), max(end, o.Return)
	}
	var out []porcupine.Operation
	for _, o := range ops {
		if o.Outcome == Failed || o.Op == Get && o.Outcome == Unknown {
			continue
		}
		p := porcupine.Operation{ClientId: o.Client, Input: o, Call: int64(o.Call), Output: o, Return: int64(o.Return)}
		if o.Outcome == Unknown {
			extra++
			p.ClientId, p.Return = extra, int64(end)+1
		}
		out = append(out, p)
	}
	return out
}

// fewDeletes leaves out those of a register's deletes of unknown outcome that explain
// nothing which the others don't: each may double what there is to search.
//
// One is of use only before something that takes place only where there is no entry,
// and a second one only before what another write can have come before. So one is enough
// for each group of such that no write comes between. And they may be the earliest: the
// k-th to be called may take place wherever any k-th one does, since none has an end.
func fewDeletes(ops []*Operation) []*Operation {
	var deletes, without, writes []*Operation
	for _, o := range ops {
		switch {
		case o.Op == Delete && o.Outcome == Unknown:
			deletes = append(deletes, o)
		case o.Outcome == Missing, o.Op == Exchange && o.Outcome == OK && !o.Found,
			o.Op == PutIfAbsent && (o.Outcome == OK || o.Outcome == Unknown):
			without = append(without, o)
		}
		if o.Op != Delete && o.writes() {
			writes = append(writes, o)
		}
	}
	slices.SortStableFunc(without, func(a, b *Operation) int { return cmp.Compare(end(a), end(b)) })
	var ends []time.Duration // of the groups
	var from time.Duration   // where the last one begins
	for i, o := range without {
		first, last := min(from, o.Call), end(o)
		between := func(w *Operation) bool { return end(w) >= first && w.Call <= last }
		if i == 0 || slices.ContainsFunc(writes, between) {
			from, ends = o.Call, append(ends, last)
		} else {
			from, ends[len(ends)-1] = first, last
		}
	}
	slices.SortStableFunc(deletes, func(a, b *Operation) int { return cmp.Compare(a.Call, b.Call) })
	useful := 0
	for _, to := range ends {
		if useful < len(deletes) && deletes[useful].Call <= to {
			useful++
		}
	}
	needless := deletes[useful:]
	return slices.DeleteFunc(slices.Clone(ops), func(o *Operation) bool { return slices.Contains(needless, o) })
}

// end is when o took effect at the latest, if it did.
func end(o *Operation) time.Duration {
	if o.Outcome == Unknown {
		return math.MaxInt64
	}
	return o.Return
}

// entry is the state of one key.
type entry struct {
	present bool
	value   Text
}

// model is a table on one machine, for one key.
func model(s Semantics) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return entry{} },
		Step: func(state, input, _ any) (bool, any) {
			ok, next := step(s, state.(entry), input.(*Operation))
			return ok, next
		},
		DescribeOperation: func(input, _ any) string {
			o := input.(*Operation)
			switch o.Op {
			case Get, Delete:
				return fmt.Sprintf("%s: %s %q", o.Op, o.Outcome, o.Value)
			case Swap:
				return fmt.Sprintf("swap %q for %q: %s", o.Expect, o.Value, o.Outcome)
			case Exchange:
				if !o.Found {
					return fmt.Sprintf("exchange %q: %s", o.Value, o.Outcome)
				}
				return fmt.Sprintf("exchange %q: %s %q", o.Value, o.Outcome, o.Expect)
			default:
				return fmt.Sprintf("%s %q: %s", o.Op, o.Value, o.Outcome)
			}
		},
		DescribeState: func(state any) string {
			if e := state.(entry); e.present {
				return fmt.Sprintf("%q", e.value)
			}
			return "no entry"
		},
	}
}

// step tells whether o could end as it did on e, and what e is then.
func step(s Semantics, e entry, o *Operation) (bool, entry) {
	gone := !e.present || s == Cache // the entry may be missing
	written := entry{true, o.Value}
	switch o.Outcome {
	case OK:
		switch o.Op {
		case Get:
			return e == written, e
		case Put:
			return true, written
		case PutIfAbsent:
			return gone, written
		case Update:
			return e.present, written
		case Swap:
			return e == entry{true, o.Expect}, written
		case Exchange:
			return o.Found && e == entry{true, o.Expect} || !o.Found && gone, written
		case Delete:
			return e.present, entry{}
		}
	case Missing:
		if o.Op == Get || o.Op == Swap || o.Op == Update {
			return gone, e
		}
		return gone && o.Op == Delete, entry{}
	case Exists:
		return e.present, e
	case Conflict: // in a cache, an entry that moved has another version
		return e.present && (e.value != o.Expect || s == Cache), e
	case Unknown: // it happens here, if it can
		switch {
		case o.Op == Delete:
			return true, entry{}
		case o.Op == Put, o.Op == Exchange,
			o.Op == PutIfAbsent && gone,
			o.Op == Update && e.present,
			o.Op == Swap && e == entry{true, o.Expect}:
			return true, written
		}
		return true, e
	}
	return false, e
}
