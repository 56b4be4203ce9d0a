package server

import (
	"slices"

	"github.com/torc-dht/torc/shard/internal/msg"
)

// write is a write that has no answer yet.
type write struct {
	slot    *slot
	seq     uint64
	key     string
	gen     uint64  // see genCount
	waiting int     // copies that it waits for
	calls   []*Call // held back until it is answered
	done    bool    // answered, or lost with the slot
}

func (w *write) holds(c *Call) bool { return slices.Contains(w.calls, c) }

// write makes e what is at its key, sends it to the copies, and answers it when
// they have it.
func (s *Server) write(sl *slot, e msg.Entry) {
	s.call.wrote = true
	s.number(sl, e, 0)
	s.commit(sl)
}

// number gives the call under way a number in the slot, makes e what is at its key,
// if that is not "", and sends both to the copies. It returns the write that waits
// for them, nil if there is nothing to wait for.
func (s *Server) number(sl *slot, e msg.Entry, outcome uint8) *write {
	sl.seq++
	it := msg.Item{Kind: msg.Write, Slot: sl.id, Seq: sl.seq}
	if s.call.Op.Client != 0 {
		it.Op = s.call.Op
		it.Op.Version, it.Op.At, it.Op.Outcome = sl.seq, s.now.Wall, outcome
		sl.remember(it.Op)
	}
	var at *entry
	if e.Key != "" {
		at, _ = s.put(sl, e)
		it.Entry = at.Entry
	}
	if len(sl.copies) == 0 && sl.writes.len() == 0 && s.mayAnswer(sl) {
		if e.Gone {
			s.drop(sl, at)
		}
		return nil
	}
	return s.spread(sl, at, it)
}

// spread sends a write to the copies; at is where it is, nil if it was refused.
func (s *Server) spread(sl *slot, at *entry, it msg.Item) *write {
	w := &write{slot: sl, seq: it.Seq, key: it.Entry.Key, gen: s.writes.newest()}
	s.writes.add()
	if at != nil {
		at.pending = w
	}
	sl.writes.push(w)
	for i := range sl.copies {
		c := &sl.copies[i]
		if !c.begun {
			continue
		}
		waits := c.counts()
		if waits {
			w.waiting++
		}
		c.peer.push(sl, it, w, waits, s.now.Mono)
	}
	return w
}

// commit answers the slot's writes that have waited long enough, in order.
func (s *Server) commit(sl *slot) {
	for sl.writes.len() > 0 {
		w := *sl.writes.at(0)
		if w.waiting > 0 && !s.cfg.Planted.AnswerEarly {
			return
		}
		if !s.mayAnswer(sl) {
			if !sl.starved {
				sl.starved = true
				s.sometimes("write waits for more than copies")
				s.starved = append(s.starved, sl.id)
			}
			return
		}
		s.answer(sl, sl.writes.pop())
	}
	if sl.role == handing {
		s.handedOver(sl)
	}
}

// mayAnswer says whether writes of the slot may be answered that all of its copies
// have: there have to be as many as the table asks for, and without any, somebody
// has to have promised that the slot is still this server's.
func (s *Server) mayAnswer(sl *slot) bool {
	n := sl.required()
	if 1+n < s.cur.MinCopies {
		return false
	}
	return n > 0 || s.leasedByMaster()
}

// required is how many copies the slot's writes and reads wait for.
func (sl *slot) required() (n int) {
	for i := range sl.copies {
		if sl.copies[i].counts() {
			n++
		}
	}
	return n
}

func (s *Server) answer(sl *slot, w *write) {
	s.close(w)
	if e := sl.entries[w.key]; e != nil && e.pending == w {
		if e.pending = nil; e.Gone {
			s.drop(sl, e)
		}
	}
	for _, c := range w.calls {
		s.release(c)
	}
	w.calls = nil
}

func (s *Server) close(w *write) {
	w.done = true
	s.writes.done(w.gen)
}

// feed answers the writes that waited for something else than copies.
func (s *Server) feed() {
	starved := s.starved
	s.starved = nil
	for _, id := range starved {
		s.slots[id].starved = false
		s.commit(&s.slots[id])
	}
}

// lose gives up the writes of a slot that is not this server's any more. Calls
// that its client can tell again, and those that only read, are sent where it is.
func (s *Server) lose(sl *slot) {
	f, _ := s.elsewhere(sl.id)
	for sl.writes.len() > 0 {
		w := sl.writes.pop()
		s.close(w)
		if e := sl.entries[w.key]; e != nil && e.pending == w {
			e.pending = nil
		}
		for _, c := range w.calls {
			g := f
			if c.wrote && c.Op.Client == 0 {
				g.Kind = Unknown
			}
			s.fail(c, g)
			s.release(c)
		}
	}
}

// genCount counts unanswered writes by generations, which maps begin.
type genCount struct {
	first uint64
	open  []int // by generation, from first on; there is always one
}

func (g *genCount) newest() uint64 { return g.first + uint64(len(g.open)) - 1 }

// begin begins a generation and returns the one before.
func (g *genCount) begin() uint64 {
	g.open = append(g.open, 0)
	return g.newest() - 1
}

func (g *genCount) add() { g.open[len(g.open)-1]++ }

func (g *genCount) done(gen uint64) {
	g.open[gen-g.first]--
	for len(g.open) > 1 && g.open[0] == 0 {
		g.open = g.open[1:]
		g.first++
	}
}

// over says whether all writes of gen and the generations before it are done.
func (g *genCount) over(gen uint64) bool {
	for i := g.first; i <= gen; i++ {
		if g.open[i-g.first] > 0 {
			return false
		}
	}
	return true
}
