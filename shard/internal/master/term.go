package master

import (
	"fmt"

	"github.com/torc-dht/torc/shard/internal/msg"
	"github.com/torc-dht/torc/shard/slots"
)

// promisedElsewhere sees to a server that follows a master of a term that is not
// below this one's. It says whether this master's term has changed, or is over.
func (m *Master) promisedElsewhere(e slots.Epoch) bool {
	if e.Term < m.term || e.Term == m.term && (e.Boot == m.cfg.Boot || e.Boot == 0) {
		return false
	}
	if m.cfg.Elected {
		m.deposed = e
		for _, v := range m.members {
			if v.conn != 0 {
				m.refuse(v.conn, "another master was elected", false)
			}
		}
		return true
	}
	m.raise(e.Term + 1)
	return true
}

// raise begins a new reign of this master. What it issued before is as good as the
// maps of any other master of a lower term, and so is what it knows: everybody has
// to promise and to report again, for whoever made the higher term may have issued
// maps, too.
func (m *Master) raise(term uint64) {
	m.term, m.reigns = term, m.now
	m.due, m.urgent, m.must = 0, false, false
	m.handovers = nil
	own := m.newest
	begun := m.begun
	m.begun = false
	for _, v := range m.members {
		v.newTerm()
		if v.conn != 0 {
			m.prepare(v)
		}
	}
	if m.rebuild == nil && m.cfg.Recovered != nil && !begun {
		return // the state is complete, and nothing has come of it yet
	}
	m.cfg.Recovered = nil
	if m.rebuild == nil { // else what was reported is true as before
		m.rebuild = newRebuild()
	}
	m.newest, m.want, m.wantFor = nil, nil, nil
	if own != nil && len(own.Held) == 0 { // a draft is of what was known until now, and no server has it
		m.rebuild.take(own)
	}
}

func (m *Master) prepare(v *member) {
	m.send(v.conn, &msg.Prepare{Term: m.term, Boot: m.cfg.Boot})
}

// own says whether e is of this master's present reign.
func (m *Master) own(e slots.Epoch) bool { return e.Term == m.term && e.Boot == m.cfg.Boot }

// laterThanState sees to a map that is later than the state that this master was
// started on, which was said to be complete. It says whether the report can be
// taken.
func (m *Master) laterThanState(v *member, reported *slots.Map) bool {
	if m.begun {
		m.refuse(v.conn, fmt.Sprintf("%s stands on map %s, which is later than map %s of the master's state: "+
			"start the master on the right state, or on none", v.addr, reported.Epoch, m.cfg.Recovered.Epoch), false)
		return false
	}
	m.rebuild = newRebuild()
	m.rebuild.take(m.newest)
	m.newest, m.cfg.Recovered = nil, nil
	return true
}

func (m *Master) refuse(c Conn, reason string, final bool) {
	r := &msg.Refuse{Reason: reason, Final: final}
	if m.isDeposed() {
		r.Promised = m.deposed
	}
	m.send(c, r)
	m.closeConn(c)
}
