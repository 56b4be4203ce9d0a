package server

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/torc-dht/torc/shard/internal/msg"
	"github.com/torc-dht/torc/shard/slots"
)

// undone is a write of a copy that may have had no answer yet: should its primary
// die, the next one may not have it.
type undone struct {
	number uint64 // of the item, among those from that primary
	item   msg.Item
	was    *msg.Entry // what it took the place of, nil if nothing
}

// trim forgets what won't be undone. A peer that is ahead of this server may have
// lost slots that this server takes for its own still, and with them writes that
// have had no answer.
func (s *Server) trim(p *peer, e slots.Epoch, answered uint64) {
	if s.epoch().Before(e) {
		return
	}
	n := 0
	for n < len(p.undo) && p.undo[n].number <= answered {
		s.slots[p.undo[n].item.Slot].logged--
		n++
	}
	if p.undo = p.undo[n:]; len(p.undo) == 0 {
		p.undo = nil
	}
}

// receiveBatch takes the items that it has not yet, in order.
func (s *Server) receiveBatch(p *peer, m *msg.Batch) {
	p.known = later(p.known, m.Epoch)
	if s.cur == nil || s.cur.Epoch.Before(m.Epoch) {
		return // its map was lost with an earlier connection, and will come again with the items
	}
	for i := range m.Items {
		n := m.First + uint64(i)
		if n <= p.taken {
			continue
		}
		if n > p.taken+1 {
			return
		}
		if !s.take(p, n, &m.Items[i], m.Epoch) {
			// What the sender believes is over. It has to learn that before it
			// takes an acknowledgement for a copy.
			s.inform(p)
			break
		}
		p.taken = n
		p.ackDue = true
	}
	if len(m.Items) > 0 && m.First+uint64(len(m.Items)) <= p.taken+1 {
		p.ackDue = true // repeated: then an Ack may have been lost
	}
	s.trim(p, m.Epoch, m.Answered)
	if p.grantedFor != 0 && s.full() && !p.toldFull {
		s.grant(p) // before more is on its way
	}
}

// take takes one item, sent under an epoch. False says that the sender, which is
// behind, has to have this server's map first.
func (s *Server) take(p *peer, number uint64, it *msg.Item, e slots.Epoch) bool {
	behind := e.Before(s.cur.Epoch)
	sl := &s.slots[it.Slot]
	row := &s.cur.Rows[it.Slot]
	state, isCopy := row.Copy(s.me)
	if row.Primary != p.index || p.index == slots.None || !isCopy || sl.role != copying {
		return !behind
	}
	if e.Before(sl.since) {
		return false
	}
	switch it.Kind {
	case msg.Begin:
		if state == slots.InSync {
			return !behind
		}
		primary, since := sl.primary, sl.since
		s.takeTail(sl)
		s.empty(sl)
		sl.role, sl.state, sl.primary, sl.since = copying, state, primary, since
		sl.begun, sl.seq = true, it.Seq
		return true
	case msg.Resync:
		s.undo(sl, it.Seq)
		return true
	}
	if !sl.begun {
		return !behind && state != slots.InSync
	}
	switch it.Kind {
	case msg.Write:
		s.takeWrite(p, sl, number, it)
	case msg.Chunk:
		for i := range it.Entries {
			s.put(sl, it.Entries[i])
		}
	case msg.Past:
		for _, op := range it.Ops {
			sl.remember(op)
		}
	case msg.End:
		sl.whole = true
	}
	return true
}

// apply carries out a write on a copy, and returns what was there before.
func (s *Server) apply(sl *slot, it *msg.Item) (was *msg.Entry) {
	sl.seq = it.Seq
	sl.remember(it.Op)
	if it.Entry.Key == "" {
		return nil
	}
	if !it.Entry.Gone {
		_, was = s.put(sl, it.Entry)
		return was
	}
	if e := sl.entries[it.Entry.Key]; e != nil {
		was = &msg.Entry{}
		*was = e.Entry
		s.drop(sl, e)
	}
	return was
}

// takeWrite takes a write. If the former primary has sent it already it stands, and
// may still have to be undone. If that one's was another, then it has had no answer,
// nor has any after it: the present primary would have it.
func (s *Server) takeWrite(p *peer, sl *slot, number uint64, it *msg.Item) {
	if i, ok := slices.BinarySearchFunc(sl.tail, it.Seq, func(u undone, seq uint64) int { return cmp.Compare(u.item.Seq, seq) }); ok {
		u := sl.tail[i]
		if sameWrite(&u.item, it) {
			sl.tail = sl.tail[i+1:] // what is before had its answer, or it would be sent again
			u.number = number
			p.undo = append(p.undo, u)
			sl.logged++
			return
		}
		s.undo(sl, it.Seq-1)
	}
	if it.Seq > sl.seq {
		p.undo = append(p.undo, undone{number, *it, s.apply(sl, it)})
		sl.logged++
	}
}

func sameWrite(a, b *msg.Item) bool {
	v, w := &a.Entry, &b.Entry
	return a.Op == b.Op && v.Key == w.Key && bytes.Equal(v.Value, w.Value) && v.Flags == w.Flags && v.Marks == w.Marks &&
		v.Gone == w.Gone && v.Version == w.Version && v.Expires == w.Expires
}

// undo undoes the writes of a slot's tail after seq: its primary hasn't got them.
func (s *Server) undo(sl *slot, seq uint64) {
	tail := sl.tail
	sl.tail = nil
	for _, u := range slices.Backward(tail) {
		if u.item.Seq <= seq {
			continue
		}
		s.sometimes("write undone")
		sl.disremember(u.item.Op)
		if e := sl.entries[u.item.Entry.Key]; u.was != nil {
			s.put(sl, *u.was)
		} else if e != nil {
			s.drop(sl, e)
		}
		sl.seq = min(sl.seq, u.item.Seq-1)
	}
}

// takeTail takes the writes of a slot that may have had no answer out of the logs,
// and returns them, the oldest first.
func (s *Server) takeTail(sl *slot) (tail []undone) {
	tail, sl.tail = sl.tail, nil
	if sl.logged == 0 {
		return tail
	}
	sl.logged = 0
	for _, p := range s.order {
		if !slices.ContainsFunc(p.undo, func(u undone) bool { return u.item.Slot == sl.id }) {
			continue
		}
		var rest []undone
		for _, u := range p.undo {
			if u.item.Slot == sl.id {
				tail = append(tail, u)
			} else {
				rest = append(rest, u)
			}
		}
		p.undo = rest
	}
	slices.SortStableFunc(tail, func(a, b undone) int { return cmp.Compare(a.item.Seq, b.item.Seq) })
	return tail
}
