package node

import (
	"time"

	"github.com/torc-dht/torc/chord/internal/msg"
	"github.com/torc-dht/torc/chord/internal/place"
	"github.com/torc-dht/torc/chord/internal/ring"
)

// auditEvery is how often a node looks whether one of the spans that it holds copies of
// is still to be held: their owner may have died before it said that it is not.
const auditEvery = 5 * time.Second

// audit asks the owner of a holding, in turn. Who owns a span and is asked by a node
// that is to hold nothing of it tells it to Drop it.
func (n *Node) audit() {
	if n.runs < n.auditAt || n.tracing != 0 || len(n.holds) == 0 || n.own == nil {
		return
	}
	n.auditAt = n.runs + auditEvery
	n.audits++
	n.trace(n.holds[n.audits%len(n.holds)].Span.To)
}

// trace looks for the node that owns a place.
func (n *Node) trace(at place.Place) {
	number := n.ring.Lookup(n.runs, at)
	n.tracing = number
	n.drainRing()
}

// traced asks who was found what it owns; told and query take it from there.
func (n *Node) traced(f *ring.Found) {
	n.tracing = 0
	if f.Err != nil || f.Owner == n.c.Self || f.Owner.None() {
		return
	}
	span := msg.Span{From: f.Before.Place, To: f.Owner.Place}
	if h := n.holdAt(f.Target); h != nil {
		span = h.Span
	}
	n.rivals = append([]Owned{{span, f.Owner}}, n.rivals[:min(len(n.rivals), 7)]...)
	n.send(f.Owner, &msg.Query{Span: span})
}

// asked answers what p wants to know. If it has copies that it is not to have any more
// it is told so.
func (n *Node) asked(p *peer, m *msg.Query) {
	if m.Nonce != 0 {
		p.seeks, p.sought = m.Span, n.runs
		if n.gap != nil {
			n.mind() // a part of it may be p's
		}
	}
	a := &msg.Holdings{Nonce: m.Nonce, All: n.having(m.Span)}
	for _, q := range n.order {
		if q != p && n.claims(q, m.Span) {
			a.Claims = append(a.Claims, q.claim)
		}
		if q != p && n.seeking(q) && len(overlap(n.c.Circle, q.seeks, m.Span)) > 0 {
			a.Claims = append(a.Claims, msg.Claim{Span: q.seeks, Owner: q.ref})
		}
	}
	if g := n.gap; g != nil && m.Nonce != 0 && place.Between(m.Span.From, n.c.Self.Place, m.Span.To) {
		// This node's part of it is not p's.
		a.All = append(a.All, msg.Holding{Span: g.span, Claim: msg.Claim{Span: g.span, Owner: n.c.Self}, Serving: true})
	}
	n.send(p.ref, a)
	o := n.own
	if m.Nonce != 0 || o == nil || !o.firm || !n.mayServe() || o.holder(p) != nil {
		return
	}
	for _, s := range overlap(n.c.Circle, m.Span, o.claim.Span) {
		p.push(queued{item: msg.Item{Kind: msg.Drop, Span: s, Claim: o.claim}})
	}
}
