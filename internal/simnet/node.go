package simnet

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// Node is what runs at an address: as a rule a thin cover of a pure state
// machine. The network calls one method at a time, and Drain after each of the
// others and after boot; now is what the node's own clock shows.
type Node[M any] interface {
	// Receive takes a message that came over c; its sender is c.Peer. A message
	// may be in several hands: neither end may change it.
	Receive(now time.Duration, c Conn, m M)
	// Tick is called when the alarm is due that was set by [Port.Alarm].
	Tick(now time.Duration)
	// Connected tells of a connection that this node dialed or that its peer did.
	// A peer that was started again, or that lost its connection before this node
	// noticed, comes with a new one before Disconnected tells of the old one.
	Connected(now time.Duration, c Conn)
	// Disconnected tells that c is no more: what was sent over it and not answered
	// may have arrived or not. With no ID it tells that dialing c.Peer failed; the
	// network will try again.
	Disconnected(now time.Duration, c Conn)
	// Drain hands over what the node wants done: messages to send, peers to dial,
	// the next alarm.
	Drain(p *Port[M])
}

// Conn is one end of a connection. It is comparable, and never means another
// connection later: what is sent over one that is gone is lost.
type Conn struct {
	Peer   Addr
	ID     uint64 // the same at both ends, unique in a run; 0 for datagrams and failed dials
	Dialed bool   // by this end
	// Refused, of a failed dial, tells that the peer's machine answered that
	// nobody listens there: its node is down. Otherwise nobody answered.
	Refused bool

	slot int32
}

// String prints the connection as traces do.
func (c Conn) String() string { return fmt.Sprintf("%s#%d", c.Peer, c.ID) }

// Port is what one incarnation of a node acts by. It may be used in any callback,
// not only in Drain; once its node was killed it does nothing.
type Port[M any] struct {
	net         *Network[M]
	node        *node[M]
	incarnation int
	rand        *rand.Rand
}

// node is an address and what is there.
type node[M any] struct {
	addr    Addr
	id      int32
	boot    func(*Port[M]) Node[M]
	chance  chance
	clock   clock
	machine Node[M]
	port    *Port[M]

	up          bool
	frozen      bool
	isolated    bool
	incarnation int
	held        []event // that happened while it was frozen, in order

	alarm  int64 // by its own clock; never: none
	queued int64 // virtual time of the earliest evAlarm under way; never: none

	dials    map[int32]*dial   // by peer
	accepted map[int32]connRef // the newest that each peer dialed
}

const never = int64(Never)

// Addr returns the node's address.
func (p *Port[M]) Addr() Addr { return p.node.addr }

// Incarnation counts the starts of this address, this one included.
func (p *Port[M]) Incarnation() int { return p.incarnation }

// Now returns what the node's clock shows.
func (p *Port[M]) Now() time.Duration { return time.Duration(p.node.clock.at(p.net.now)) }

// Rand returns the node's own source of chance, another one each incarnation.
func (p *Port[M]) Rand() *rand.Rand { return p.rand }

// Alarm asks for Tick when the node's clock shows at least t, instead of what was
// asked before. [Never], and all that is 1000 days ahead, asks for none. A t that has gone by is due at once.
func (p *Port[M]) Alarm(t time.Duration) {
	if !p.live() {
		return
	}
	p.node.alarm = int64(t)
	p.net.setAlarm(p.node)
}

// Note adds a line to the trace.
func (p *Port[M]) Note(format string, args ...any) {
	if !p.live() {
		return
	}
	p.net.note(markNote, p.node.id, p.node.id, 0, "%s: %s", p.node.addr, lazy{format, args})
}

func (p *Port[M]) live() bool { return p.node.up && p.node.incarnation == p.incarnation }

func (n *Network[M]) drain(nd *node[M]) {
	if p := nd.port; p.live() {
		nd.machine.Drain(p)
	}
}

// setAlarm sees to it that an event is under way for the node's alarm. An event
// that comes too early sets out again, so that an alarm that is put off again and
// again, as those of leases are, costs nothing.
func (n *Network[M]) setAlarm(nd *node[M]) {
	if nd.alarm == never {
		return
	}
	t, ok := nd.clock.when(n.now, nd.alarm)
	if !ok || t >= nd.queued {
		return
	}
	nd.queued = t
	if n.config.Lateness > 0 {
		nd.queued += int64(nd.chance.between(0, n.config.Lateness))
	}
	n.queue.push(event{at: nd.queued, kind: evAlarm, node: nd.id, id: uint64(nd.incarnation)})
}

func (n *Network[M]) alarm(e *event) {
	nd := n.nodes[e.node]
	if !nd.up || uint64(nd.incarnation) != e.id || e.at != nd.queued || nd.hold(e) {
		return // of another incarnation, or another one came first, or it has to wait
	}
	nd.queued = never
	if nd.alarm == never || nd.clock.at(n.now) < nd.alarm {
		n.setAlarm(nd)
		return
	}
	nd.alarm = never
	n.mix(markTick, nd.id, nd.id, 0)
	nd.machine.Tick(nd.port.Now())
	n.drain(nd)
}

func (n *Network[M]) call(e *event) {
	nd := n.nodes[e.node]
	if nd.up && uint64(nd.incarnation) == e.id && nd.hold(e) {
		return
	}
	f := n.calls.take(e.slot)
	if !nd.up || uint64(nd.incarnation) != e.id {
		return
	}
	n.mix(markCall, nd.id, nd.id, 0)
	f(nd.port.Now())
	n.drain(nd)
}

// kill ends a node's incarnation: its memory, and its side of everything.
func (n *Network[M]) kill(nd *node[M]) {
	if !nd.up {
		return
	}
	nd.up, nd.frozen = false, false
	for _, e := range nd.held {
		switch e.kind {
		case evCall:
			n.calls.take(e.slot)
		case evDatagram:
			n.datagrams.take(e.slot)
		}
	}
	nd.held = nil
	nd.alarm, nd.queued = never, never
	clear(nd.dials)
	clear(nd.accepted)
	for _, c := range n.conns {
		for end := range c.ends {
			if c.id != 0 && c.ends[end].node == nd.id && c.ends[end].state != gone {
				n.abandon(c, end)
			}
		}
	}
	nd.machine = nil
}

// thaw lets everything happen, now, that happened while the node was frozen, in
// an order of chance but for that within each connection: a process that goes on
// sees its timers, its sockets and its watches in no order it could rely on.
func (n *Network[M]) thaw(nd *node[M]) {
	held := nd.held
	nd.held = nil
	for i := len(held) - 1; i > 0; i-- {
		j := nd.chance.below(int64(i + 1))
		held[i], held[j] = held[j], held[i]
	}
	for _, e := range held {
		e.at = n.now
		if e.kind == evAlarm {
			nd.queued = n.now
		}
		n.queue.push(e)
	}
}
