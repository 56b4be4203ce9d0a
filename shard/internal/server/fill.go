package server

import (
	"slices"
	"unsafe"

	"github.com/torc-dht/torc/shard/internal/msg"
	"github.com/torc-dht/torc/shard/slots"
)

// chunkBytes is how large a part of a fill is, and so how long a call may wait
// behind the making of it.
const chunkBytes = 32 << 10

// chunkOps is how many of the writes that are remembered go into one item: as much
// as fits into a chunk. There may be so many that no frame would take them.
const chunkOps = chunkBytes / int(unsafe.Sizeof(msg.Op{}))

// slotBytes is what a slot counts for besides its entries.
const slotBytes = 128

// planFill notes which slots of p have to be filled and are not yet. One that is
// under way goes on. A copy may be Joining already: the fill was reported before it
// began again.
func (s *Server) planFill(p *peer) {
	var under []slots.Slot
	if p.next < len(p.fill) && p.cursor >= 0 {
		if c := s.slots[p.fill[p.next]].copyAt(p); c != nil && c.begun && !c.sent {
			under = p.fill[p.next : p.next+1]
		}
	}
	plan := under
	p.owed = false
	for i := range s.slots {
		if sl := &s.slots[i]; sl.mine() && (len(under) == 0 || sl.id != under[0]) {
			c := sl.copyAt(p)
			if c == nil {
				continue
			}
			if p.owed = p.owed || c.state == slots.Filling; !c.sent {
				if c.begun {
					s.sometimes("fill begins again")
				}
				c.begun = false // what was sent of it is sent again
				plan = append(plan, sl.id)
			}
		}
	}
	if len(under) == 0 {
		p.cursor = -1
	} else {
		p.owed = p.owed || s.slots[under[0]].copyAt(p).state == slots.Filling
	}
	p.fill, p.next, p.filledAt = plan, 0, 0
	p.fillKeys, p.fillBytes = 0, 0
}

func (sl *slot) copyAt(p *peer) *copyOf {
	for i := range sl.copies {
		if sl.copies[i].peer == p {
			return &sl.copies[i]
		}
	}
	return nil
}

// Pump sends a little of what copies have to be filled with, and says whether
// there is more that may be sent at once. Whoever is full gets nothing before it
// has room.
func (s *Server) Pump(now Time) (more bool) {
	s.now = now
	for _, p := range s.order {
		if p.up && !p.full && p.next < len(p.fill) && p.filling < s.cfg.Window {
			s.fillSome(p)
			more = more || p.next < len(p.fill) && p.filling < s.cfg.Window
		}
	}
	return more
}

// fillSome sends p one chunk, or several slots that are smaller.
func (s *Server) fillSome(p *peer) {
	for sent := 0; p.next < len(p.fill) && sent < chunkBytes; {
		sl := &s.slots[p.fill[p.next]]
		c := sl.copyAt(p)
		if c == nil || c.sent || !sl.mine() {
			p.next, p.cursor = p.next+1, -1
			continue
		}
		if p.cursor < 0 {
			s.pushFill(p, sl, msg.Item{Kind: msg.Begin}, 0)
			for ops := range slices.Chunk(sl.past(), chunkOps) {
				sent += s.pushFill(p, sl, msg.Item{Kind: msg.Past, Ops: ops}, len(ops)*int(unsafe.Sizeof(msg.Op{})))
			}
			c.begun = true
			p.cursor = len(sl.list)
		}
		sent += s.fillChunk(p, sl, chunkBytes-sent)
		if p.cursor == 0 || s.cfg.Planted.SwitchEarly {
			sent += s.pushFill(p, sl, msg.Item{Kind: msg.End}, slotBytes)
			c.sent = true
			p.next, p.cursor = p.next+1, -1
		}
	}
	s.checkFilled(p)
}

// fillChunk sends entries of a slot, from the end of its list to the front: what
// is removed from a list meanwhile makes its last entry take its place, which may
// then come twice but is never passed over. New entries go as writes.
func (s *Server) fillChunk(p *peer, sl *slot, room int) (sent int) {
	var entries []msg.Entry
	p.cursor = min(p.cursor, len(sl.list))
	for p.cursor > 0 && sent < room {
		p.cursor--
		e := &sl.list[p.cursor].Entry
		if e.Gone || expired(e, s.now.Wall) {
			continue
		}
		entries = append(entries, *e)
		sent += int(size(e))
	}
	if len(entries) == 0 {
		return 0
	}
	p.fillKeys += uint64(len(entries))
	p.fillBytes += uint64(sent)
	return s.pushFill(p, sl, msg.Item{Kind: msg.Chunk, Entries: entries}, sent)
}

// pushFill sends p a part of a slot's fill, of so many bytes, which it returns.
func (s *Server) pushFill(p *peer, sl *slot, it msg.Item, bytes int) int {
	it.Slot, it.Seq = sl.id, sl.seq
	p.push(sl, it, nil, false, s.now.Mono)
	p.queue.at(p.queue.len() - 1).fill = bytes
	p.filling += bytes
	return bytes
}

// filled says that all that p is to be filled with has been sent and acknowledged.
func (p *peer) filled() bool { return p.next == len(p.fill) && p.filling == 0 }

// checkFilled tells the master when p has all that it is to be filled with.
func (s *Server) checkFilled(p *peer) {
	if !p.owed || !p.filled() {
		return
	}
	if p.filledAt == 0 || s.now.Mono-p.filledAt >= int64(s.cfg.Renew) {
		p.filledAt = s.now.Mono
		s.tell(&msg.Filled{Epoch: s.cur.Epoch, Boot: p.boot})
	}
}
