package server

import (
	"github.com/torc-dht/torc/shard/internal/msg"
	"github.com/torc-dht/torc/shard/slots"
)

// receiveHandOver begins to give slots up. New calls wait; those under way get
// their answers first.
func (s *Server) receiveHandOver(m *msg.HandOver) {
	to := s.peers[m.To]
	if to == nil || s.cur == nil || m.Epoch != s.cur.Epoch {
		return // on another map it may make no sense; the master says it again
	}
	for _, id := range m.Slots {
		if int(id) >= slots.Count {
			return
		}
		sl := &s.slots[id]
		if c := sl.copyAt(to); sl.role == serving && c != nil && c.state == slots.InSync {
			sl.role, sl.handTo = handing, to
			s.handing = append(s.handing, id)
		}
	}
	s.giveUp(to, true)
}

// handedOver is called when a slot that is being given up has no unanswered write
// any more.
func (s *Server) handedOver(sl *slot) { s.giveUp(sl.handTo, false) }

// giveUp gives up all slots that are being handed over to p, once none of them has
// an unanswered write; p has everything then. It says so, or says so again.
func (s *Server) giveUp(p *peer, again bool) {
	var up []slots.Slot
	fresh := again
	for _, id := range s.handing {
		switch sl := &s.slots[id]; {
		case sl.handTo != p:
		case sl.writes.len() > 0:
			return
		default:
			up = append(up, id)
			fresh = fresh || sl.role == handing
		}
	}
	if len(up) == 0 || !fresh {
		return
	}
	for _, id := range up {
		s.slots[id].role = gone
	}
	s.tell(&msg.GaveUp{Epoch: s.cur.Epoch, To: p.boot, Slots: up})
}

// gaveUp is what this server has given up and nobody has got yet.
func (s *Server) gaveUp() (all []msg.GaveUp) {
	for _, p := range s.order {
		g := msg.GaveUp{To: p.boot}
		for _, id := range s.handing {
			if sl := &s.slots[id]; sl.role == gone && sl.handTo == p {
				g.Slots = append(g.Slots, id)
			}
		}
		if len(g.Slots) > 0 {
			g.Epoch = s.cur.Epoch
			all = append(all, g)
		}
	}
	return all
}

// keepHanding forgets hand-overs that a map has carried out or called off.
func (s *Server) keepHanding() {
	kept := s.handing[:0]
	for _, id := range s.handing {
		if sl := &s.slots[id]; sl.handTo != nil {
			kept = append(kept, id)
		}
	}
	if s.handing = kept; len(kept) == 0 {
		s.handing = nil
	}
}
