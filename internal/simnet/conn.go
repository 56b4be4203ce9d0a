package simnet

import "time"

// conn is a connection: two ends, and for each end a queue of what it sent.
//
//	ends[0] dialer ── queues[0] ──> acceptor ends[1]
//	               <── queues[1] ──
//
// A connection breaks in one of three ways, and each is a mark at the end of what
// is left of a queue: a reset leaves some first part of both queues and a mark in
// each; an end that goes (closes, is killed, gives up) leaves such a part of its
// own queue and a mark there, and what it was sent is lost; an end that hears
// nothing goes by itself. A mark comes after what is left before it, so no end
// learns of the end of a connection before it has what it will get.
type conn[M any] struct {
	id     uint64 // 0: the slot is free
	slot   int32
	bad    bool   // one direction or both are cut
	gen    uint32 // of bad: events of an older one are void
	ends   [2]end
	queues [2]fifo[M] // by the end that sends
}

type end struct {
	node  int32
	state endState
	dial  uint32 // end 0: the gen of its dial, while that is about this connection
}

type endState uint8

const (
	pending endState = iota // the dialer, before it knows
	up
	gone // closed, told, or dead
)

// mark is what an entry of a queue is.
type mark uint8

const (
	message  mark = iota
	welcome       // the peer accepted
	farewell      // nothing comes any more
)

type entry[M any] struct {
	at   int64
	mark mark
	msg  M
}

// fifo is one direction of a connection.
type fifo[M any] struct {
	entries []entry[M]
	first   int
	last    int64 // no later entry may be due before
	due     bool  // an event for the first entry is under way, or held by a frozen receiver
	stalled bool  // the first entry is due and the link is cut
	since   int64 // when stalled: since when
	shut    bool  // a farewell was queued: nothing else enters
}

func (q *fifo[M]) len() int { return len(q.entries) - q.first }

func (q *fifo[M]) pop() entry[M] {
	e := q.entries[q.first]
	q.entries[q.first] = entry[M]{}
	q.first++
	switch {
	case q.first == len(q.entries):
		q.entries, q.first = q.entries[:0], 0
	case q.first >= 64 && q.first*2 >= len(q.entries):
		k := copy(q.entries, q.entries[q.first:])
		clear(q.entries[k:])
		q.entries, q.first = q.entries[:k], 0
	}
	return e
}

// connRef is a connection as nodes remember it.
type connRef struct {
	slot int32
	id   uint64
}

// dial is a node's wish to be connected to a peer.
type dial struct {
	gen    uint32 // of the attempt or connection that there is
	failed int    // in a row
	conn   connRef
}

// Dial asks for a connection to peer, again and again until there is one and
// whenever it is lost, until [Port.Hangup]. A node may dial a peer that dials it:
// there are two connections then, with no order between them.
func (p *Port[M]) Dial(peer Addr) {
	if !p.live() {
		return
	}
	to := p.net.node(peer)
	if p.node.dials[to.id] != nil {
		return
	}
	d := new(dial)
	p.net.renew(d)
	p.node.dials[to.id] = d
	p.net.dialAt(p.net.now, p.node, to.id, d)
}

// Hangup ends what Dial began, and closes the connection as [Port.Close] does.
func (p *Port[M]) Hangup(peer Addr) {
	if !p.live() {
		return
	}
	to := p.net.node(peer)
	if d := p.node.dials[to.id]; d != nil {
		delete(p.node.dials, to.id)
		if c := p.net.conn(d.conn); c != nil {
			p.net.close(c, 0)
		}
	}
}

// Close ends c: what was sent over it still arrives if the network lets it, and
// then the peer is told; this node is not, and what is under way to it is lost. A
// peer that was dialed is dialed again.
func (p *Port[M]) Close(c Conn) {
	if cn, end := p.end(c); cn != nil {
		p.net.redial(cn, end)
		p.net.close(cn, end)
	}
}

// Send sends m over c. It tells whether c was there as far as this node knows; a
// true promises nothing.
func (p *Port[M]) Send(c Conn, m M) bool {
	cn, end := p.end(c)
	if cn == nil {
		p.net.lost(p.node.id, p.net.byAddr[c.Peer], c.ID, m)
		return false
	}
	p.net.send(cn, end, m)
	return true
}

// SendTo sends m over the connection to peer that this node dialed, or else over
// the newest that peer did.
func (p *Port[M]) SendTo(peer Addr, m M) bool {
	c, _ := p.Conn(peer)
	c.Peer = peer
	return p.Send(c, m)
}

// Conn returns the connection that [Port.SendTo] would use, and whether there is
// one.
func (p *Port[M]) Conn(peer Addr) (Conn, bool) {
	to := p.net.node(peer)
	if !p.live() {
		return Conn{}, false
	}
	if d := p.node.dials[to.id]; d != nil {
		if c := p.net.conn(d.conn); c != nil && c.ends[0].state == up {
			return p.net.handle(c, 0), true
		}
	}
	if c := p.net.conn(p.node.accepted[to.id]); c != nil && c.ends[1].state == up {
		return p.net.handle(c, 1), true
	}
	return Conn{}, false
}

// end finds this node's end of c, if it is up.
func (p *Port[M]) end(c Conn) (*conn[M], int) {
	cn := p.net.conn(connRef{c.slot, c.ID})
	if cn == nil || !p.live() {
		return nil, 0
	}
	end := 1
	if c.Dialed {
		end = 0
	}
	if cn.ends[end].node != p.node.id || cn.ends[end].state != up {
		return nil, 0
	}
	return cn, end
}

// conn returns a connection of which an end is left, or nil.
func (n *Network[M]) conn(r connRef) *conn[M] {
	if r.id == 0 || int(r.slot) >= len(n.conns) || n.conns[r.slot].id != r.id {
		return nil
	}
	return n.conns[r.slot]
}

// handle returns an end as its node knows it.
func (n *Network[M]) handle(c *conn[M], end int) Conn {
	return Conn{Peer: n.nodes[c.ends[1-end].node].addr, ID: c.id, Dialed: end == 0, slot: c.slot}
}

func (n *Network[M]) connect(from, to int32, gen uint32) *conn[M] {
	var slot int32
	if k := len(n.freeConns); k > 0 {
		slot = n.freeConns[k-1]
		n.freeConns = n.freeConns[:k-1]
	} else {
		slot = int32(len(n.conns))
		n.conns = append(n.conns, new(conn[M]))
	}
	c := n.conns[slot]
	n.lastConn++
	c.id, c.slot = n.lastConn, slot
	c.ends = [2]end{{node: from, dial: gen}, {node: to, state: up}}
	return c
}

// release frees a connection's slot once both ends are gone. Its queues keep
// their room for the next one.
func (n *Network[M]) release(c *conn[M]) {
	if c.id == 0 || c.ends[0].state != gone || c.ends[1].state != gone {
		return
	}
	for i := range c.queues {
		n.truncate(c, i, 0)
		c.queues[i] = fifo[M]{entries: c.queues[i].entries[:0]}
	}
	*c = conn[M]{slot: c.slot, queues: c.queues, gen: c.gen + 1}
	n.freeConns = append(n.freeConns, c.slot)
}

func (n *Network[M]) send(c *conn[M], end int, m M) {
	q := &c.queues[end]
	if q.shut {
		n.lost(c.ends[end].node, c.ends[1-end].node, c.id, m)
		return
	}
	n.enter(c, end, entry[M]{msg: m}, n.latency(c.ends[end].node, c.ends[1-end].node))
}

// enter queues an entry, due after delay and not before the one ahead of it.
func (n *Network[M]) enter(c *conn[M], end int, e entry[M], delay int64) {
	q := &c.queues[end]
	q.last = max(q.last, n.now+delay)
	e.at = q.last
	q.entries = append(q.entries, e)
	n.wake(c, end)
}

// wake sees to it that an event is under way for the first entry, if there is one
// and the link is good.
func (n *Network[M]) wake(c *conn[M], end int) {
	q := &c.queues[end]
	if q.due || q.stalled || q.len() == 0 {
		return
	}
	q.due = true
	n.queue.push(event{at: max(n.now, q.entries[q.first].at), kind: evHead, slot: c.slot, id: c.id, dir: uint8(end)})
}

// head delivers the first entry of a queue.
func (n *Network[M]) head(e *event) {
	c := n.conn(connRef{e.slot, e.id})
	if c == nil {
		return
	}
	from, to := int(e.dir), 1-int(e.dir)
	q := &c.queues[from]
	nd := n.nodes[c.ends[to].node]
	if c.ends[to].state != gone && nd.hold(e) {
		return
	}
	q.due = false
	if q.len() == 0 {
		return
	}
	if !n.reach(c.ends[from].node, c.ends[to].node) {
		q.stalled, q.since = true, n.now
		return
	}
	if q.entries[q.first].at > n.now {
		n.wake(c, from)
		return
	}
	first := q.pop()
	n.wake(c, from)
	if c.ends[to].state == gone {
		n.fate(markLost, c, from, &first)
		return
	}
	switch first.mark {
	case message:
		n.stats.Delivered++
		n.fate(markMessage, c, from, &first)
		nd.machine.Receive(nd.port.Now(), n.handle(c, to), first.msg)
	case welcome:
		n.stats.Connected++
		c.ends[to].state = up
		n.note(markUp, nd.id, c.ends[from].node, c.id, "%s == %s#%d", nd.addr, n.nodes[c.ends[from].node].addr, c.id)
		if d := nd.dials[c.ends[from].node]; d != nil {
			d.failed = 0
		}
		nd.machine.Connected(nd.port.Now(), n.handle(c, to))
	case farewell:
		n.lose(c, to)
	}
	n.drain(nd)
}

// lose ends an end whose node learns of it here: it calls Disconnected.
func (n *Network[M]) lose(c *conn[M], end int) {
	nd := n.nodes[c.ends[end].node]
	h, wasUp := n.handle(c, end), c.ends[end].state == up
	if !wasUp {
		h = Conn{Peer: h.Peer, Dialed: true}
	}
	n.note(markDown, nd.id, c.ends[1-end].node, c.id, "%s =/ %s#%d", nd.addr, h.Peer, c.id)
	c.ends[end].state = gone
	// A peer that is still there sends nothing that could arrive; what this end
	// sent goes on, unless it was shut already.
	n.truncate(c, 1-end, 0)
	n.redial(c, end)
	n.release(c)
	nd.machine.Disconnected(nd.port.Now(), h)
}

// close ends an end on its node's own wish.
func (n *Network[M]) close(c *conn[M], end int) {
	n.mix(markClose, c.ends[end].node, c.ends[1-end].node, c.id)
	c.ends[end].state = gone
	n.truncate(c, 1-end, 0)
	n.shut(c, end)
	n.release(c)
}

// abandon ends an end whose process is no more.
func (n *Network[M]) abandon(c *conn[M], end int) {
	c.ends[end].state = gone
	n.truncate(c, 1-end, 0)
	n.cutShort(c, end)
	n.shut(c, end)
	n.release(c)
}

// reset breaks a connection in the middle.
func (n *Network[M]) reset(c *conn[M]) {
	for end := range c.ends {
		if !c.queues[end].shut {
			n.cutShort(c, end)
			n.shut(c, end)
		}
	}
}

// shut queues a farewell, once.
func (n *Network[M]) shut(c *conn[M], end int) {
	if q := &c.queues[end]; !q.shut {
		q.shut = true
		n.enter(c, end, entry[M]{mark: farewell}, n.latency(c.ends[end].node, c.ends[1-end].node))
	}
}

// cutShort loses an unknown last part of a queue, unless a farewell has been
// decided on already: all of it when the link is cut.
func (n *Network[M]) cutShort(c *conn[M], end int) {
	q := &c.queues[end]
	if q.shut {
		return
	}
	keep := int64(0)
	if from, to := c.ends[end].node, c.ends[1-end].node; n.reach(from, to) {
		keep = n.nodes[from].chance.below(int64(q.len() + 1))
	}
	n.truncate(c, end, int(keep))
}

// truncate loses all but the first entries of a queue.
func (n *Network[M]) truncate(c *conn[M], end, keep int) {
	q := &c.queues[end]
	for i := q.first + keep; i < len(q.entries); i++ {
		n.fate(markLost, c, end, &q.entries[i])
	}
	clear(q.entries[q.first+keep:])
	q.entries = q.entries[:q.first+keep]
}

// silent ends an end that heard nothing for too long.
func (n *Network[M]) silent(e *event) {
	c := n.conn(connRef{e.slot, e.id})
	if c == nil || c.gen != e.gen || c.ends[e.dir].state == gone {
		return
	}
	nd := n.nodes[c.ends[e.dir].node]
	if nd.hold(e) {
		return
	}
	n.cutShort(c, int(e.dir))
	n.shut(c, int(e.dir))
	n.lose(c, int(e.dir))
	n.drain(nd)
}

// rewire lets connections feel a change in who reaches whom.
func (n *Network[M]) rewire() {
	for _, c := range n.conns {
		if c.id == 0 {
			continue
		}
		bad := false
		for end := range c.ends {
			from, to := c.ends[end].node, c.ends[1-end].node
			if !n.reach(from, to) {
				bad = true
				continue
			}
			if c.queues[end].stalled {
				n.resume(c, end)
			}
		}
		if bad == c.bad {
			continue
		}
		c.bad = bad
		c.gen++
		for end := range c.ends {
			if bad && c.ends[end].state != gone {
				n.watch(c, end)
			}
		}
	}
}

// resume lets what waited for a link go on when its machine next sends it again:
// after at most as long as it waited, since TCP backs off, and a second.
func (n *Network[M]) resume(c *conn[M], end int) {
	q, from, to := &c.queues[end], c.ends[end].node, c.ends[1-end].node
	q.stalled = false
	if q.len() == 0 {
		return
	}
	backoff := n.nodes[from].chance.between(0, min(time.Duration(n.now-q.since), time.Second))
	first := &q.entries[q.first]
	first.at = max(first.at, n.now+n.latency(from, to)+int64(backoff))
	q.last = max(q.last, first.at)
	n.wake(c, end)
}

// watch lets an end of a bad connection notice some time.
func (n *Network[M]) watch(c *conn[M], end int) {
	nd := n.nodes[c.ends[end].node]
	n.queue.push(event{at: n.now + n.silence(nd), kind: evSilence, slot: c.slot, id: c.id, dir: uint8(end), gen: c.gen})
}

func (n *Network[M]) silence(nd *node[M]) int64 {
	return int64(nd.chance.between(n.config.Silence, n.config.Silence*3/2))
}
