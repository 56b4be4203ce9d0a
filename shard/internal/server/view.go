package server

import (
	"github.com/torc-dht/torc/shard/internal/msg"
	"github.com/torc-dht/torc/shard/slots"
	"github.com/torc-dht/torc/store"
)

// Limit is how many bytes the server may hold.
func (s *Server) Limit() uint64 { return s.cfg.Limit }

// Items appends what there is in a slot that this server is the primary of, by all
// writes that have come, also those that may yet turn out never to have been.
func (s *Server) Items(to []store.Item, id slots.Slot) []store.Item {
	if sl := &s.slots[id]; sl.mine() {
		for _, e := range sl.list {
			if !e.Gone {
				to = append(to, item(&e.Entry))
			}
		}
	}
	return to
}

// Share counts the slots that this server is the primary of, those of which it is
// an InSync copy, and those of which it is about to be.
func (s *Server) Share() (primaries, backups, filling uint32) {
	for i := range s.slots {
		switch sl := &s.slots[i]; {
		case sl.mine():
			primaries++
		case sl.role == copying && sl.state == slots.InSync:
			backups++
		case sl.role == copying:
			filling++
		}
	}
	return primaries, backups, filling
}

// Fills says how far the filling of copies is.
func (s *Server) Fills() (fills []msg.Fill) {
	for _, p := range s.order {
		if len(p.fill) > 0 {
			fills = append(fills, msg.Fill{
				To: p.boot, Slots: uint32(len(p.fill)), Left: uint32(len(p.fill) - p.next),
				Keys: p.fillKeys, Bytes: p.fillBytes,
			})
		}
	}
	return fills
}

// Serves says whether the server would carry out a call on a slot now.
func (s *Server) Serves(now Time, id slots.Slot) bool {
	s.now = now
	_, ready := s.ready(id)
	return ready == yes
}

// Dump returns what the server has of a slot, as its primary or a copy, in no
// order: the entries, those among them that are gone but for an answer, and the
// writes that it would know again.
func (s *Server) Dump(id slots.Slot) (entries []msg.Entry, ops []msg.Op) {
	sl := &s.slots[id]
	for _, e := range sl.list {
		entries = append(entries, e.Entry)
	}
	return entries, sl.past()
}
