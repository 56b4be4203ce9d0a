package server

import (
	"github.com/torc-dht/torc/shard/internal/msg"
	"github.com/torc-dht/torc/shard/slots"
)

// leased says whether everyone who might serve a slot in this server's place has
// promised not to.
func (s *Server) leased(sl *slot) bool {
	if s.cfg.Planted.ServePast {
		return true
	}
	alone := true
	for i := range sl.copies {
		if c := &sl.copies[i]; c.counts() {
			if alone = false; c.peer.granted <= s.now.Mono {
				return false
			}
		}
	}
	return !alone || s.leasedByMaster()
}

// leasedByMaster says whether the master has promised not to give away what this
// server alone has.
func (s *Server) leasedByMaster() bool {
	return s.master.granted > s.now.Mono || s.cfg.Planted.ServePast
}

// ask asks p for its promise, whether or not there is a slot that needs it yet: a
// slot may be about to.
func (s *Server) ask(p *peer) {
	if p.up && s.cur != nil {
		p.askedAt = s.now.Mono
		s.send(p.boot, &msg.Ask{Sent: s.now.Mono, Epoch: s.cur.Epoch, Answered: p.answered()})
	}
}

// receiveAsk promises p not to serve what p has, for a lease from now on. Whoever
// a later map has taken slots from gets no promise before it has that map.
func (s *Server) receiveAsk(p *peer, m *msg.Ask) {
	s.trim(p, m.Epoch, m.Answered)
	p.known = later(p.known, m.Epoch)
	if s.cur == nil {
		return
	}
	if m.Epoch.Before(s.cur.Epoch) {
		s.inform(p)
	}
	if p.index == slots.None || p.gone {
		return
	}
	if at := &s.cur.Servers[p.index]; at.Dead || m.Epoch.Before(at.Deposed) {
		return
	}
	p.promised = max(p.promised, s.now.Mono+int64(s.cfg.Lease))
	p.grantedFor = m.Sent
	s.grant(p)
}

// grant tells p of the last promise that it was given.
func (s *Server) grant(p *peer) {
	p.toldFull = s.full()
	s.send(p.boot, &msg.Granted{Sent: p.grantedFor, Epoch: s.cur.Epoch, Full: p.toldFull})
}

func (s *Server) receiveGranted(p *peer, m *msg.Granted) {
	p.known = later(p.known, m.Epoch)
	until := m.Sent + int64(s.cfg.Lease-s.cfg.Margin)
	if until > p.granted {
		s.unpark = s.unpark || p.granted <= s.now.Mono
		p.granted = until
	}
	p.full = m.Full
}

// promisesEnd is when the last promise is over that this server gave to somebody
// who may not know yet that slots were taken from it: not only by this map or for
// this server.
func (s *Server) promisesEnd() (end int64) {
	if s.cfg.Planted.ServeAtOnce {
		return 0
	}
	for _, p := range s.order {
		if p.gone {
			continue
		}
		if end = max(end, p.exposed); p.index == slots.None || s.cur.Servers[p.index].Dead {
			end = max(end, p.promised)
		}
	}
	return end
}

// wake serves the slots whose promises have ended.
func (s *Server) wake() {
	if !s.waking {
		return
	}
	s.waking = false
	end := s.promisesEnd()
	for i := range s.slots {
		sl := &s.slots[i]
		switch {
		case sl.role != waiting:
		case min(sl.serveAt, end) <= s.now.Mono:
			sl.role = serving
			s.unpark = true
		default:
			s.waking = true
		}
	}
}
