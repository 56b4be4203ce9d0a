package chord

import (
	"slices"

	"github.com/torc-dht/torc/chord/internal/place"
	"github.com/torc-dht/torc/chord/internal/ring"
)

// arc is what a node owns, as far as a table has heard: a span that ends at the node.
type arc struct {
	from  place.Place
	owner ring.Ref
	at    *reached // the owner, to be asked
	// holders have copies of all of it, in order; nil if nobody has said who.
	holders []ring.Ref
}

func (a *arc) covers(p place.Place) bool { return place.Between(a.from, p, a.owner.Place) }

// without is what is left of a when who owns b has come after it, if anything: the end,
// since that is where a's owner is.
func (a arc) without(b *arc) (arc, bool) {
	switch {
	case b.covers(a.owner.Place):
		return arc{}, false
	case a.covers(b.owner.Place):
		a.from, a.holders = b.owner.Place, nil
	}
	return a, true
}

// ranges are who owns which places. They never change, and don't overlap; where there
// is a gap nobody has been heard of. The zero value is one gap.
type ranges struct {
	ends []place.Place // of the arcs, in order: a search looks at nothing else
	arcs []arc
}

// find returns the arc of a place, nil if it lies in a gap. It allocates nothing.
func (r *ranges) find(p place.Place) *arc {
	low, high := 0, len(r.ends)
	for low < high {
		if mid := int(uint(low+high) / 2); r.ends[mid].Compare(p) < 0 {
			low = mid + 1
		} else {
			high = mid
		}
	}
	switch {
	case len(r.ends) == 0:
		return nil
	case low == len(r.ends):
		low = 0 // around
	}
	if a := &r.arcs[low]; a.covers(p) {
		return a
	}
	return nil
}

// with returns r and a: what is new is right, and others have what it leaves them.
func (r *ranges) with(a arc) ranges {
	next := ranges{ends: make([]place.Place, 0, len(r.ends)+1), arcs: make([]arc, 0, len(r.arcs)+1)}
	for _, old := range r.arcs {
		if rest, ok := old.without(&a); ok {
			next.arcs = append(next.arcs, rest)
		}
	}
	i, _ := slices.BinarySearchFunc(next.arcs, a.owner.Place, func(old arc, p place.Place) int { return old.owner.Place.Compare(p) })
	next.arcs = slices.Insert(next.arcs, i, a)
	for i := range next.arcs {
		next.ends = append(next.ends, next.arcs[i].owner.Place)
	}
	return next
}
