package node

import (
	"slices"
	"time"

	"github.com/torc-dht/torc/chord/internal/msg"
	"github.com/torc-dht/torc/chord/internal/place"
	"github.com/torc-dht/torc/chord/internal/ring"
)

// handing is a span on its way to another owner: a new predecessor, or the first
// successor of a node that leaves.
type handing struct {
	to   *peer
	span msg.Span
	// frozen: nothing is executed there any more. It is granted when no write of it
	// is unanswered.
	frozen bool
	since  time.Duration // when it might have been granted; of Bugs.NoFreeze
}

// mind compares what this node owns with where the ring says that it begins.
func (n *Node) mind() {
	if n.left || !n.ring.Member() {
		return
	}
	if n.leaving {
		n.leave()
		return
	}
	self, before := n.c.Self, n.ring.Predecessor()
	alone := n.ring.Successor() == self && (before.None() || n.gone(before))
	if alone {
		before = self
	}
	switch {
	case before.None() || n.gone(before):
	case n.own == nil:
		n.seek(msg.Span{From: before.Place, To: self.Place})
	case before.Place == n.own.claim.Span.From:
		n.gap, n.own.handing = nil, nil
	case alone || !place.Inside(n.own.claim.Span.From, before.Place, self.Place):
		n.own.handing = nil
		n.seek(msg.Span{From: before.Place, To: n.own.claim.Span.From})
	case n.peer(before).leaving: // it won't have it
		n.gap, n.own.handing = nil, nil
	default:
		n.gap = nil
		n.hand(n.peer(before), msg.Span{From: n.own.claim.Span.From, To: before.Place})
	}
}

// hand gives s to p, which goes on with the next call once p has everything.
func (n *Node) hand(p *peer, s msg.Span) {
	o := n.own
	if !n.alive(p.ref) || p.passing != nil || n.runs < p.again {
		return
	}
	if g := o.handing; g == nil || g.to != p || g.span != s {
		o.handing = &handing{to: p, span: s}
		n.unpark = true
	}
	h := o.holder(p)
	if h == nil {
		h = n.enlist(p, s, nil)
	}
	if !within(n.c.Circle, s, h.span) { // it was to be given another part
		n.discharge(h)
		n.configure()
		return
	}
	o.handing.frozen = h.complete() && !p.full
	n.handOver()
}

// frozen tells whether p is in a span that is being handed over.
func (n *Node) frozen(p place.Place) bool {
	g := n.own.handing
	return g != nil && g.frozen && covers(g.span, p) && !n.c.Bugs.NoFreeze
}

// passing tells whether p is in a span that was granted, by which the new owner may
// not go yet.
func (n *Node) passing(p place.Place) bool {
	for _, q := range n.order {
		if q.passing != nil && covers(*q.passing, p) {
			return true
		}
	}
	return false
}

// handOver grants the frozen span, once none of its writes is unanswered.
func (n *Node) handOver() {
	o := n.own
	if o == nil || o.handing == nil || n.left {
		return
	}
	g := o.handing
	if !g.frozen || !n.mayServe() {
		return
	}
	h := o.holder(g.to)
	if h == nil || !h.complete() {
		return
	}
	for _, w := range n.writes.all() {
		if !w.done && covers(g.span, w.at) && !n.c.Bugs.NoFreeze {
			return
		}
	}
	if n.c.Bugs.NoFreeze { // it goes on for a while: see carryOut
		if g.since == 0 {
			g.since = n.runs
		}
		if n.runs-g.since < n.c.PingEvery {
			return
		}
	}
	c := msg.Claim{
		Span: g.span, Owner: g.to.ref, Config: 1, Graves: o.claim.Graves,
		Term:  msg.Term{Number: o.claim.Term.Number + 1, Boot: g.to.ref.Boot, Bare: o.claim.Term.Bare},
		Bases: bases(o.claim.Bases, msg.Base{Span: g.span, Term: o.claim.Term, Config: o.claim.Config}),
	}
	holders := []ring.Ref{n.c.Self}
	for _, h := range o.holders {
		if h.peer != g.to && h.complete() && within(n.c.Circle, g.span, h.span) {
			holders = append(holders, h.peer.ref)
		}
	}
	g.to.push(queued{item: msg.Item{Kind: msg.Grant, Span: g.span, Claim: c, Holders: holders}})
	g.to.passing = &g.span
	n.counts.HandOffs++
	o.handing = nil
	n.part(g.span, c)
}

// part: c's owner has s from now on, and this node holds it.
func (n *Node) part(s msg.Span, c msg.Claim) {
	o := n.own
	n.keep(holding{Holding: msg.Holding{Span: s, Claim: c, Complete: true}})
	told := n.watched()
	defer func() { // who has given its promise to this node may give it to the next
		for _, p := range told {
			n.ping(p)
		}
	}()
	if s.To == n.c.Self.Place { // everything
		n.disown()
		n.owes = true
		return
	}
	n.shrink(msg.Span{From: s.To, To: n.c.Self.Place})
	for _, h := range slices.Clone(o.holders) {
		if !h.target && h.peer.ref == c.Owner {
			n.discharge(h)
		}
	}
	n.configure()
	n.arrange()
}

// disown: this node owns nothing.
func (n *Node) disown() {
	for _, h := range slices.Clone(n.own.holders) {
		n.discharge(h)
	}
	n.own = nil
}

// shrink: only s is this node's from now on.
func (n *Node) shrink(s msg.Span) {
	o := n.own
	o.claim.Span = s
	for _, h := range o.holders {
		in := overlap(n.c.Circle, h.span, s)
		if len(in) == 0 {
			continue // it is on its way out
		}
		h.span = in[0]
		if len(h.fills) > 0 { // what was sent of it is sent again
			h.fills = nil
			n.fill(h, h.span)
		}
	}
}

// bases adds to what a claim goes back to, and forgets what is longest ago.
func bases(old []msg.Base, more ...msg.Base) []msg.Base {
	all := append(slices.Clone(more), old...)
	return all[:min(len(all), msg.MaxBases)]
}

// granted: p has taken the span that it was granted.
func (n *Node) granted(p *peer) {
	if p.passing == nil {
		return
	}
	p.passing, n.owes = nil, false
	n.unpark = true
	if n.leaving {
		n.mind()
	}
}

// grantRefused: p won't own what it was granted. Unless that is another one's by now, it
// is this node's again, under a term above both.
func (n *Node) grantRefused(p *peer, q *queued, others bool) {
	if p.passing == nil {
		return
	}
	n.sometimes("grant refused")
	p.passing, p.again = nil, n.runs+n.c.PingEvery
	if n.leaving && !goesFirst(n.c.Self, p.ref) {
		p.again += 3 * n.c.PingEvery // it may be leaving as well
	}
	c := q.item.Claim
	q.item = msg.Item{Kind: msg.Nothing}
	if others {
		n.owes = false
		return
	}
	span := c.Span
	var own []msg.Base
	if o := n.own; o != nil {
		if o.claim.Span.From != span.To {
			return // there is a gap, and what is lacking is sought
		}
		span.To = o.claim.Span.To
		c.Term = both(c.Term, o.claim.Term)
		own = append(own, n.base())
	}
	c.Bases = bases(c.Bases, own...)
	n.assume(span, c.Term, c.Bases, c.Graves, nil)
}

// base is what this node owns as what another claim goes back to.
func (n *Node) base() msg.Base {
	o := n.own
	return msg.Base{Span: o.claim.Span, Term: o.claim.Term, Config: o.claim.Config, Seq: o.seq}
}

// synced is a node that has all of a span.
type synced struct {
	ref  ring.Ref
	span msg.Span
}

// assume makes s this node's, under a term above the given one. Everything is here.
func (n *Node) assume(s msg.Span, above msg.Term, from []msg.Base, graves uint64, with []synced) {
	old := n.own
	n.unhold(s)
	if old != nil {
		graves = max(graves, old.claim.Graves)
	}
	for _, p := range n.order {
		p.granted = 0
	}
	n.own = &owned{since: n.now.Mono, claim: msg.Claim{
		Span: s, Owner: n.c.Self, Config: 1, Graves: graves, Bases: from[:min(len(from), msg.MaxBases)],
		Term: msg.Term{Number: above.Number + 1, Boot: n.c.Self.Boot, Bare: above.Bare},
	}}
	n.gap, n.owes, n.joined = nil, false, true
	n.digGraves()
	for _, p := range n.order {
		if p.passing != nil && len(overlap(n.c.Circle, *p.passing, s)) > 0 {
			p.passing = nil
		}
	}
	var done []*peer
	if old != nil {
		for _, h := range old.holders {
			done = append(done, h.peer)
			n.own.holders = append(n.own.holders, h)
			_, more := split(n.c.Circle, s, old.claim.Span)
			for _, piece := range overlap(n.c.Circle, h.span, s) {
				n.adopt(h, piece)
			}
			if h.span != old.claim.Span {
				continue // it was to be given a part
			}
			h.span = s
			n.bring(h, more, with)
		}
	}
	list := n.targets()
	if old == nil {
		for _, w := range with { // until those who are to hold it do
			if p := n.peer(w.ref); w.ref != n.c.Self && !n.gone(w.ref) && !slices.Contains(list, p) {
				list = append(list, p)
			}
		}
	}
	for _, p := range list {
		if !slices.Contains(done, p) {
			done = append(done, p)
			n.enlist(p, s, with)
		}
	}
	n.arrange()
	n.mind()
	n.unpark = true
	for _, p := range n.watched() {
		n.ping(p)
	}
}

// bring has h hold pieces: what it has all of it adopts, the rest it is sent.
func (n *Node) bring(h *holder, pieces []msg.Span, with []synced) {
	for _, w := range with {
		if w.ref != h.peer.ref {
			continue
		}
		var rest []msg.Span
		for _, piece := range pieces {
			in, out := split(n.c.Circle, piece, w.span)
			for _, s := range in {
				n.adopt(h, s)
			}
			rest = append(rest, out...)
		}
		pieces = rest
	}
	for _, s := range pieces {
		n.fill(h, s)
	}
}

// takeGrant makes this node the owner of a span that another one had.
func (n *Node) takeGrant(p *peer, number uint64, it *msg.Item) {
	c := it.Claim
	in := n.carve(it.Span)
	ok := covered(n.c.Circle, it.Span, in) && c.Owner == n.c.Self
	ok = ok && (!n.leaving || goesFirst(p.ref, n.c.Self))
	for _, h := range in {
		ok = ok && h.Complete && h.fill == 0 && h.Claim.Owner == p.ref
	}
	if o := n.own; o != nil {
		ok = ok && it.Span.To == o.claim.Span.From && !covers(o.claim.Span, it.Span.To)
	} else {
		ok = ok && it.Span.To == n.c.Self.Place
	}
	if higher := n.higher(it.Span, c.Term, p); higher != nil || !ok {
		n.sometimes("refuses a grant")
		n.refuseItem(p, number, it.Span, higher)
		return
	}
	s, from, above := it.Span, c.Bases, c.Term
	if o := n.own; o != nil {
		s.To = o.claim.Span.To
		from = bases(from, n.base())
		above = both(above, o.claim.Term)
	} else {
		above.Number--
	}
	var with []synced
	for _, r := range it.Holders {
		with = append(with, synced{r, it.Span})
	}
	n.assume(s, above, from, c.Graves, with)
}

// stays tells whether somebody counts on copies that this node holds: their owner has
// it Drop them when there are as many without them. Not for ever, for it may fail to.
func (n *Node) stays() bool {
	if n.stayUntil == 0 {
		n.stayUntil = n.runs + 10*n.c.silence()
	}
	if n.runs >= n.stayUntil {
		return false
	}
	ask := n.runs >= n.auditAt
	if ask {
		n.auditAt = n.runs + n.c.PingEvery/2
	}
	stays := false
	for i := range n.holds {
		h := &n.holds[i]
		if !n.alive(h.Claim.Owner) {
			continue
		}
		stays = true
		if ask {
			n.send(h.Claim.Owner, &msg.Query{Span: h.Span})
		}
	}
	return stays
}

// goesFirst tells whether, if both are leaving, a gives what it has to b, and not b to a.
func goesFirst(a, b ring.Ref) bool { return a.Place.Compare(b.Place) < 0 }

// leave hands everything over to the first successor, and goes.
func (n *Node) leave() {
	first := n.first()
	for _, p := range n.order {
		if p.passing != nil && !n.gone(p.ref) {
			return // it waits for the word that it is taken
		}
	}
	switch before := n.ring.Predecessor(); {
	case n.own != nil && first != nil:
		n.gap = nil
		n.hand(first, n.own.claim.Span)
	case n.own == nil && n.owes && !before.None() && !n.gone(before):
		// Who was to have it is dead, and may have served it before.
		n.seek(msg.Span{From: before.Place, To: n.c.Self.Place})
	case n.own == nil && (n.owes || len(n.forked.entries) > 0) && first != nil:
	case n.own == nil && n.stays():
	default:
		n.goodbye(false)
	}
}
