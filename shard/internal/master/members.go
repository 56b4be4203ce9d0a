package master

import (
	"slices"

	"github.com/torc-dht/torc/shard/internal/msg"
	"github.com/torc-dht/torc/shard/slots"
)

// member is one boot of a server: in the map, about to be, or no more than known.
type member struct {
	boot slots.Boot
	addr string

	conn     Conn        // the newest connection, or 0
	reported bool        // its Report of this term came over conn
	sent     slots.Epoch // of the last map sent over conn
	// heard says that it reported in this term: what it knew is known (R5).
	heard bool
	// wasIn says that the map it reported had it. When it isn't in the newest, it
	// was taken out, and has to begin anew under another boot.
	wasIn bool

	last     int64 // when it was heard last; before that, when it should have been
	gone     bool  // its address refuses connections
	replaced bool  // another boot is at its address: the process is dead
	// forgotten says that a person gave it up, with what only it has (R4).
	forgotten bool
	released  bool // over conn
	vitality  vitality

	leaving    bool
	promise    int64 // when it was last granted something, 0 is never
	epoch      slots.Epoch
	acked      uint32 // counter of an epoch of this term
	full       bool
	distrusted []slots.Boot
	fills      []msg.Fill

	keys, bytes, limit uint64

	filled map[slots.Boot]uint32 // the counter of the epoch, by who was filled
	drops  []drop
	gaveUp []*msg.GaveUp // under the newest epoch
}

// drop is a copy that a primary can't reach.
type drop struct {
	boot    slots.Boot
	counter uint32
}

// vitality is what silence means.
type vitality uint8

const (
	lively vitality = iota
	silent          // for long enough to be given nothing new
	dead            // for long enough, or known otherwise
)

func (v *member) newTerm() {
	v.reported, v.heard, v.acked = false, false, 0
	v.sent, v.filled, v.drops, v.gaveUp = slots.Epoch{}, nil, nil, nil
}

// known makes a boot known.
func (m *Master) known(b slots.Boot, addr string) *member {
	v := m.byBoot[b]
	if v == nil {
		v = &member{boot: b, last: m.now}
		m.byBoot[b] = v
		m.members = append(m.members, v)
	}
	v.addr = addr
	return v
}

// expect makes a server of an earlier map known, which is given time to come.
func (m *Master) expect(s *slots.Server) {
	if m.byBoot[s.Boot] != nil {
		return
	}
	v := m.known(s.Boot, s.Addr)
	v.last = max(m.now, m.began+int64(m.cfg.StartWait))
	v.leaving, v.vitality = s.Leaving, silent
	for _, w := range m.members {
		if w != v && w.addr == v.addr && w.conn != 0 {
			v.replaced = true
		}
	}
}

// prune forgets members that nobody needs to know any more.
func (m *Master) prune() {
	m.members = slices.DeleteFunc(m.members, func(v *member) bool {
		if v.conn != 0 || m.newest == nil || m.newest.Index(v.boot) != slots.None || m.issued != nil && m.issued.Index(v.boot) != slots.None || v.replaced && m.now-v.last < int64(m.cfg.Lease)*10 {
			return false
		}
		delete(m.byBoot, v.boot)
		return true
	})
}

func (m *Master) forgetConn(c Conn) {
	if v := m.conns[c]; v != nil && v.conn == c {
		v.conn, v.reported, v.released = 0, false, false
		v.sent = slots.Epoch{}
	}
	delete(m.conns, c)
}

// alive notes a sign of life. When for long nobody gave one, it was this master that
// was cut off, and all get the time anew in which to be heard: else who comes first
// would be given what those have that come a moment later.
func (m *Master) alive(v *member) {
	if gap := m.now - m.heard; gap > m.cfg.silentAfter() {
		for _, w := range m.members {
			w.last = min(w.last+gap, m.now)
		}
	}
	m.heard = m.now
	v.last, v.gone = m.now, false
}

// vitalityOf returns what is known of whether v lives. A server that has not been
// heard in this term is no livelier than silent.
func (m *Master) vitalityOf(v *member) vitality {
	quiet := m.now - v.last
	switch {
	case v.replaced || v.forgotten || v.gone && v.conn == 0 && (v.heard || m.rebuild == nil):
		return dead
	case !v.heard && m.rebuild != nil:
		return silent // nothing is decided from its absence (R5)
	case quiet > int64(m.cfg.DeadAfter):
		return dead
	case !v.heard || quiet > m.cfg.silentAfter():
		return silent
	}
	return lively
}

// age notes who has become silent, dead, or lively again. A death asks for a map at
// once, and so does a life where the map says dead.
func (m *Master) age() {
	for _, v := range m.members {
		was := v.vitality
		v.vitality = m.vitalityOf(v)
		if was == v.vitality {
			continue
		}
		if m.newest != nil && m.newest.Index(v.boot) != slots.None {
			m.soon()
			m.atOnceIf(was == dead || v.vitality == dead)
		} else if v.reported {
			m.soon() // it may join now
		}
	}
}
