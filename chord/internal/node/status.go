package node

import (
	"slices"

	"github.com/torc-dht/torc/chord/internal/data"
	"github.com/torc-dht/torc/chord/internal/msg"
	"github.com/torc-dht/torc/chord/internal/ring"
	"github.com/torc-dht/torc/store"
)

// Status is what a node tells people. Its slices are the caller's.
type Status struct {
	Self        ring.Ref
	Predecessor ring.Ref // nobody: not known
	Successors  []ring.Ref
	Fingers     []ring.Ref
	Suspects    []ring.Ref
	Remembered  []ring.Ref

	Joined  bool
	Leaving bool
	// Claim is what it owns; its Owner is nobody if it owns nothing.
	Claim   msg.Claim
	Serving bool // it answers calls on it
	Holders []Holder
	// Firm: as many nodes as should have everything.
	Firm     bool
	Holdings []msg.Holding
	Gap      *msg.Span // what it is to own and doesn't yet; nil: nothing

	Owned          uint64 // keys in what it owns
	Keys           uint64 // and with all copies
	Bytes          uint64
	Limit          uint64
	Writes, Parked int // calls' writes without an answer, and calls that wait
	Counts         Counts
}

// Holder is a node that holds copies.
type Holder struct {
	Node     ring.Ref
	Complete bool
}

// Status tells how the node is.
func (n *Node) Status() Status {
	s := Status{
		Self: n.c.Self, Predecessor: n.ring.Predecessor(), Successors: slices.Clone(n.ring.Successors()),
		Fingers: slices.Clone(n.ring.Fingers()), Remembered: n.ring.Remembered(),
		Joined: n.Joined(), Leaving: n.leaving, Keys: n.data.Keys(), Bytes: n.data.Bytes(), Limit: n.c.Limit,
		Writes: n.writes.len(), Parked: len(n.parked), Counts: n.counts,
	}
	for _, p := range n.order {
		if p.suspect && !p.dead {
			s.Suspects = append(s.Suspects, p.ref)
		}
	}
	if o := n.own; o != nil {
		s.Claim, s.Firm, s.Serving = o.claim, o.firm, n.mayServe()
		s.Owned = uint64(n.data.Count(o.claim.Span))
		for _, h := range o.holders {
			s.Holders = append(s.Holders, Holder{h.peer.ref, h.complete()})
		}
	}
	for _, h := range n.holds {
		s.Holdings = append(s.Holdings, h.Holding)
	}
	if g := n.gap; g != nil {
		span := g.span
		s.Gap = &span
	}
	return s
}

// Usage says what the node holds, copies and all: keys, and bytes as they count
// against Config.Limit.
func (n *Node) Usage() (keys, bytes uint64) { return n.data.Keys(), n.data.Bytes() }

// Items appends some of the items that this node owns to dst, in the order of their
// places, beginning behind a cursor: the zero Cursor, or the one that it returned
// before. done says that there are no more.
func (n *Node) Items(dst []store.Item, after data.Cursor) (items []store.Item, next data.Cursor, done bool) {
	if n.own == nil {
		return dst, after, true
	}
	entries, _, next, done := n.data.Scan(n.own.claim.Span, after, chunkBytes)
	for i := range entries {
		if e := &entries[i]; n.there(e) {
			dst = append(dst, item(e))
		}
	}
	return dst, next, done
}
