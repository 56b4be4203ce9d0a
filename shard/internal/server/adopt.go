package server

import (
	"slices"

	"github.com/torc-dht/torc/shard/internal/msg"
	"github.com/torc-dht/torc/shard/slots"
)

// adopt makes m the map that this server stands on, if it is later than the one
// that it has and from no master of a lower term than it follows.
func (s *Server) adopt(m *slots.Map) {
	if m.Epoch.Term < s.promised.Term || m.Epoch.Term == s.promised.Term && m.Epoch.Boot != s.promised.Boot {
		return
	}
	if s.cur != nil && !s.cur.Epoch.Before(m.Epoch) || len(m.Held) > 0 {
		return
	}
	if m.Epoch.Term > s.promised.Term {
		s.promised = slots.Epoch{Term: m.Epoch.Term, Boot: m.Epoch.Boot}
		s.master.following, s.master.granted = false, 0
	}
	old, since := s.cur, s.epoch()
	s.skipped = m.Epoch.Term != since.Term || m.Epoch.Counter != since.Counter+1
	s.cur, s.me = m, m.Index(s.cfg.Boot)
	if s.me == slots.None {
		if s.member {
			s.expel()
		}
		return
	}
	s.member = true
	s.meet(since)
	if !s.skipped {
		s.absolve(old)
	}
	end := s.promisesEnd()
	for i := range s.slots {
		s.adoptRow(&s.slots[i], &m.Rows[i], end)
	}
	s.keepHanding()
	for _, p := range s.order {
		if p.changed {
			s.recheck(p)
		}
		p.sent = p.acked // what it would not take on an earlier map
	}
	for i := range s.slots {
		if sl := &s.slots[i]; sl.mine() && sl.writes.len() > 0 {
			s.commit(sl)
		}
	}
	s.bar()
	s.unpark = true
	s.wake()
}

// expel ends this server's part in the table, which is what it wants if it is
// leaving: a peer told it before the master did.
func (s *Server) expel() {
	s.reset, s.released = !s.goAway, s.goAway
	for _, p := range s.order {
		p.index = slots.None // it was one in another map
	}
	for i := range s.slots {
		if sl := &s.slots[i]; sl.role != none {
			s.lose(sl)
			s.empty(sl)
		}
	}
	for _, c := range s.parked {
		s.fail(c, Failure{Kind: Unavailable, Epoch: s.cur.Epoch})
	}
	s.parked = nil
}

// meet sees who the peers are, and who of them was deposed since an epoch.
func (s *Server) meet(since slots.Epoch) {
	for _, p := range s.order {
		p.index = slots.None
	}
	s.byIndex = make([]*peer, len(s.cur.Servers))
	for i, at := range s.cur.Servers {
		if at.Boot == s.cfg.Boot {
			continue
		}
		p := s.peer(at.Boot)
		if p.index = int16(i); p.metAt == 0 {
			p.metAt = s.now.Mono
		}
		if since.Before(at.Deposed) {
			p.exposed = p.promised
		}
		s.byIndex[i] = p
	}
	for _, p := range s.order {
		if p.index == slots.None {
			p.changed = true
		}
	}
}

// absolve forgets promises to who has left: by the map before this one it had no
// slot, and it had lost none that it had not given up, so that there is nothing that
// it might still serve.
func (s *Server) absolve(old *slots.Map) {
	for _, p := range s.order {
		if p.index != slots.None || p.promised <= s.now.Mono || p.exposed > s.now.Mono {
			continue
		}
		at := old.Index(p.boot)
		if at != slots.None && !old.Servers[at].Dead &&
			!slices.ContainsFunc(old.Rows, func(r slots.Row) bool { return r.Primary == at }) {
			p.promised = 0
		}
	}
}

// adoptRow makes a slot what a row of a new map says. Promises to whom slots were
// taken from are over at end.
func (s *Server) adoptRow(sl *slot, row *slots.Row, end int64) {
	if row.Primary == s.me {
		s.adoptAsPrimary(sl, row, end)
		return
	}
	if state, ok := row.Copy(s.me); ok {
		s.adoptAsCopy(sl, row, state)
	} else if sl.role != none {
		s.lose(sl)
		s.part(sl)
		s.empty(sl)
	}
}

// part notes that the copies of a slot are this server's to look after no more.
func (s *Server) part(sl *slot) {
	for i := range sl.copies {
		sl.copies[i].peer.changed = true
	}
	sl.copies, sl.handTo, sl.reign = nil, nil, 0
}

// reign begins a time in which this server is a slot's primary.
func (s *Server) reign(sl *slot) {
	s.reigns++
	sl.reign = s.reigns
}

func (s *Server) adoptAsPrimary(sl *slot, row *slots.Row, end int64) {
	switch sl.role {
	case serving, waiting:
		s.adoptCopies(sl, row)
	case handing:
		s.adoptCopies(sl, row)
		if c := sl.copyAt(sl.handTo); c == nil || c.state != slots.InSync {
			s.sometimes("hand-over called off")
			sl.role, sl.handTo = serving, nil // the one who was to have it is out
		}
	case gone:
		if s.skipped {
			s.sometimes("given up, then a map that isn't the next")
			// Who was to have it may have had it since, and been deposed.
			s.part(sl)
			s.promote(sl, row, end)
			return
		}
		s.sometimes("given back by a map that crossed")
		// The master had not heard of it when it made this map, and takes it
		// for nothing when it does.
		s.adoptCopies(sl, row)
		sl.role, sl.handTo = serving, nil
	case copying:
		if sl.whole || !row.Fresh {
			s.promote(sl, row, end)
			return
		}
		s.empty(sl)
		s.begin(sl, row)
	case none:
		if !row.Fresh {
			s.faults++ // it has nothing, and others had something
			return
		}
		s.begin(sl, row)
	}
}

// begin makes this server the first primary of a slot. Numbers begin at the time,
// so that they are none of an earlier slot's that was lost.
func (s *Server) begin(sl *slot, row *slots.Row) {
	sl.role, sl.whole, sl.begun = serving, true, true
	sl.seq = uint64(s.now.Wall)
	s.reign(sl)
	s.adoptCopies(sl, row)
}

// promote makes a copy the primary. Writes that may have had no answer yet wait
// for the other copies, which undo what this one hasn't got: after they have been
// sent all that it has, since some of it may have been answered, and should this
// server die meanwhile one of them has to go on with it.
func (s *Server) promote(sl *slot, row *slots.Row, end int64) {
	if !sl.whole {
		s.faults++
		return
	}
	sl.role, sl.primary = serving, 0
	if end > s.now.Mono {
		s.sometimes("promotion waits for promises")
		sl.role, sl.serveAt, s.waking = waiting, end, true
	}
	s.reign(sl)
	s.adoptCopies(sl, row)
	for i := range sl.copies {
		if c := &sl.copies[i]; c.state != slots.Filling {
			c.begun, c.sent = true, true
		}
	}
	for i, u := range s.takeTail(sl) {
		if i == 0 {
			s.sometimes("promotion with writes to send again")
		}
		at := sl.entries[u.item.Entry.Key]
		if at == nil && u.item.Entry.Key != "" {
			gone := u.item.Entry // removed by this write or one after it
			gone.Gone, gone.Value = true, nil
			at, _ = s.put(sl, gone)
		}
		s.spread(sl, at, u.item)
	}
	for i := range sl.copies {
		if c := &sl.copies[i]; c.begun {
			c.peer.push(sl, msg.Item{Kind: msg.Resync, Slot: sl.id, Seq: sl.seq}, nil, false, s.now.Mono)
		}
	}
}

// adoptCopies makes a primary's copies those of a row. A fill goes on only if the
// copy was Filling in every map since: in one that this server has not seen it may
// have been none, and have forgotten what it got.
func (s *Server) adoptCopies(sl *slot, row *slots.Row) {
	same := len(sl.copies) == len(row.Copies())
	for i, c := range row.Copies() {
		if p := s.byIndex[c.Server]; !same || sl.copies[i].peer != p || sl.copies[i].state != c.State || s.skipped && c.State == slots.Filling {
			same = false
			break
		}
	}
	if same {
		return
	}
	copies := make([]copyOf, 0, len(row.Copies()))
	for _, c := range row.Copies() {
		p := s.byIndex[c.Server]
		p.changed = true
		now := copyOf{peer: p, state: c.State}
		if was := sl.copyAt(p); was != nil && (c.State != slots.Filling || was.state == slots.Filling && !s.skipped) {
			now.begun, now.sent = was.begun, was.sent
		} else if was != nil && was.begun {
			s.sometimes("fill begins again")
		}
		copies = append(copies, now)
	}
	for i := range sl.copies {
		sl.copies[i].peer.changed = true
	}
	sl.copies = copies
}

// adoptAsCopy makes this server a copy of a slot, or one in another state.
func (s *Server) adoptAsCopy(sl *slot, row *slots.Row, state slots.State) {
	primary := s.cur.Servers[row.Primary].Boot
	since := s.cur.Epoch
	if sl.role == copying && sl.primary == primary && !s.skipped {
		since = sl.since
	}
	switch {
	case sl.role == copying:
		if state == slots.Filling && (sl.state != slots.Filling || sl.primary != primary) {
			s.empty(sl) // it was dropped, or what it got came from another
		} else if sl.primary != primary || s.skipped {
			// The former one may say that they were answered, meaning that they
			// are its no more; also one that is primary again.
			sl.tail = s.takeTail(sl)
		}
	case sl.role == gone && state != slots.Filling:
		s.part(sl) // who has the slot now has what this server has
	case sl.role != none:
		s.lose(sl)
		s.part(sl)
		s.empty(sl)
	}
	sl.role, sl.state, sl.primary, sl.since = copying, state, primary, since
}

// recheck looks again at what is on its way to a peer whose part in some slots has
// changed.
func (s *Server) recheck(p *peer) {
	p.changed = false
	for i := range p.queue.len() {
		q := p.queue.at(i)
		if q.w == nil || q.w.done {
			q.waits = false
			continue
		}
		c := q.w.slot.copyAt(p)
		switch waits := c != nil && c.counts(); {
		case waits && !q.waits: // it joins
			q.w.waiting++
			q.waits = true
		case !waits && q.waits:
			q.w.waiting--
			q.waits = false
		}
	}
	s.planFill(p)
	if p.index == slots.None {
		for i := range p.undo { // of slots that it has nothing to do with any more
			s.slots[p.undo[i].item.Slot].logged--
		}
		p.undo = nil
		p.queue, p.open, p.filling = fifo[queued]{}, fifo[opened]{}, 0
		p.sent = p.acked
	}
}

// barrier is what has to be before a map counts as acknowledged: that the copies
// which join under it have all that went to them before, and that no write from
// before it is unanswered.
type barrier struct {
	epoch slots.Epoch
	gen   uint64
	marks []mark
}

type mark struct {
	peer *peer
	upto uint64
	fill bool // and a fill that is yet to be sent
}

// bar sets up the barrier of the map that was just adopted.
func (s *Server) bar() {
	b := barrier{epoch: s.cur.Epoch, gen: s.writes.begin()}
	for _, p := range s.order {
		p.needed = false
	}
	for i := range s.slots {
		for _, c := range s.slots[i].copies {
			c.peer.needed = c.peer.needed || c.state != slots.Filling
			if c.state == slots.Joining {
				c.peer.joins = true
				c.peer.lacks = c.peer.lacks || !c.sent
			}
		}
	}
	for _, p := range s.order {
		if p.joins {
			b.marks = append(b.marks, mark{p, p.last(), p.lacks})
			p.joins, p.lacks = false, false
		}
	}
	if len(b.marks) == 0 {
		b.gen = 0 // nobody joins, so nothing has to be waited for
	}
	s.acking = append(s.acking, b)
	s.checkAcked()
}

// checkAcked sees which map is the last one acknowledged.
func (s *Server) checkAcked() {
	for i := len(s.acking) - 1; i >= 0; i-- {
		if s.acking[i].passed(&s.writes) {
			s.acked = s.acking[i].epoch
			s.acking = append(s.acking[:0], s.acking[i+1:]...)
			s.beat()
			return
		}
	}
}

func (b *barrier) passed(writes *genCount) bool {
	for _, m := range b.marks {
		if m.peer.acked < m.upto || m.fill && !m.peer.filled() {
			return false
		}
	}
	return b.gen == 0 || writes.over(b.gen)
}
