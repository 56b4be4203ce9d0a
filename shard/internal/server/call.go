package server

import (
	"github.com/torc-dht/torc/shard/internal/msg"
	"github.com/torc-dht/torc/shard/slots"
)

// Call is one request at one key or several. The server has it from Do until it
// is returned by Done.
type Call struct {
	// Keys that it touches, at least one.
	Keys [][]byte
	// Op names a write that its client may repeat: Client, Number and Oldest;
	// the zero Op is a call that can't be told from another.
	Op msg.Op
	// Exec is what it does.
	Exec Executor

	parkedAt int64 // when it came
	wrote    bool  // it has written
	failed   bool  // it has its failure, and gets no other
	holds    int   // writes that its answer waits for, and that know of it
}

// Executor is what a Call does.
type Executor interface {
	// Execute carries the call out on s, which is at its keys and nowhere else,
	// and notes the answer. It is called once. It returns what Repeat takes should
	// the same call come again after it has written nothing; never 0.
	Execute(s *Server) (refusal uint8)
	// Repeat notes the answer that the same write got before, in place of Execute:
	// with the refusal 0 that it was done, and this is its version.
	Repeat(version uint64, refusal uint8)
	// Fail notes a failure, in place of Execute or of the answer noted.
	Fail(f Failure)
}

// Kind says why a call failed.
type Kind uint8

// The kinds of failure.
const (
	Moved       Kind = iota // another server is the primary: Addr, by Epoch
	Lost                    // the slot's only copy is on a server that gives no sign: Addr
	Unavailable             // it could not be served in time; nothing was done
	Unknown                 // the write may or may not have been carried out, or may yet be
	Answered                // the client had its answer long ago, by what it says itself
)

// Failure is why a call failed.
type Failure struct {
	Kind  Kind
	Epoch slots.Epoch // of the map that says so
	Addr  string
}

// Do takes a call.
func (s *Server) Do(now Time, c *Call) {
	s.now = now
	c.parkedAt = now.Mono
	s.try(c)
}

// try executes c, parks it, or fails it.
func (s *Server) try(c *Call) {
	for _, key := range c.Keys {
		switch f, ready := s.ready(slots.Of(key)); ready {
		case no:
			s.fail(c, f)
			return
		case notYet:
			if s.now.Mono-c.parkedAt >= int64(s.cfg.Wait) {
				s.fail(c, Failure{Kind: Unavailable, Epoch: s.epoch()})
				return
			}
			s.parked = append(s.parked, c)
			return
		}
	}
	if c.Op.Client != 0 && !s.cfg.Planted.Forgetful && s.isRepeat(c) {
		return
	}
	s.call = c
	if refusal := c.Exec.Execute(s); c.Op.Client != 0 && !c.wrote {
		s.refuse(c, refusal)
	}
	s.call = nil
	for i, key := range c.Keys {
		sl := &s.slots[slots.Of(key)]
		if sl.writes.len() == 0 {
			continue
		}
		if e := sl.entries[string(key)]; e != nil && e.pending != nil {
			if i > 0 && e.pending.holds(c) {
				continue // a key named twice
			}
			s.hold(c, e.pending)
		}
	}
	if c.holds == 0 {
		s.finish(c)
	} else {
		s.held++
	}
}

// isRepeat sees to a write that was carried out before.
func (s *Server) isRepeat(c *Call) bool {
	sl := &s.slots[slots.Of(c.Keys[0])]
	past := sl.ops[c.Op.Client]
	if past == nil {
		return false
	}
	op := past.find(c.Op.Number)
	switch {
	case op == nil && c.Op.Number < past.oldest:
		s.sometimes("repeat of what was answered before")
		s.fail(c, Failure{Kind: Answered, Epoch: s.epoch()})
		return true
	case op == nil:
		return false
	}
	c.Exec.Repeat(op.Version, op.Outcome)
	if w := sl.unanswered(op.Version); w != nil {
		s.sometimes("repeat of a write without answer")
		s.hold(c, w)
		s.held++
		return true
	}
	s.sometimes("repeat of a write with an answer")
	s.finish(c)
	return true
}

// hold makes c's answer wait for w.
func (s *Server) hold(c *Call, w *write) {
	w.calls = append(w.calls, c)
	c.holds++
}

// refuse remembers that a write was refused because of what is at its key, as
// firmly as what was written: the client is told so, perhaps by a repeat, while a
// first copy of the call may still be under way. Were that one carried out later,
// when something else is at the key, the client would have been lied to.
func (s *Server) refuse(c *Call, refusal uint8) {
	sl := &s.slots[slots.Of(c.Keys[0])]
	if w := s.number(sl, msg.Entry{}, refusal); w != nil {
		if s.commit(sl); !w.done {
			s.hold(c, w)
		}
	}
}

// fail fails c, which is done once no write knows of it.
func (s *Server) fail(c *Call, f Failure) {
	if c.failed {
		return
	}
	c.failed = true
	c.Exec.Fail(f)
	if c.holds == 0 {
		s.finish(c)
	}
}

// finish gives c back. It is called once for each.
func (s *Server) finish(c *Call) { s.done = append(s.done, c) }

// release lets go of one write that c's answer waited for.
func (s *Server) release(c *Call) {
	if c.holds--; c.holds == 0 {
		s.held--
		s.finish(c)
	}
}

// readiness is whether a slot can be served.
type readiness uint8

const (
	yes readiness = iota
	notYet
	no
)

// ready says whether calls can be executed at a slot now.
func (s *Server) ready(id slots.Slot) (Failure, readiness) {
	switch {
	case s.reset:
		return Failure{Kind: Unavailable, Epoch: s.epoch()}, no
	case s.cur == nil:
		return Failure{}, notYet
	}
	sl := &s.slots[id]
	switch sl.role {
	case serving:
		if s.leased(sl) {
			return Failure{}, yes
		}
		return Failure{}, notYet
	case waiting, handing, gone:
		return Failure{}, notYet
	}
	return s.elsewhere(id)
}

// elsewhere says who has a slot that this server has not.
func (s *Server) elsewhere(id slots.Slot) (Failure, readiness) {
	row := &s.cur.Rows[id]
	f := Failure{Kind: Lost, Epoch: s.cur.Epoch}
	if row.Primary == slots.None {
		return f, notYet // nobody has joined: it will be somebody's soon
	}
	primary := &s.cur.Servers[row.Primary]
	f.Addr = primary.Addr
	switch {
	case row.Primary == s.me: // and hasn't what it takes
		return f, no
	case primary.Dead:
		return f, no
	}
	f.Kind = Moved
	return f, no
}

func (s *Server) epoch() slots.Epoch {
	if s.cur == nil {
		return slots.Epoch{}
	}
	return s.cur.Epoch
}

// retry tries what is parked again.
func (s *Server) retry() {
	s.unpark = false
	parked := s.parked
	s.parked = nil
	for _, c := range parked {
		s.try(c)
	}
}
