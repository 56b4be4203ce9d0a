package simnet

import "time"

// dialAt lets a node try to connect at a time.
func (n *Network[M]) dialAt(at int64, nd *node[M], to int32, d *dial) {
	n.queue.push(event{at: at, kind: evDial, node: nd.id, slot: to, gen: d.gen})
}

// wish returns the dial that an event is about, unless that has ended.
func (n *Network[M]) wish(e *event) *dial {
	if d := n.nodes[e.node].dials[e.slot]; d != nil && d.gen == e.gen {
		return d
	}
	return nil
}

// renew makes all events under way for a dial void.
func (n *Network[M]) renew(d *dial) {
	n.lastDial++
	d.gen = n.lastDial
}

// dial sends an attempt on its way.
func (n *Network[M]) dial(e *event) {
	if n.wish(e) == nil || n.nodes[e.node].hold(e) {
		return
	}
	next := *e
	next.kind, next.at = evAttempt, n.now+n.latency(e.node, e.slot)
	n.queue.push(next)
}

// resend is after how long an attempt that was not answered is sent again, and
// after twice that, and so on, as TCP does it.
const resend = int64(time.Second)

// Why a dial failed: the dir of an evDialFail.
const (
	timedOut uint8 = iota
	refused
)

// patience is after how long a dial that nobody answers fails.
func (n *Network[M]) patience(nd *node[M]) int64 {
	if n.config.DialTimeout == 0 {
		return n.silence(nd)
	}
	return int64(n.config.DialTimeout)
}

// attempt is what an attempt comes upon at the peer. Its id counts how often it
// got nowhere.
func (n *Network[M]) attempt(e *event) {
	d := n.wish(e)
	if d == nil {
		return
	}
	from, to := n.nodes[e.node], n.nodes[e.slot]
	good := n.reach(from.id, to.id) && n.reach(to.id, from.id)
	if good && !to.up { // refused by its machine
		fail := *e
		fail.kind, fail.at, fail.dir = evDialFail, n.now+n.latency(to.id, from.id), refused
		n.queue.push(fail)
		return
	}
	if !good || to.frozen {
		if e.id == 0 {
			fail := *e
			fail.kind, fail.at, fail.dir = evDialFail, n.now+n.patience(from), timedOut
			n.queue.push(fail)
		}
		again := *e
		again.id++
		if good {
			to.hold(&again) // its machine took it, and waits for it to accept
		} else if again.id < 8 {
			again.at = n.now + resend<<e.id
			n.queue.push(again)
		}
		return
	}
	n.renew(d)
	c := n.connect(from.id, to.id, d.gen)
	d.conn = connRef{c.slot, c.id}
	to.accepted[from.id] = d.conn
	n.enter(c, 1, entry[M]{mark: welcome}, n.latency(to.id, from.id))
	n.note(markUp, to.id, from.id, c.id, "%s == %s#%d", to.addr, from.addr, c.id)
	to.machine.Connected(to.port.Now(), n.handle(c, 1))
	n.drain(to)
}

// dialFailed tells a dialer, and lets it try again.
func (n *Network[M]) dialFailed(e *event) {
	d, nd := n.wish(e), n.nodes[e.node]
	if d == nil || nd.hold(e) {
		return
	}
	peer := n.nodes[e.slot].addr
	n.note(markDown, nd.id, e.slot, 0, "%s =/ %s", nd.addr, peer)
	n.retry(nd, e.slot, d)
	nd.machine.Disconnected(nd.port.Now(), Conn{Peer: peer, Dialed: true, Refused: e.dir == refused})
	n.drain(nd)
}

// redial lets a dialer that lost its connection begin anew.
func (n *Network[M]) redial(c *conn[M], end int) {
	if end != 0 {
		return
	}
	nd, peer := n.nodes[c.ends[0].node], c.ends[1].node
	if d := nd.dials[peer]; d != nil && d.gen == c.ends[0].dial {
		d.conn = connRef{}
		n.retry(nd, peer, d)
	}
}

// retry dials after a back-off.
func (n *Network[M]) retry(nd *node[M], peer int32, d *dial) {
	wait := n.config.BackoffMin << min(d.failed, 30)
	if wait <= 0 || wait > n.config.BackoffMax {
		wait = n.config.BackoffMax
	}
	d.failed++
	n.renew(d)
	n.dialAt(n.now+int64(nd.chance.between(wait/2, wait)), nd, peer, d)
}

// datagram is a message on its own.
type datagram[M any] struct {
	from int32
	msg  M
}

// Datagram sends m to peer on its own: it may be lost, overtake others or be
// overtaken, or arrive twice. It is received over a Conn without ID.
func (p *Port[M]) Datagram(peer Addr, m M) {
	n := p.net
	to := n.node(peer)
	if !p.live() {
		return
	}
	from := p.node
	drop, dup := millionths(n.config.Drop), millionths(n.config.Duplicate)
	for i := range n.shapers {
		s := &n.shapers[i]
		if s.on(from.id, to.id) {
			switch s.kind {
			case Drop:
				drop = max(drop, s.x)
			case Duplicate:
				dup = max(dup, s.x)
			}
		}
	}
	copies := 1
	if from.chance.yes(dup) {
		copies = 2
	}
	for range copies {
		if from.chance.yes(drop) {
			n.dropped(from.id, to.id, m)
			continue
		}
		slot := n.datagrams.put(datagram[M]{from.id, m})
		n.queue.push(event{at: n.now + n.latency(from.id, to.id), kind: evDatagram, node: to.id, slot: slot})
	}
}

func (n *Network[M]) datagram(e *event) {
	nd := n.nodes[e.node]
	if nd.up && nd.hold(e) {
		return
	}
	d := n.datagrams.take(e.slot)
	if !nd.up || !n.reach(d.from, nd.id) {
		n.dropped(d.from, nd.id, d.msg)
		return
	}
	n.stats.Datagrams++
	from := n.nodes[d.from].addr
	n.mix(markDatagram, d.from, nd.id, n.digest(d.msg))
	if n.trace.w != nil {
		n.print("%s ~> %s  %s", from, nd.addr, n.config.Format(d.msg))
	}
	nd.machine.Receive(nd.port.Now(), Conn{Peer: from}, d.msg)
	n.drain(nd)
}

// SetLatency gives the link from one node to another, in that direction, a
// latency of its own.
func (n *Network[M]) SetLatency(from, to Addr, l Latency) {
	n.links[[2]int32{n.node(from).id, n.node(to).id}] = &l
}

// latency draws one from the stream of the sender.
func (n *Network[M]) latency(from, to int32) int64 {
	l := &n.config.Latency
	if len(n.links) > 0 {
		if own := n.links[[2]int32{from, to}]; own != nil {
			l = own
		}
	}
	d := l.draw(&n.nodes[from].chance)
	for i := range n.shapers {
		if s := &n.shapers[i]; s.kind == Slow && s.on(from, to) {
			d = min(d/million*s.x+d%million*s.x/million, int64(time.Hour))
		}
	}
	return d
}
