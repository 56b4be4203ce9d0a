package node

import (
	"slices"
	"time"

	"github.com/torc-dht/torc/chord/internal/data"
	"github.com/torc-dht/torc/chord/internal/msg"
	"github.com/torc-dht/torc/chord/internal/ring"
)

// chunkBytes is how large a part of a fill is, and so how long a call may wait behind
// the making of it.
const chunkBytes = 32 << 10

// holder is a node that holds copies of what this one owns, or is getting them.
type holder struct {
	peer *peer
	span msg.Span // all that is owned, unless it is only to be given a part
	// target: it is one of those that are to hold copies by the successor list.
	target bool
	open   int      // items that make it complete, and are not acknowledged
	fills  []*fill  // not all sent
	late   []*write // that it lacked, and that it has when it is complete
}

// fill is a span on its way to a node.
type fill struct {
	number  uint64
	purpose msg.Purpose
	of      *holder // nil: nobody's
	span    msg.Span
	cursor  data.Cursor
	// Of a merge, which is of what there was once: what is left to send.
	entries []msg.Entry
	records []msg.Record
	all     fork
	until   time.Duration // when the receiver's holders have it, too
}

// complete tells whether the holder has everything.
func (h *holder) complete() bool { return h.open == 0 && len(h.fills) == 0 }

func (o *owned) holder(p *peer) *holder {
	for _, h := range o.holders {
		if h.peer == p {
			return h
		}
	}
	return nil
}

// targets are who is to hold copies.
func (n *Node) targets() (all []*peer) {
	for _, r := range n.ring.Successors() {
		if len(all) == n.c.Replicas {
			break
		}
		if p := n.peer(r); !n.gone(r) && !p.leaving {
			all = append(all, p)
		}
	}
	return all
}

// arrange sees to it that those who are to hold copies do.
func (n *Node) arrange() {
	o := n.own
	if o == nil || n.left {
		return
	}
	targets := n.targets()
	ready := true
	for _, h := range o.holders {
		h.target = slices.Contains(targets, h.peer)
	}
	for _, p := range targets {
		h := o.holder(p)
		switch {
		case h == nil:
			n.enlist(p, o.claim.Span, nil).target = true
			ready = false
		case h.span != o.claim.Span: // it was to be given a part only
			_, rest := split(n.c.Circle, o.claim.Span, h.span)
			h.span = o.claim.Span
			for _, s := range rest {
				n.fill(h, s)
			}
			ready = false
		default:
			ready = ready && h.complete()
		}
	}
	o.firm = ready
	if !ready {
		return
	}
	// Those before them may forget what they have.
	var surplus []*holder
	for _, h := range o.holders {
		if !h.target && (o.handing == nil || o.handing.to != h.peer) {
			surplus = append(surplus, h)
		}
	}
	if len(surplus) == 0 {
		return
	}
	for _, h := range surplus {
		n.discharge(h)
	}
	n.configure()
	for _, h := range surplus {
		h.peer.push(queued{item: msg.Item{Kind: msg.Drop, Span: h.span, Claim: o.claim}})
	}
}

// enlist makes p a holder of span. Of what is in with it has everything.
func (n *Node) enlist(p *peer, span msg.Span, with []synced) *holder {
	h := &holder{peer: p, span: span}
	n.own.holders = append(n.own.holders, h)
	n.bring(h, []msg.Span{span}, with)
	return h
}

// discharge: h is no holder any more. Nobody waits for it.
func (n *Node) discharge(h *holder) {
	n.own.holders = slices.DeleteFunc(n.own.holders, func(o *holder) bool { return o == h })
	h.fills, h.target = nil, false
	for _, w := range h.late {
		n.confirmed(w)
	}
	h.late = nil
	p := h.peer
	for i := range p.queue.all() {
		q := p.queue.at(i)
		if q.of == h {
			q.of = nil
		}
		if w := q.w; w != nil {
			q.w = nil
			n.confirmed(w)
		}
	}
}

// configure counts another set of holders, and tells those who are in it.
func (n *Node) configure() {
	n.own.claim.Config++
	for _, h := range n.own.holders {
		for _, s := range overlap(n.c.Circle, n.own.claim.Span, h.span) {
			n.adopt(h, s)
		}
	}
}

// adopt tells h that what it has of s is held under the claim as it is now.
func (n *Node) adopt(h *holder, s msg.Span) {
	h.open++
	h.peer.push(queued{item: msg.Item{Kind: msg.Adopt, Span: s, Claim: n.own.claim, Seq: n.own.seq}, of: h})
}

// fill begins to send h what there is of s, in place of what it has.
func (n *Node) fill(h *holder, s msg.Span) {
	f := &fill{number: n.draw(), of: h, span: s}
	h.fills = append(h.fills, f)
	h.peer.push(queued{item: msg.Item{Kind: msg.Begin, Span: s, Claim: n.own.claim, Seq: n.own.seq, Nonce: f.number}})
}

// Pump sends a little of what others are to get, and says whether there is more that
// may be sent at once.
func (n *Node) Pump(now Time) (more bool) {
	n.at(now)
	n.clear()
	if n.own != nil {
		for _, h := range n.own.holders {
			if len(h.fills) > 0 {
				more = n.pour(h.peer, &h.fills) || more
			}
		}
	}
	for _, p := range n.order {
		if len(p.fills) > 0 {
			more = n.pour(p, &p.fills) || more
		}
	}
	return more || len(n.trash) > 0
}

// pour sends p a chunk of the first of fills, if it may, and says whether it may be
// sent more.
func (n *Node) pour(p *peer, fills *[]*fill) (more bool) {
	if !p.up || p.dead || p.suspect || p.filling >= n.c.Window {
		return false
	}
	f := (*fills)[0]
	it := msg.Item{Kind: msg.Chunk, Purpose: f.purpose, Span: f.span, Nonce: f.number}
	var done bool
	if f.purpose == msg.ToMerge {
		it.Entries, f.entries = f.entries[:min(64, len(f.entries))], f.entries[min(64, len(f.entries)):]
		if len(f.entries) == 0 { // a record says that its entry came
			it.Records, f.records = f.records[:min(256, len(f.records))], f.records[min(256, len(f.records)):]
		}
		done = len(f.entries) == 0 && len(f.records) == 0
	} else {
		it.Entries, it.Records, f.cursor, done = n.data.Scan(f.span, f.cursor, chunkBytes)
	}
	if len(it.Entries)+len(it.Records) > 0 {
		p.push(queued{item: it, bytes: n.sizeOf(&it)})
	}
	if done {
		*fills = slices.Clone((*fills)[1:])
		if f.purpose == msg.ToMerge {
			f.until = n.runs + 5*n.c.silence()
			p.merged = append(slices.DeleteFunc(p.merged, func(f *fill) bool { return n.runs >= f.until }), f)
		}
		end := queued{item: msg.Item{Kind: msg.End, Purpose: f.purpose, Span: f.span, Nonce: f.number}}
		if f.of != nil {
			f.of.open++
			end.of, end.item.Seq = f.of, n.own.seq
		}
		p.push(end)
	}
	return len(*fills) > 0 && p.filling < n.c.Window
}

func (n *Node) sizeOf(it *msg.Item) int {
	bytes := 48 * len(it.Records)
	for i := range it.Entries {
		bytes += int(data.Size(&it.Entries[i]))
	}
	return bytes
}

// lost: p is gone, or seems to be. Nobody waits for it any more; if it comes back, it
// is told anew what it is to have.
func (n *Node) lost(p *peer) {
	p.granted = 0
	if o := n.own; o != nil {
		if h := o.holder(p); h != nil {
			n.discharge(h)
			n.configure()
		}
		if g := o.handing; g != nil && g.to == p {
			o.handing = nil
			n.unpark = true
		}
	}
	n.unsent(p)
	p.fills = nil
	if p.dead {
		p.passing = nil
		n.unpark = true
	}
	// What it may have got keeps its number.
	for i := range p.queue.all() {
		q := p.queue.at(i)
		if q.item.Kind == msg.Grant && !p.dead {
			continue
		}
		p.filling -= q.bytes
		*q = queued{item: msg.Item{Kind: msg.Nothing}}
	}
}

// receiveRefused: p has not taken an item.
func (n *Node) receiveRefused(p *peer, m *msg.Refused) {
	if m.Number <= p.acked || m.Number > p.last() {
		return
	}
	q := p.queue.at(int(m.Number - p.acked - 1))
	switch q.item.Kind {
	case msg.Grant:
		n.grantRefused(p, q, !m.Claim.Owner.None())
	case msg.Want:
		n.gap = nil // it is asked for again
	}
	if !m.Claim.Owner.None() {
		n.depose(&m.Claim)
		q = p.queue.at(int(m.Number - p.acked - 1)) // which may have grown
		if q.w == nil || q.w.done {
			return
		}
	}
	o := n.own
	if q.item.Kind != msg.Write && q.item.Kind != msg.Adopt || o == nil {
		return
	}
	h := o.holder(p)
	if h == nil {
		return
	}
	n.sometimes("a holder lacks what it should have")
	// It is sent everything there. Who waits for the item waits for the end of that.
	if q.w != nil {
		h.late = append(h.late, q.w)
		q.w = nil
	}
	begun := func(s msg.Span) bool {
		for i := range p.queue.all()[m.Number-p.acked:] {
			it := &p.queue.at(int(m.Number-p.acked) + i).item
			if it.Kind == msg.Begin && it.Purpose == msg.ToHold && within(n.c.Circle, s, it.Span) {
				return true // and so what was refused will be in it
			}
		}
		return false
	}
	for _, s := range overlap(n.c.Circle, h.span, m.Span) {
		if !begun(s) {
			n.fill(h, s)
		}
	}
}

// holderOf is p as a holder, nil if it is none.
func (n *Node) holderOf(r ring.Ref) *holder {
	if p := n.peers[r]; p != nil && n.own != nil {
		return n.own.holder(p)
	}
	return nil
}
