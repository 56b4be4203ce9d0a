package chord

import (
	"slices"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/chord/internal/msg"
	"github.com/torc-dht/torc/chord/internal/ring"
)

// idleFor is how long the connections to a node that owns nothing any more, as far as
// its table knows, are kept.
const idleFor = 10 * time.Second

// routing is what a table knows of its ring. It never changes; there is a new one for
// each piece of news, so that a call sees one state of it and takes no lock.
type routing struct {
	ranges
	// version grows from one routing to the next.
	version uint64
	// view is who the members are, as the last look at all of them has shown.
	view torc.View
	// replaced is closed when the table has a newer routing.
	replaced chan struct{}
}

// changeLocked makes what change does to a copy of the routing what calls go by. The
// version is the time, in microseconds since 1970, so that those of two tables can be
// compared, as far as their clocks can.
func (t *Table) changeLocked(now time.Time, change func(next *routing)) *routing {
	old := t.routing.Load()
	next := &routing{
		ranges: old.ranges, view: old.view,
		version: max(old.version+1, uint64(max(now.UnixMicro(), 0))), replaced: make(chan struct{}),
	}
	change(next)
	t.routing.Store(next)
	close(old.replaced)
	t.forgetLocked(now, next)
	return next
}

// heard notes that owner has a span, which a call has been told just now, and returns its
// arc; nil if that can't be, or the table is closed.
func (t *Table) heard(span msg.Span, owner ring.Ref) *arc {
	before := t.routing.Load()
	a, now := t.hear(span, owner, nil)
	if now != before {
		t.poke()
	}
	return a
}

// hear notes that owner has a span and, if that is known, who holds copies of it:
// holders is not nil then. It returns the owner's arc, and the routing that has it; nil
// if that can't be, or the table is closed.
func (t *Table) hear(span msg.Span, owner ring.Ref, holders []ring.Ref) (*arc, *routing) {
	if owner.None() || torc.CheckAddr(owner.Addr) != nil || span.To != owner.Place {
		return nil, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.closed {
		return nil, nil
	}
	r := t.routing.Load()
	if a := r.find(owner.Place); a == nil || a.owner != owner || a.from != span.From || holders != nil && !slices.Equal(a.holders, holders) {
		news := arc{from: span.From, owner: owner, at: t.nodeLocked(owner.Addr), holders: holders}
		r = t.changeLocked(time.Now(), func(next *routing) { next.ranges = next.with(news) })
	}
	return r.find(owner.Place), r
}

// poke has the lookout, if there is one, look at the ring soon.
func (t *Table) poke() {
	select {
	case t.news <- struct{}{}:
	default: // it is to already
	}
}

// nodeLocked returns the node at an address.
func (t *Table) nodeLocked(addr string) *reached {
	at := t.mu.nodes[addr]
	if at == nil {
		at = newReached(t, addr)
		t.mu.nodes[addr] = at
	}
	return at
}

// node is nodeLocked; nil once the table is closed.
func (t *Table) node(addr string) *reached {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.closed {
		return nil
	}
	return t.nodeLocked(addr)
}

// forgetLocked closes the connections to nodes that have been of no use for a while.
// What is under way on them fails at once, and is tried elsewhere.
func (t *Table) forgetLocked(now time.Time, r *routing) {
	used := make(map[string]bool, len(r.arcs))
	for _, addr := range t.seeds {
		used[addr] = true
	}
	for i := range r.arcs {
		used[r.arcs[i].owner.Addr] = true
	}
	for _, m := range r.view.Members {
		used[m.Addr] = true
	}
	for addr, at := range t.mu.nodes {
		switch {
		case used[addr]:
			at.idle = time.Time{}
		case at.idle.IsZero():
			at.idle = now
		case now.Sub(at.idle) > idleFor:
			delete(t.mu.nodes, addr)
			if t.mu.speaker == at {
				t.mu.speaker = nil
			}
			t.running.Go(at.close)
		}
	}
}
