package node

import (
	"time"

	"github.com/torc-dht/torc/chord/internal/msg"
	"github.com/torc-dht/torc/chord/internal/ring"
)

// peer is what a node knows of another.
type peer struct {
	ref     ring.Ref
	up      bool          // nothing says that there is no connection
	dead    bool          // for certain, unless it is heard again
	left    bool          // it said so itself
	suspect bool          // it was silent for too long
	at      time.Duration // when it was heard last, by Node.runs; 0: never
	met     time.Duration
	pinged  time.Duration
	asked   time.Duration // since when it is pinged without a word from it; 0: it isn't

	claim    msg.Claim     // what it claimed when it pinged last
	seeks    msg.Span      // what it asked about last,
	sought   time.Duration // and when
	granted  int64         // until when it promises this node not to take over, by Mono
	promised int64         // until when this node promises it, by Mono
	full     bool          // it takes no more bytes
	leaving  bool          // it takes no more copies

	// Items to it. The first of queue has the number acked+1.
	queue   fifo[queued]
	acked   uint64
	sent    uint64 // on this connection
	filling int    // bytes of fills in queue
	fills   []*fill
	merged  []*fill       // sent to be compared, and perhaps not with all holders yet
	again   time.Duration // when it may be granted something after it refused
	passing *msg.Span     // granted to it, and not acknowledged; nil: nothing

	// Items from it.
	taken  uint64
	ackDue bool
}

// queued is an item that has not been acknowledged.
type queued struct {
	item  msg.Item
	w     *write  // that waits for it, if any
	of    *holder // that is complete when it has this, and others like it
	bytes int
}

const (
	batchItems = 256
	batchBytes = 64 << 10
)

// last is the number of the last item.
func (p *peer) last() uint64 { return p.acked + uint64(p.queue.len()) }

func (p *peer) push(q queued) {
	p.queue.push(q)
	p.filling += q.bytes
}

// Flush turns what is to be sent into messages.
func (n *Node) Flush(now Time) {
	n.at(now)
	if n.ended {
		n.ended = false
		n.handOver()
	}
	if n.unpark {
		n.retry()
	}
	for _, p := range n.order {
		if !p.up || p.dead {
			continue
		}
		if p.ackDue {
			p.ackDue = false
			n.send(p.ref, &msg.Ack{Upto: p.taken, Full: n.full()})
		}
		for p.sent < p.last() {
			n.sendBatch(p)
		}
	}
}

func (n *Node) sendBatch(p *peer) {
	first := int(p.sent - p.acked)
	k, bytes := 0, 0
	for first+k < p.queue.len() && k < batchItems && bytes < batchBytes {
		q := p.queue.at(first + k)
		bytes += max(q.bytes, len(q.item.Entry.Value))
		k++
	}
	items := make([]msg.Item, k)
	for i := range items {
		items[i] = p.queue.at(first + i).item
	}
	if p.asked == 0 {
		p.asked = n.runs
	}
	n.send(p.ref, &msg.Batch{First: p.sent + 1, Items: items})
	p.sent += uint64(k)
}

func (n *Node) receiveAck(p *peer, m *msg.Ack) {
	p.full = m.Full
	for p.acked < m.Upto && p.queue.len() > 0 {
		q := p.queue.pop()
		p.acked++
		n.over(p, &q)
	}
	p.sent = max(p.sent, p.acked)
}

// over: an item is with p, or never will be.
func (n *Node) over(p *peer, q *queued) {
	p.filling -= q.bytes
	if q.w != nil {
		n.confirmed(q.w)
	}
	if h := q.of; h != nil {
		if h.open--; h.complete() {
			for _, w := range h.late {
				n.confirmed(w)
			}
			h.late = nil
			n.arrange()
			n.mind()
		}
	}
	if q.item.Kind == msg.Grant && !p.dead {
		n.granted(p)
	}
}

// ping asks p for its promise, and for a sign of life.
func (n *Node) ping(p *peer) {
	if p == nil || p.dead {
		return
	}
	p.pinged = n.runs
	if p.asked == 0 {
		p.asked = n.runs
	}
	m := &msg.Ping{Sent: n.now.Mono}
	if n.own != nil {
		m.Claim = n.own.claim
	}
	n.send(p.ref, m)
}

// pinged answers. Whoever claims what is another one's is told so, and gets no promise.
func (n *Node) pinged(p *peer, m *msg.Ping) {
	p.claim = m.Claim
	if o := n.own; o != nil { // who is lost to p may have been who took this node's span over
		o.claim.Graves = max(o.claim.Graves, m.Claim.Graves)
	}
	a := &msg.Pong{Sent: m.Sent, Full: n.full(), Promise: true, Leaving: n.leaving}
	if !m.Claim.Owner.None() && (!n.agrees(p, &m.Claim) || n.vouches(p, m.Claim.Span)) {
		a.Promise = false
	}
	if a.Promise {
		p.promised = max(p.promised, n.now.Mono+int64(n.c.Lease))
	}
	n.send(p.ref, a)
}

// vouches tells whether another node than p, which may live, has this node's promise
// for a part of s: nobody vouches for two owners of one place.
func (n *Node) vouches(p *peer, s msg.Span) bool {
	for _, q := range n.order {
		if q != p && q.promised > n.now.Mono && !q.dead && q.claim.Owner == q.ref && len(overlap(n.c.Circle, s, q.claim.Span)) > 0 {
			n.sometimes("promised to another one")
			return true
		}
	}
	return false
}

func (n *Node) ponged(p *peer, m *msg.Pong) {
	p.full = m.Full
	if m.Leaving && !p.leaving {
		p.leaving = true
		n.arrange()
	}
	if !m.Promise || n.own == nil || m.Sent < n.own.since {
		return // it is for nothing, or for less than is claimed by now
	}
	until := m.Sent + int64(n.c.Lease-n.c.margin())
	if until > p.granted {
		n.unpark = n.unpark || p.granted <= n.now.Mono
		p.granted = until
	}
}

// heard: p lives.
func (n *Node) heard(p *peer) {
	p.at, p.asked = n.runs, 0
	n.ring.Heard(n.runs, p.ref)
	if p.suspect {
		p.suspect = false
		n.sometimes("suspected and alive")
	}
	if p.dead && !p.left { // whoever refused the connection was not where p is
		p.dead = false
		n.sometimes("dead and alive")
	}
}

// alive tells whether r was heard lately, and has not gone since.
func (n *Node) alive(r ring.Ref) bool {
	if r == n.c.Self {
		return !n.left
	}
	p := n.peers[r]
	return p != nil && !p.dead && !p.suspect && p.at > 0 && n.runs-p.at <= 2*n.c.silence()
}

// claims tells whether p, which lives, claims a part of s.
func (n *Node) claims(p *peer, s msg.Span) bool {
	return p.claim.Owner == p.ref && n.alive(p.ref) && len(overlap(n.c.Circle, s, p.claim.Span)) > 0
}

// gone tells whether r is known to be dead, or has been silent for too long.
func (n *Node) gone(r ring.Ref) bool {
	p := n.peers[r]
	return p != nil && (p.dead || p.suspect)
}

// watch pings whom this node relies on, and suspects whom it doesn't hear.
func (n *Node) watch() {
	for _, p := range n.watched() {
		if n.runs-p.pinged >= n.c.PingEvery {
			n.ping(p)
		}
	}
	for _, p := range n.order {
		if p.asked == 0 || p.suspect || p.dead || n.runs-p.asked < n.c.silence() {
			continue
		}
		p.suspect = true
		n.sometimes("suspected")
		n.lost(p)
		n.ring.Suspect(n.runs, p.ref)
		n.digGraves()
		n.drainRing()
	}
}

// watched are the nodes whose silence matters: the neighbours, and the holders.
func (n *Node) watched() []*peer {
	var all []*peer
	add := func(p *peer) {
		if p == nil || p.dead {
			return
		}
		for _, q := range all {
			if q == p {
				return
			}
		}
		all = append(all, p)
	}
	add(n.first())
	if r := n.ring.Predecessor(); !r.None() && r != n.c.Self {
		add(n.peer(r))
	}
	if n.own != nil {
		for _, h := range n.own.holders {
			add(h.peer)
		}
		if n.own.handing != nil {
			add(n.own.handing.to)
		}
	}
	return all
}
