package data

import (
	"github.com/tidwall/btree"

	"github.com/torc-dht/torc/chord/internal/place"
)

func (e *entry) where() place.Place  { return e.place }
func (r *record) where() place.Place { return r.Place }

// walk is on its way through what lies in a span, in one tree that is ordered by
// place. A span that goes by way of zero is two laps: up to the end of the circle, and
// from zero on.
type walk[T interface{ where() place.Place }] struct {
	iter btree.IterG[T]
	ok   bool
	to   place.Place
	zero T
	lap  int // how many begin after this one
}

// init begins a walk through places from begin to to, both included, at the first of
// what is not less than from. Zero is less than everything.
func (w *walk[T]) init(tree *btree.BTreeG[T], begin, to place.Place, from, zero T) {
	w.iter, w.to, w.zero = tree.Iter(), to, zero
	if begin.Compare(to) > 0 && from.where().Compare(begin) >= 0 {
		w.lap = 1
	}
	w.ok = w.iter.Seek(from)
	w.turn()
}

// turn goes on to the next lap when one is at its end.
func (w *walk[T]) turn() {
	if !w.ok && w.lap > 0 {
		w.lap--
		w.ok = w.iter.Seek(w.zero)
	}
}

// at returns what the walk has come to, if it is not at its end.
func (w *walk[T]) at() (item T, ok bool) {
	if !w.ok {
		return item, false
	}
	if item = w.iter.Item(); w.lap == 0 && item.where().Compare(w.to) > 0 {
		w.ok = false
		return item, false
	}
	return item, true
}

// pass goes on to what comes next.
func (w *walk[T]) pass() {
	w.ok = w.iter.Next()
	w.turn()
}
