package node

import (
	"slices"

	"github.com/torc-dht/torc/chord/internal/msg"
	"github.com/torc-dht/torc/chord/internal/place"
)

// holding is what this node has of another's span, or of one that was its own.
type holding struct {
	msg.Holding
	fill uint64 // the number of the fill under way; 0: none
	gen  uint64 // what came before it is not of the fill; 0: nothing did
}

// holdAt is the holding that a place is in; nil if there is none.
func (n *Node) holdAt(p place.Place) *holding {
	for i := range n.holds {
		if covers(n.holds[i].Span, p) {
			return &n.holds[i]
		}
	}
	return nil
}

// carve cuts the holdings at the ends of s, and returns those within it.
func (n *Node) carve(s msg.Span) (in []*holding) {
	all := make([]holding, 0, len(n.holds)+2)
	for _, h := range n.holds {
		for _, piece := range cut(n.c.Circle, h.Span, s.From, s.To) {
			h.Span = piece
			all = append(all, h)
		}
	}
	n.holds = all
	for i := range n.holds {
		if covers(s, n.holds[i].Span.To) {
			in = append(in, &n.holds[i])
		}
	}
	return in
}

// unhold forgets the holdings within s. What is stored there stays.
func (n *Node) unhold(s msg.Span) {
	n.carve(s)
	n.holds = slices.DeleteFunc(n.holds, func(h holding) bool { return covers(s, h.Span.To) })
}

// keep makes h the holding of its span.
func (n *Node) keep(h holding) {
	n.unhold(h.Span)
	n.holds = append(n.holds, h)
}

// having is what this node has of a span, and what of it it owns.
func (n *Node) having(s msg.Span) (all []msg.Holding) {
	if o := n.own; o != nil {
		for _, piece := range overlap(n.c.Circle, s, o.claim.Span) {
			all = append(all, msg.Holding{Span: piece, Claim: o.claim, Seq: o.seq, Complete: true, Serving: true})
		}
	}
	for _, h := range n.holds {
		for _, piece := range overlap(n.c.Circle, h.Span, s) {
			h.Span = piece
			all = append(all, h.Holding)
		}
	}
	return all
}

// covered tells whether the holdings of in are all of s.
func covered(c place.Circle, s msg.Span, in []*holding) bool {
	missing := []msg.Span{s}
	for _, h := range in {
		var rest []msg.Span
		for _, m := range missing {
			_, out := split(c, m, h.Span)
			rest = append(rest, out...)
		}
		missing = rest
	}
	return len(missing) == 0
}

// follows tells whether an item's claim goes back to what h is, and nothing was written
// under it when the item was made: whoever has h, has all that its owner had then.
func (n *Node) follows(it *msg.Item, h *msg.Holding) bool {
	return it.Seq == 0 && slices.ContainsFunc(it.Claim.Bases, func(b msg.Base) bool {
		return b.Term == h.Claim.Term && b.Config == h.Claim.Config && h.Seq >= b.Seq && within(n.c.Circle, h.Span, b.Span)
	})
}

// receiveBatch takes items in, in order.
func (n *Node) receiveBatch(p *peer, m *msg.Batch) {
	for i := range m.Items {
		switch number := m.First + uint64(i); {
		case number <= p.taken:
		case number > p.taken+1:
			return // what is before it comes again
		default:
			p.taken = number
			n.take(p, number, &m.Items[i])
		}
	}
	p.ackDue = true
}

func (n *Node) take(p *peer, number uint64, it *msg.Item) {
	switch it.Kind {
	case msg.Write:
		n.takeWrite(p, number, it)
	case msg.Begin:
		switch it.Purpose {
		case msg.ToHold:
			n.takeBegin(p, number, it)
		case msg.ToTake:
			n.supplied(p, it)
		case msg.ToMerge:
			n.mergeBegins(p, it)
		}
	case msg.Chunk:
		switch it.Purpose {
		case msg.ToMerge:
			n.mergeChunk(p, it)
		case msg.ToTake:
			n.supplied(p, it)
		default:
			n.takeChunk(p, it)
		}
	case msg.End:
		switch it.Purpose {
		case msg.ToMerge:
			n.mergeEnds(p)
		case msg.ToTake:
			n.supplied(p, it)
		default:
			n.takeEnd(p, it)
		}
	case msg.Adopt:
		n.takeAdopt(p, number, it)
	case msg.Drop:
		for _, h := range n.carve(it.Span) {
			// The claim may be on less by now, and say nothing of what others have claimed since.
			its := h.Claim.Owner == p.ref || within(n.c.Circle, h.Span, it.Claim.Span)
			if its && it.Claim.Owner == p.ref && h.Claim.Term.Compare(it.Claim.Term) <= 0 {
				n.trash = append(n.trash, h.Span)
				h.Claim.Owner.Boot = 0 // nobody's
			}
		}
		n.holds = slices.DeleteFunc(n.holds, func(h holding) bool { return h.Claim.Owner.None() })
	case msg.Grant:
		n.takeGrant(p, number, it)
	case msg.Want:
		n.supply(p, number, it)
	}
}

// refuseItem says that an item was not taken: because of claim, or, if that is nil,
// because there is nothing here that it adds to.
func (n *Node) refuseItem(p *peer, number uint64, s msg.Span, claim *msg.Claim) {
	m := &msg.Refused{Number: number, Span: s}
	if claim != nil {
		m.Claim = *claim
	}
	n.send(p.ref, m)
}

func (n *Node) takeWrite(p *peer, number uint64, it *msg.Item) {
	at := it.Record.Place
	h := n.holdAt(at)
	if h == nil || h.Claim.Owner != p.ref || h.Claim.Term != it.Term {
		var higher *msg.Claim
		switch {
		case n.own != nil && covers(n.own.claim.Span, at):
			higher = &n.own.claim
		case h != nil:
			higher = &h.Claim
		}
		if higher != nil && higher.Term.Compare(it.Term) <= 0 {
			higher = nil
		}
		// All of the claim, for who lacks one write may lack others.
		n.refuseItem(p, number, msg.Span{From: n.c.Self.Place, To: n.c.Self.Place}, higher)
		return
	}
	for i := range n.holds {
		if o := &n.holds[i]; o.Claim.Owner == p.ref && o.Claim.Term == it.Term {
			o.Seq = it.Seq
		}
	}
	n.apply(it)
}

// higher is a claim on a part of s that is above owner's of a term, if this node knows
// of one.
func (n *Node) higher(s msg.Span, term msg.Term, owner *peer) *msg.Claim {
	if o := n.own; o != nil && o.claim.Term.Compare(term) > 0 && len(overlap(n.c.Circle, s, o.claim.Span)) > 0 {
		return &o.claim
	}
	for i := range n.holds {
		h := &n.holds[i]
		if h.Claim.Owner != owner.ref && h.Claim.Term.Compare(term) > 0 && len(overlap(n.c.Circle, s, h.Span)) > 0 {
			return &h.Claim
		}
	}
	for _, p := range n.order {
		if p != owner && p.claim.Term.Compare(term) > 0 && n.claims(p, s) {
			return &p.claim
		}
	}
	return nil
}

func (n *Node) takeBegin(p *peer, number uint64, it *msg.Item) {
	n.depose(&it.Claim)
	if c := n.higher(it.Span, it.Claim.Term, p); c != nil {
		n.refuseItem(p, number, it.Span, c)
		return
	}
	n.contested(it.Span)
	n.clearNow(it.Span)
	in := n.carve(it.Span)
	// Who has all of a claim's base, or has all of it and is sent it again, has all
	// there is while it is being filled: unless something was written since, which it
	// was not sent, since it was silent.
	inherits := covered(n.c.Circle, it.Span, in)
	for _, h := range in {
		inherits = inherits && h.Complete && (h.Claim.Term == it.Claim.Term && h.Seq == it.Seq || n.follows(it, &h.Holding))
	}
	n.keep(holding{
		Holding: msg.Holding{Span: it.Span, Claim: it.Claim, Seq: it.Seq, Complete: inherits},
		fill:    it.Nonce, gen: n.beginFill(it.Span, inherits),
	})
}

// beginFill returns the generation of what comes for s; 0 if there is nothing that it
// could be told from, so that a million new entries need not be looked through. Unless
// what is there is needed meanwhile, that is so as soon as there are no entries: records
// and tombstones go at once.
func (n *Node) beginFill(s msg.Span, needed bool) uint64 {
	if !needed && n.data.Count(s) == 0 {
		n.data.Drop(s)
		return 0
	}
	return n.data.Begin()
}

// endFill removes what was there before and didn't come.
func (n *Node) endFill(s msg.Span, gen uint64) {
	if gen != 0 {
		n.data.Sweep(s, gen)
	}
}

func (n *Node) takeChunk(p *peer, it *msg.Item) {
	for i := range it.Entries {
		e := &it.Entries[i]
		n.saw(e.Stamp)
		if h := n.holdAt(n.c.Circle.OfKey(e.Key)); h != nil && h.fill == it.Nonce && h.Claim.Owner == p.ref {
			n.data.Put(*e)
		}
	}
	for i := range it.Records {
		if h := n.holdAt(it.Records[i].Place); h != nil && h.fill == it.Nonce && h.Claim.Owner == p.ref {
			n.record(it.Records[i])
		}
	}
}

func (n *Node) takeEnd(p *peer, it *msg.Item) {
	for i := range n.holds {
		if h := &n.holds[i]; h.fill == it.Nonce && h.Claim.Owner == p.ref {
			n.endFill(h.Span, h.gen)
			h.Complete, h.fill = true, 0
			h.Seq = max(h.Seq, it.Seq)
		}
	}
}

// takeAdopt holds under another claim what is held already.
func (n *Node) takeAdopt(p *peer, number uint64, it *msg.Item) {
	n.depose(&it.Claim)
	if c := n.higher(it.Span, it.Claim.Term, p); c != nil {
		n.refuseItem(p, number, it.Span, c)
		return
	}
	in := n.carve(it.Span)
	ok := covered(n.c.Circle, it.Span, in)
	for _, h := range in {
		// The sender goes on with its fills.
		mine := h.Claim.Owner == p.ref && (h.Claim.Term == it.Claim.Term || slices.ContainsFunc(it.Claim.Bases, func(b msg.Base) bool { return b.Term == h.Claim.Term }))
		ok = ok && (mine || h.Complete && h.fill == 0 && n.follows(it, &h.Holding))
	}
	if !ok {
		n.refuseItem(p, number, it.Span, nil)
		return
	}
	for _, h := range in {
		if h.Claim.Term != it.Claim.Term {
			h.Seq = it.Seq
		}
		h.Claim = it.Claim
	}
	n.coalesce()
}

// coalesce makes one of holdings that follow each other and are the same.
func (n *Node) coalesce() {
	slices.SortFunc(n.holds, func(a, b holding) int { return a.Span.From.Compare(b.Span.From) })
	all := n.holds[:0]
	for _, h := range n.holds {
		if k := len(all); k > 0 {
			l := &all[k-1]
			same := l.Span.To == h.Span.From && l.Claim.Owner == h.Claim.Owner && l.Claim.Term == h.Claim.Term &&
				l.Claim.Config == h.Claim.Config && l.Complete && h.Complete && l.fill == 0 && h.fill == 0 && l.Seq == h.Seq
			if same {
				l.Span.To = h.Span.To
				continue
			}
		}
		all = append(all, h)
	}
	clear(n.holds[len(all):])
	n.holds = all
}

// clear removes a little of what is nobody's.
func (n *Node) clear() {
	if len(n.trash) == 0 {
		return
	}
	// What is somebody's again stays.
	s := n.trash[0]
	rest := []msg.Span{s}
	keep := func(k msg.Span) {
		var next []msg.Span
		for _, r := range rest {
			_, out := split(n.c.Circle, r, k)
			next = append(next, out...)
		}
		rest = next
	}
	if n.own != nil {
		keep(n.own.claim.Span)
	}
	for i := range n.holds {
		keep(n.holds[i].Span)
	}
	if len(rest) == 0 || !n.data.DropSome(rest[0], 1024) {
		n.trash = n.trash[1:]
		if len(rest) > 1 {
			n.trash = append(n.trash, rest[1:]...)
		}
	}
}

// clearNow removes all that is nobody's before s becomes somebody's.
func (n *Node) clearNow(s msg.Span) {
	for _, t := range n.trash {
		if len(overlap(n.c.Circle, t, s)) > 0 {
			for len(n.trash) > 0 {
				n.clear()
			}
			return
		}
	}
}
