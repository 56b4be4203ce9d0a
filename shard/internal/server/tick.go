package server

import (
	"fmt"
	"slices"
	"time"

	"github.com/torc-dht/torc/shard/internal/msg"
	"github.com/torc-dht/torc/shard/slots"
)

// askAgain is how many times as often as usual a peer is asked for a promise that
// has given none.
const askAgain = 10

// sweepSlots is how many slots a Tick looks through for what is over: all of them
// in a minute, at 50 Ticks a second.
const sweepSlots = 10

// slept is how long a gap between two Ticks is this server's own sleep, and nobody
// else's silence: what they sent meanwhile is yet to be taken in.
const slept = 200 * time.Millisecond

// Tick does what is due.
func (s *Server) Tick(now Time) {
	if s.now = now; now.Mono-s.ticked >= int64(slept) {
		s.awake = now.Mono
	}
	s.ticked = now.Mono
	if s.reset {
		return
	}
	if now.Mono-s.master.beatAt >= int64(s.cfg.Renew) {
		s.beat()
	}
	s.wake()
	s.feed()
	s.checkAcked()
	s.unpark = s.unpark || len(s.parked) > 0 // some may have waited too long
	for _, p := range s.order {
		s.attend(p)
	}
	if s.goAway && !s.released && now.Mono-s.askedGo >= int64(s.cfg.Patience) {
		s.askToGo()
	}
	s.tire()
	s.sweep()
}

// tire fails calls whose answers have been held back for too long. Their writes
// stand, and may yet be undone.
func (s *Server) tire() {
	if s.held == 0 || s.now.Mono-s.heldAt < int64(s.cfg.Renew) {
		return
	}
	s.heldAt = s.now.Mono
	for i := range s.slots {
		sl := &s.slots[i]
		for j := range sl.writes.len() {
			w := *sl.writes.at(j)
			w.calls = slices.DeleteFunc(w.calls, func(c *Call) bool {
				if s.now.Mono-c.parkedAt < int64(s.cfg.Hold) {
					return false
				}
				f := Failure{Kind: Unavailable, Epoch: s.cur.Epoch}
				if c.wrote || c.Op.Client != 0 {
					f.Kind = Unknown
				}
				s.fail(c, f)
				s.release(c)
				return true
			})
		}
	}
}

// beat gives the master a sign of life, and asks for its promise.
func (s *Server) beat() {
	s.master.beatAt = s.now.Mono
	b := &msg.Beat{
		Sent: s.now.Mono, Epoch: s.epoch(), Acked: s.acked, Full: s.full(),
		Keys: s.keys, Bytes: s.bytes, Limit: s.cfg.Limit, Fills: s.Fills(),
	}
	for _, p := range s.order {
		if p.distrust > s.now.Mono || p.index != slots.None && !p.up {
			b.Distrusted = append(b.Distrusted, p.boot)
		}
	}
	s.tell(b)
}

// attend looks after one peer: copies that don't answer, promises that don't come,
// items that may be lost, and whether it is remembered at all.
func (s *Server) attend(p *peer) {
	if p.index == slots.None {
		if p.promised <= s.now.Mono && len(p.undo) == 0 && !p.up {
			s.forget(p)
		}
		return
	}
	// Where there is no promise the question, or the answer, may have come when the
	// other side had no use for it yet.
	if since := s.now.Mono - p.askedAt; since >= int64(s.cfg.Renew) || p.granted <= s.now.Mono && since >= int64(s.cfg.Renew)/askAgain {
		s.ask(p)
	}
	if late := s.lateness(p); late >= s.cfg.Patience || s.mute(p) {
		if p.up && s.now.Mono-p.againAt >= int64(s.cfg.Patience) {
			p.againAt, p.sent, p.known = s.now.Mono, p.acked, slots.Epoch{}
		}
		if s.now.Mono-p.droppedAt >= int64(s.cfg.Renew) {
			p.droppedAt = s.now.Mono
			s.distrust(p)
			s.sometimes("copy to be dropped")
			s.tell(&msg.DropCopy{Epoch: s.cur.Epoch, Boot: p.boot, Reason: s.reason(late)})
		}
	}
	s.checkFilled(p)
}

func (s *Server) reason(late time.Duration) string {
	if late < s.cfg.Patience {
		return fmt.Sprintf("no promise for %s", 2*s.cfg.Patience)
	}
	return fmt.Sprintf("no answer for %s", late.Round(time.Millisecond))
}

// firstDistrust is what part of Config.Distrust it takes until a peer is trusted
// again that was good before: a hiccup must not keep slots from moving for seconds.
const firstDistrust = 8

// distrust keeps copies from being made at a peer until it has been good for a
// while: a short one at first, and twice as long each time that it follows another
// closely, so that copies aren't made and dropped over and over.
func (s *Server) distrust(p *peer) {
	if most := int64(s.cfg.Distrust); p.distrust == 0 || s.now.Mono-p.distrust > 4*most {
		p.wary = most / firstDistrust
	} else if s.now.Mono > p.distrust {
		p.wary = min(2*p.wary, most)
	}
	p.distrust = s.now.Mono + p.wary
}

// lateness is for how long p has owed an answer that others wait for. While there is
// no connection a Filling copy owes one, too: what is written goes into its queue,
// and nobody waits for it.
func (s *Server) lateness(p *peer) (late time.Duration) {
	if !p.up && p.owed && p.queue.len() > 0 {
		return time.Duration(s.now.Mono - max(p.queue.at(0).at, s.awake))
	}
	for i := range p.queue.len() {
		if q := p.queue.at(i); q.waits && !q.w.done {
			late = time.Duration(s.now.Mono - max(q.at, s.awake))
			break
		}
	}
	return late
}

// mute says that p, which slots can't be served without, has promised nothing for
// so long that it is time to go on without it: before its last promise is over, if
// there ever was one.
func (s *Server) mute(p *peer) bool {
	last := max(p.metAt, s.awake, p.granted-int64(s.cfg.Lease-s.cfg.Margin))
	return s.now.Mono-last >= 2*int64(s.cfg.Patience) && p.needed
}

func (s *Server) forget(p *peer) {
	delete(s.peers, p.boot)
	for i := range s.order {
		if s.order[i] == p {
			s.order = append(s.order[:i], s.order[i+1:]...)
			return
		}
	}
}

// sweep removes entries that have expired, and forgets writes of long ago, in some
// of the slots.
func (s *Server) sweep() {
	for range sweepSlots {
		sl := &s.slots[s.sweepAt]
		s.sweepAt = (s.sweepAt + 1) % len(s.slots)
		if sl.role == none {
			continue
		}
		for i := len(sl.list) - 1; i >= 0; i-- {
			if e := sl.list[i]; e.pending == nil && expired(&e.Entry, s.now.Wall) {
				s.drop(sl, e)
			}
		}
		sl.forgetOps(s.now.Wall - int64(s.cfg.Remember))
	}
}

// Settled says that this server has its share: as many slots as it shall have at
// least, all served, and that it is no copy that is yet to join.
func (s *Server) Settled() bool {
	if s.cur == nil || s.me == slots.None {
		return false
	}
	servers, mine := 0, 0
	for _, at := range s.cur.Servers {
		if !at.Dead && !at.Leaving {
			servers++
		}
	}
	for i := range s.cur.Rows {
		row := &s.cur.Rows[i]
		if row.Primary == s.me {
			if s.slots[i].role != serving {
				return false
			}
			mine++
		} else if state, ok := row.Copy(s.me); ok && state != slots.InSync {
			return false
		}
	}
	return servers > 0 && mine >= slots.Count/servers
}

// Silent returns the peers, and the Master, to whom there is a connection over
// which nothing has come back for a lease. It is better made anew: if the network
// lost packets, TCP sends them again later and later, and comes back seconds after
// the network has.
func (s *Server) Silent(now Time) (silent []slots.Boot) {
	if m := &s.master; m.up && now.Mono-max(m.heard, s.awake) >= int64(s.cfg.Lease) {
		m.heard = now.Mono
		silent = append(silent, Master)
	}
	for _, p := range s.order {
		if p.up && p.index != slots.None && now.Mono-max(p.heard, s.awake) >= int64(s.cfg.Lease) {
			p.heard = now.Mono
			silent = append(silent, p.boot)
		}
	}
	return silent
}
