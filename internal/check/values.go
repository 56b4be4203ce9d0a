package check

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Violation is a breach of one of the rules, at one key.
type Violation struct {
	Key  Text
	What string
	// Ops are the operations that show it, where it takes but a few.
	Ops []Operation

	visual visual
}

func (v *Violation) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "key %q: %s", v.Key, v.What)
	for _, o := range v.Ops {
		fmt.Fprintf(&b, "\n\t%v", o)
	}
	return b.String()
}

func violation(what string, ops ...*Operation) *Violation {
	v := &Violation{What: what}
	for _, o := range ops {
		v.Ops = append(v.Ops, *o)
		v.Key = o.Key
	}
	return v
}

// Values returns a *Violation if a value was read that was not written to its
// key by then.
func Values(h History) error {
	h = h.binding()
	type place struct{ key, value Text }
	first := make(map[place]*Operation) // the first write of each value, or what failed to write it
	anywhere := make(map[Text]*Operation)
	for i := range h {
		o := &h[i]
		if o.Op == Get || o.Op == Delete {
			continue
		}
		at := place{o.Key, o.Value}
		if old := first[at]; old == nil || !old.writes() && o.writes() || old.writes() == o.writes() && o.Call < old.Call {
			first[at] = o
		}
		anywhere[o.Value] = o
	}
	for i := range h {
		o := &h[i]
		value, ok := o.found()
		if !ok {
			continue
		}
		w := first[place{o.Key, value}]
		switch {
		case w != nil && w.writes() && w.Call <= o.Return:
		case w != nil && w.writes():
			return violation("a value was read before it was written", o, w)
		case w != nil:
			return violation("a value was read although the write of it said that it did nothing", w, o)
		case anywhere[value] != nil:
			return violation("a value was read that was written to another key", anywhere[value], o)
		default:
			return violation("a value was read that nobody wrote", o)
		}
	}
	return nil
}

// Fresh returns a *Violation if a value was read that something newer had
// replaced before the read began: a write that began only after the value's own
// write was over, and that was itself over, or seen by somebody, by then. It
// takes for granted that Values finds nothing.
func Fresh(h History) error {
	for _, ops := range h.binding().byKey() {
		if v := fresh(ops); v != nil {
			return v
		}
	}
	return nil
}

func fresh(ops []*Operation) *Violation {
	writes := make(map[Text]*Operation)
	for _, o := range ops {
		if !o.writes() || o.Op == Delete {
			continue
		}
		if other := writes[o.Value]; other != nil {
			return violation("a value was written twice: the check needs each to be unique", other, o)
		}
		writes[o.Value] = o
	}

	// over is when a write had surely taken effect: at its return if that told
	// so, and once its value was read.
	over := make(map[*Operation]time.Duration)
	happened := func(w *Operation, at time.Duration) {
		if t, ok := over[w]; !ok || at < t {
			over[w] = at
		}
	}
	// A fact is that from a moment on, a certain write is known to have happened.
	type fact struct {
		from time.Duration
		w    *Operation
	}
	var facts []fact
	for _, o := range ops {
		if value, ok := o.found(); ok && writes[value] != nil {
			happened(writes[value], o.Return)
			facts = append(facts, fact{o.Return, writes[value]})
		}
		if o.Op != Get && o.Outcome == OK {
			happened(o, o.Return)
			facts = append(facts, fact{o.Return, o})
		}
	}
	slices.SortFunc(facts, func(a, b fact) int { return cmp.Compare(a.from, b.from) })
	// After this, facts[i].w is the write that began last of those known by then.
	for i := 1; i < len(facts); i++ {
		if last := facts[i-1].w; last.Call > facts[i].w.Call {
			facts[i].w = last
		}
	}

	for _, o := range ops {
		value, ok := o.found()
		if !ok || writes[value] == nil {
			continue
		}
		n, _ := slices.BinarySearchFunc(facts, o.Call, func(f fact, call time.Duration) int { return cmp.Compare(f.from, call) })
		if n == 0 {
			continue
		}
		w, newer := writes[value], facts[n-1].w
		if newer.Call > over[w] {
			return violation("a value was read after it had been replaced", w, newer, o)
		}
	}
	return nil
}
