package node

import (
	"cmp"
	"slices"
	"time"

	"github.com/torc-dht/torc/chord/internal/msg"
	"github.com/torc-dht/torc/chord/internal/place"
	"github.com/torc-dht/torc/chord/internal/ring"
)

// gap is a span that the ring says is this node's, and that it doesn't own. Its owner
// is dead, or is about to grant it.
type gap struct {
	span   msg.Span
	since  time.Duration
	again  time.Duration // when everybody is asked again
	asking *asking       // nil: not now
	living []Owned       // who owns parts of it, and lives
	pieces []*piece      // being fetched
	stuck  time.Duration // until when they should have come
	had    map[ring.Ref][]msg.Holding
}

// piece is a part of a gap of which somebody has the most.
type piece struct {
	span  msg.Span
	best  msg.Holding
	from  ring.Ref // who has it; nobody: nobody has
	want  uint64   // the number of the fill that brings it; 0: it is here
	gen   uint64
	begun bool
}

// asking is a question to several nodes: what they have of a span.
type asking struct {
	nonce uint64
	span  msg.Span
	who   []ring.Ref
	had   map[ring.Ref][]msg.Holding // the answers
	until time.Duration
}

// ask asks all who may know about s: the list, the predecessor, and whoever is said to
// own a part of it.
func (n *Node) ask(s msg.Span) *asking {
	a := &asking{nonce: n.draw(), span: s, had: make(map[ring.Ref][]msg.Holding), until: n.runs + n.c.silence()}
	for _, r := range n.ring.Successors() {
		n.askToo(a, r)
	}
	n.askToo(a, n.ring.Predecessor())
	for i := range n.holds {
		if len(overlap(n.c.Circle, n.holds[i].Span, s)) > 0 {
			n.askToo(a, n.holds[i].Claim.Owner)
		}
	}
	for _, p := range n.order { // who looks for it, too
		if n.seeking(p) && len(overlap(n.c.Circle, p.seeks, s)) > 0 {
			n.askToo(a, p.ref)
		}
	}
	return a
}

// seeking tells whether p asked lately who has what.
func (n *Node) seeking(p *peer) bool {
	return p.sought > 0 && n.runs-p.sought < n.c.silence() && !n.gone(p.ref)
}

func (n *Node) askToo(a *asking, r ring.Ref) {
	if r.None() || r == n.c.Self || n.gone(r) || slices.Contains(a.who, r) {
		return
	}
	a.who = append(a.who, r)
	n.send(r, &msg.Query{Nonce: a.nonce, Span: a.span})
	if p := n.peer(r); p.asked == 0 {
		p.asked = n.runs
	}
}

// answered tells whether everybody has answered, or is gone, or had the time to.
func (n *Node) answered(a *asking) bool {
	return n.runs >= a.until || !slices.ContainsFunc(a.who, func(r ring.Ref) bool {
		_, did := a.had[r]
		return !did && !n.gone(r)
	})
}

// told takes an answer.
func (n *Node) told(p *peer, m *msg.Holdings) {
	for i := range m.All {
		h := &m.All[i]
		n.depose(&h.Claim)
		if !h.Serving || h.Claim.Term == (msg.Term{}) {
			continue
		}
		// Who went on beside this node, and has to give way, may have what is later.
		if o := n.own; o != nil && h.Claim.Term.Compare(o.claim.Term) < 0 {
			if both := overlap(n.c.Circle, o.claim.Span, h.Claim.Span); len(both) > 0 {
				n.rival(p, &h.Claim, &o.claim, both)
			}
		}
		for k := range n.holds {
			if x := &n.holds[k]; x.Claim.Term.Compare(h.Claim.Term) > 0 && len(overlap(n.c.Circle, x.Span, h.Span)) > 0 {
				n.send(p.ref, &msg.Deposed{Claim: x.Claim})
			}
		}
	}
	for _, a := range []*asking{n.woken, n.gapAsking()} {
		if a == nil || a.nonce != m.Nonce || !slices.Contains(a.who, p.ref) {
			continue
		}
		a.had[p.ref] = m.All
		for i := range m.All {
			n.askToo(a, m.All[i].Claim.Owner)
		}
		for i := range m.Claims {
			n.askToo(a, m.Claims[i].Owner)
		}
	}
	n.askAgain()
}

func (n *Node) gapAsking() *asking {
	if n.gap == nil {
		return nil
	}
	return n.gap.asking
}

// askAgain goes on with the questions that have all their answers.
func (n *Node) askAgain() {
	if a := n.woken; a != nil && n.answered(a) {
		n.woken = nil
		for _, w := range n.unsure {
			if !w.done {
				n.answer(w)
			}
		}
		n.unsure = nil
		n.unpark = true
		n.ping(n.first())
	}
	g := n.gap
	switch {
	case g == nil:
	case g.asking != nil && n.answered(g.asking):
		a := g.asking
		g.asking, g.again = nil, n.runs+n.c.PingEvery/2
		n.decide(a)
	case g.pieces != nil && n.runs >= g.stuck:
		n.sometimes("a fetch is stuck")
		g.pieces = nil
	case g.pieces != nil:
		n.claimGap()
	case g.asking == nil && n.runs >= g.again:
		g.asking = n.ask(g.span)
	}
}

// seek looks for who has s, except for what a node within it seeks, which the ring
// doesn't know of yet.
func (n *Node) seek(s msg.Span) {
	for _, p := range n.order {
		if !n.seeking(p) || p.seeks.To != p.ref.Place || !place.Between(s.From, p.ref.Place, s.To) {
			continue
		}
		if p.ref.Place == s.To { // all of it is p's
			n.gap = nil
			return
		}
		s.From = p.ref.Place
	}
	if n.gap != nil && n.gap.span == s {
		return
	}
	since := n.runs
	if n.gap != nil && len(overlap(n.c.Circle, n.gap.span, s)) > 0 {
		since = n.gap.since
	}
	n.gap = &gap{span: s, since: since}
	n.gap.asking = n.ask(s)
}

// decide looks at who has what of the gap.
func (n *Node) decide(a *asking) {
	g := n.gap
	g.living = nil
	type has struct {
		ref ring.Ref
		h   msg.Holding
	}
	var all []has
	ends := []place.Place{}
	add := func(r ring.Ref, hs []msg.Holding) {
		for _, h := range hs {
			if h.Serving && r != n.c.Self {
				g.living = append(g.living, Owned{h.Claim.Span, r})
			}
			all = append(all, has{r, h})
			ends = append(ends, h.Span.From, h.Span.To)
		}
	}
	add(n.c.Self, n.having(g.span))
	for _, r := range a.who {
		add(r, a.had[r])
	}
	if len(g.living) > 0 {
		n.sometimes("a gap has an owner")
		n.forward()
		return
	}
	var pieces []*piece
	for _, s := range cut(n.c.Circle, g.span, ends...) {
		p := &piece{span: s}
		for _, x := range all {
			if !covers(x.h.Span, s.To) {
				continue
			}
			if p.from.None() || better(&x.h, &p.best) > 0 || better(&x.h, &p.best) == 0 && x.ref == n.c.Self {
				p.best, p.from = x.h, x.ref
			}
		}
		if (p.from.None() || !p.best.Complete) && n.runs-g.since < emptyAfter {
			n.sometimes("nobody has all of a gap")
			return
		}
		p.best.Span = s
		if k := len(pieces); k > 0 {
			l := pieces[k-1]
			if l.from == p.from && l.best.Claim.Term == p.best.Claim.Term && better(&l.best, &p.best) == 0 && l.best.Claim.Owner == p.best.Claim.Owner {
				l.span.To, l.best.Span.To = s.To, s.To
				continue
			}
		}
		pieces = append(pieces, p)
	}
	for _, p := range pieces {
		if p.from.None() || p.from == n.c.Self {
			continue
		}
		n.sometimes("a gap is fetched")
		p.want = n.draw()
		n.peer(p.from).push(queued{item: msg.Item{Kind: msg.Want, Span: p.span, Nonce: p.want}})
	}
	g.pieces, g.stuck = pieces, n.runs+emptyAfter
	g.had = a.had
	n.claimGap()
}

// better compares what two nodes have of a place.
func better(a, b *msg.Holding) int {
	complete := func(h *msg.Holding) int {
		if h.Complete {
			return 1
		}
		return 0
	}
	return cmp.Or(complete(a)-complete(b), a.Claim.Term.Compare(b.Claim.Term), cmp.Compare(a.Claim.Config, b.Claim.Config), cmp.Compare(a.Seq, b.Seq))
}

// supply sends p what it wants to take over. It may lie in several holdings, which are
// one to p if they are alike.
func (n *Node) supply(p *peer, number uint64, it *msg.Item) {
	missing := []msg.Span{it.Span}
	var first *msg.Holding
	for _, h := range n.having(it.Span) {
		if h.Serving || first != nil && (h.Claim.Term != first.Claim.Term || better(&h, first) != 0) {
			continue
		}
		if first == nil {
			first = &h
		}
		var rest []msg.Span
		for _, m := range missing {
			_, out := split(n.c.Circle, m, h.Span)
			rest = append(rest, out...)
		}
		missing = rest
	}
	if len(missing) > 0 {
		n.refuseItem(p, number, it.Span, nil)
		return
	}
	n.beginSupply(p, it, first)
}

func (n *Node) beginSupply(p *peer, it *msg.Item, h *msg.Holding) {
	f := &fill{number: it.Nonce, purpose: msg.ToTake, span: it.Span}
	p.push(queued{item: msg.Item{Kind: msg.Begin, Purpose: msg.ToTake, Span: it.Span, Claim: h.Claim, Seq: h.Seq, Nonce: it.Nonce}})
	p.fills = append(p.fills, f)
}

// contested: somebody claims s. What was being fetched of it is asked for again.
func (n *Node) contested(s msg.Span) {
	if g := n.gap; g != nil && g.pieces != nil && len(overlap(n.c.Circle, g.span, s)) > 0 {
		n.sometimes("another one claims a gap")
		g.pieces, g.again = nil, n.runs
	}
}

// supplied takes in what was wanted.
func (n *Node) supplied(p *peer, it *msg.Item) {
	if n.gap == nil {
		return
	}
	for _, x := range n.gap.pieces {
		if x.want != it.Nonce || x.from != p.ref {
			continue
		}
		n.gap.stuck = n.runs + emptyAfter
		switch {
		case it.Kind == msg.Begin && it.Claim.Term != x.best.Claim.Term:
			n.sometimes("what was wanted is another one's by now")
			n.gap.pieces, n.gap.again = nil, n.runs
			return
		case it.Kind == msg.Begin:
			n.clearNow(x.span)
			x.begun, x.gen = true, n.beginFill(x.span, false)
			n.unhold(x.span) // what is here is no longer what it was
		case !x.begun:
		case it.Kind == msg.Chunk:
			for i := range it.Entries {
				n.saw(it.Entries[i].Stamp)
				n.data.Put(it.Entries[i])
			}
			for i := range it.Records {
				n.record(it.Records[i])
			}
		case it.Kind == msg.End:
			n.endFill(x.span, x.gen)
			h := x.best
			h.Serving = false
			n.keep(holding{Holding: h})
			x.want = 0
			n.claimGap()
			return
		}
	}
}

// claimGap claims the gap once all of it is here, and nobody else can be serving it.
func (n *Node) claimGap() {
	g := n.gap
	if g == nil || g.pieces == nil {
		return
	}
	above := msg.Term{}
	bare, graves := false, uint64(0)
	var from []msg.Base
	var with []synced
	empty := false
	for _, p := range g.pieces {
		owner := p.best.Claim.Owner
		switch {
		case p.want != 0:
			if n.gone(p.from) {
				g.pieces = nil
			}
			return
		case p.from.None():
			empty = true
			continue
		case !n.ceased(owner):
			return
		}
		empty = empty || !p.best.Complete
		bare = bare || p.best.Claim.Term.Bare
		graves = max(graves, p.best.Claim.Graves)
		above.Number = max(above.Number, p.best.Claim.Term.Number)
		if p.best.Complete {
			from = append(from, msg.Base{Span: p.span, Term: p.best.Claim.Term, Config: p.best.Claim.Config, Seq: p.best.Seq})
		}
		from = append(from, p.best.Claim.Bases...)
		for _, r := range sortedRefs(g.had) {
			for _, h := range g.had[r] {
				if h.Complete && better(&h, &p.best) == 0 {
					for _, s := range overlap(n.c.Circle, h.Span, p.span) {
						with = append(with, synced{r, s})
					}
				}
				above.Number = max(above.Number, h.Claim.Term.Number)
			}
		}
	}
	s := g.span
	if o := n.own; o != nil {
		s.To = o.claim.Span.To
		bare = bare || o.claim.Term.Bare
		above.Number = max(above.Number, o.claim.Term.Number)
		from = append([]msg.Base{n.base()}, append(from, o.claim.Bases...)...)
	}
	if empty {
		n.counts.TakenEmpty++
	}
	above.Bare = bare || empty
	n.counts.TakeOvers++
	n.assume(s, above, from, graves, with)
	n.forward()
}

// ceased tells whether owner can't be serving what it owned: it is dead, or it is silent
// and this node's promise to it is over, or it has said itself that it doesn't.
func (n *Node) ceased(owner ring.Ref) bool {
	if owner == n.c.Self {
		return true
	}
	p := n.peers[owner]
	switch {
	case p == nil || p.dead:
		return true
	case p.suspect:
		return p.promised <= n.now.Mono
	}
	_, said := n.gap.had[owner]
	return said
}

func sortedRefs(m map[ring.Ref][]msg.Holding) []ring.Ref {
	all := make([]ring.Ref, 0, len(m))
	for r := range m {
		all = append(all, r)
	}
	slices.SortFunc(all, byPlace)
	return all
}
