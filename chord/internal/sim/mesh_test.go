package sim

import (
	"cmp"
	"slices"
	"time"

	"github.com/torc-dht/torc/chord/internal/msg"
	"github.com/torc-dht/torc/chord/internal/ring"
	"github.com/torc-dht/torc/internal/simnet"
)

// mesh is a process's connections to its peers, as package link has them: to whom it
// sends it dials, at the first message, and what comes comes over what others dialed.
// A connection that breaks is dialed again at once: that is an up without a down
// before it. A peer is down and refused when its machine says that nobody listens, or
// when another process answers there; but not while a connection is open that it
// dialed, since there may be more to come.
type mesh struct {
	port    *simnet.Port[any]
	self    ring.Ref
	links   []*link // in the order in which they came
	conns   map[simnet.Addr]simnet.Conn
	who     map[simnet.Addr]ring.Ref // answers there; nobody before it is known
	callers map[simnet.Conn]ring.Ref // who opened a connection
	events  []event
}

// link is what there is for a peer that was sent something.
type link struct {
	ref   ring.Ref
	up    bool
	queue []msg.Message // until it is up
	fresh bool          // something was sent since it was down last
	used  time.Duration
}

// event is what the loop around a node hears of its peers.
type event struct {
	peer        ring.Ref
	up, refused bool
}

// opening says who calls, and welcome who answers.
type (
	opening struct{ from ring.Ref }
	welcome struct{ from ring.Ref }
)

// idle is after how long a connection is closed that nobody sends over.
const idle = 20 * time.Second

func newMesh(p *simnet.Port[any], self ring.Ref) *mesh {
	return &mesh{
		port: p, self: self, conns: make(map[simnet.Addr]simnet.Conn),
		who: make(map[simnet.Addr]ring.Ref), callers: make(map[simnet.Conn]ring.Ref),
	}
}

// send sends what, or keeps it until there is a connection.
func (m *mesh) send(to ring.Ref, what msg.Message) {
	a := simnet.Addr(to.Addr)
	i := slices.IndexFunc(m.links, func(l *link) bool { return l.ref == to })
	if i < 0 {
		if who := m.who[a]; !who.None() && who != to { // one of the two is no more
			c := m.conns[a]
			m.forget(a)
			m.each(a, func(l *link) bool { l.up = false; return true })
			m.port.Close(c)
		}
		i = len(m.links)
		m.links = append(m.links, &link{ref: to, up: m.who[a] == to})
		m.port.Dial(a)
	}
	l := m.links[i]
	l.used, l.fresh = m.port.Now(), true
	if l.up {
		m.port.Send(m.conns[a], what)
	} else {
		l.queue = append(l.queue, what)
	}
}

// connected takes a connection that this process dialed.
func (m *mesh) connected(c simnet.Conn) {
	m.conns[c.Peer], m.who[c.Peer] = c, ring.Ref{}
	m.port.Send(c, opening{m.self})
}

// opened takes one that a peer dialed. If it had another, it knows that that is lost.
func (m *mesh) opened(c simnet.Conn, from ring.Ref) {
	for _, d := range m.calls(from) {
		delete(m.callers, d)
		m.port.Close(d)
	}
	m.callers[c] = from
	m.port.Send(c, welcome{m.self})
}

// calls are the connections that a peer has opened.
func (m *mesh) calls(from ring.Ref) (all []simnet.Conn) {
	for c, who := range m.callers {
		if who == from {
			all = append(all, c)
		}
	}
	slices.SortFunc(all, func(c, d simnet.Conn) int { return cmp.Compare(c.ID, d.ID) })
	return all
}

func (m *mesh) welcomed(c simnet.Conn, who ring.Ref) {
	if m.conns[c.Peer] != c {
		return
	}
	m.who[c.Peer] = who
	m.each(c.Peer, func(l *link) (keep bool) {
		if l.ref != who {
			m.events = append(m.events, event{peer: l.ref, refused: true})
			return false
		}
		for _, what := range l.queue {
			m.port.Send(c, what)
		}
		l.up, l.queue = true, nil
		m.events = append(m.events, event{peer: who, up: true})
		return true
	})
}

func (m *mesh) disconnected(c simnet.Conn) {
	switch {
	case !c.Dialed:
		delete(m.callers, c)
	case c.ID != 0:
		if m.conns[c.Peer] == c {
			m.forget(c.Peer)
			m.each(c.Peer, func(l *link) bool { l.up = false; return true })
		}
	default:
		m.each(c.Peer, func(l *link) (keep bool) {
			if c.Refused {
				if keep = len(m.calls(l.ref)) > 0; keep {
					return true
				}
			} else {
				keep = l.fresh
			}
			l.fresh, l.queue = false, nil
			m.events = append(m.events, event{peer: l.ref, refused: c.Refused})
			return keep
		})
	}
}

func (m *mesh) forget(a simnet.Addr) {
	delete(m.conns, a)
	delete(m.who, a)
}

// each goes over the links to an address, and leaves out what isn't to be kept. With
// the last of them goes the connection.
func (m *mesh) each(a simnet.Addr, keep func(*link) bool) {
	left := 0
	m.links = slices.DeleteFunc(m.links, func(l *link) bool {
		if simnet.Addr(l.ref.Addr) != a {
			return false
		}
		if keep(l) {
			left++
			return false
		}
		return true
	})
	if left == 0 {
		m.forget(a)
		m.port.Hangup(a)
	}
}

// tidy closes what nobody sends over.
func (m *mesh) tidy() {
	for _, l := range slices.Clone(m.links) {
		if l.up && m.port.Now()-l.used > idle {
			m.each(simnet.Addr(l.ref.Addr), func(l *link) bool { return m.port.Now()-l.used <= idle })
		}
	}
}

// close ends all connections; what was sent still arrives.
func (m *mesh) close() {
	for _, l := range m.links {
		m.port.Hangup(simnet.Addr(l.ref.Addr))
	}
	m.links = nil
}
