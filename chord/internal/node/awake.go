package node

import (
	"slices"
	"time"

	"github.com/torc-dht/torc/chord/internal/msg"
)

// at takes note of the time. A gap means that this node has been frozen: what it was
// promised may be over, and its own silence looks like that of others.
func (n *Node) at(now Time) {
	d := time.Duration(now.Mono - n.now.Mono)
	if now.Mono < n.now.Mono {
		now.Mono, d = n.now.Mono, 0
	}
	n.now = now
	n.runs += min(d, n.c.PingEvery)
	if d > n.c.PingEvery {
		n.wake()
	}
}

// wake asks everybody whether this node still owns what it thinks that it does.
func (n *Node) wake() {
	n.counts.Woken++
	for _, p := range n.order {
		p.asked = 0
		if !n.c.Bugs.NoAsking {
			p.granted = 0
		}
	}
	if n.gap != nil {
		n.gap.asking, n.gap.pieces, n.gap.again = nil, nil, n.runs
	}
	if n.own == nil || n.c.Bugs.NoAsking {
		return
	}
	n.woken = n.ask(n.own.claim.Span)
	n.ping(n.first())
}

// depose gives up what c has a higher term of. Unless all that was acknowledged is
// with c's owner, it is sent what there was.
func (n *Node) depose(c *msg.Claim) {
	o := n.own
	if o == nil || c.Owner == n.c.Self || c.Owner.None() || c.Term.Compare(o.claim.Term) <= 0 {
		return
	}
	lost := overlap(n.c.Circle, o.claim.Span, c.Span)
	if len(lost) == 0 {
		return
	}
	if c.Term.Bare && !o.claim.Term.Bare && !n.based(c, &o.claim, lost) {
		// Who has all that there was counts before who had not, and is told so.
		n.sometimes("a bare claim gives way")
		n.raise(c.Term)
		return
	}
	n.counts.Deposed++
	n.sometimes("deposed")
	// What is left has to end at this node; other pieces are their owners' to claim.
	var kept *msg.Span
	_, rest := split(n.c.Circle, o.claim.Span, c.Span)
	for _, s := range rest {
		if s.To == n.c.Self.Place {
			kept = &s
		} else {
			lost = append(lost, s)
		}
	}
	old := holding{Holding: msg.Holding{Claim: o.claim, Seq: o.seq, Complete: true}}
	n.rivals = append([]Owned{{c.Span, c.Owner}}, n.rivals[:min(len(n.rivals), 7)]...)
	for _, w := range slices.Clone(n.writes.all()) {
		if kept == nil || !covers(*kept, w.at) {
			n.lose(w)
		}
	}
	if !n.based(c, &o.claim, lost) {
		n.sometimes("deposed with writes of its own")
		n.fork(lost)
	}
	o.handing, n.woken = nil, nil
	if kept != nil {
		n.shrink(*kept)
		n.configure()
		n.woken = n.ask(*kept)
	} else {
		n.disown()
		n.owes = false
	}
	for _, s := range lost {
		old.Span = s
		n.keep(old)
	}
	n.unpark = true
	n.arrange()
	n.mind()
	n.forward()
}

// raise puts this node's claim above another one's.
func (n *Node) raise(above msg.Term) {
	c := &n.own.claim
	above.Bare = c.Term.Bare
	n.assume(c.Span, above, bases(c.Bases, n.base()), c.Graves, nil)
}

// based tells whether c goes back to old as it is, in spans: all that was answered
// there under old is with c's owner.
func (n *Node) based(c, old *msg.Claim, spans []msg.Span) bool {
	for _, b := range c.Bases {
		if b.Term != old.Term || b.Config != old.Config {
			continue
		}
		var rest []msg.Span
		for _, s := range spans {
			_, out := split(n.c.Circle, s, b.Span)
			rest = append(rest, out...)
		}
		spans = rest
	}
	return len(spans) == 0
}

// agrees tells whether p's claim is on nothing that is another one's. If it is, p is
// told, or this node gives way.
func (n *Node) agrees(p *peer, c *msg.Claim) bool {
	n.depose(c)
	higher := n.higher(c.Span, c.Term, p)
	if higher == nil {
		return true
	}
	if higher.Owner == n.c.Self {
		n.rival(p, c, higher, overlap(n.c.Circle, c.Span, higher.Span))
		return false
	}
	n.send(p.ref, &msg.Deposed{Claim: *higher})
	return false
}

// rival: p claims spans under c that are this node's under own, which is higher. Unless
// what it has is known not to matter they are not served until it was compared.
func (n *Node) rival(p *peer, c, own *msg.Claim, spans []msg.Span) {
	if !n.based(own, c, spans) {
		n.sometimes("two owners meet")
		n.compare(p, spans)
	}
	n.send(p.ref, &msg.Deposed{Claim: *own})
}
