package ring

import (
	"slices"
	"time"

	"github.com/torc-dht/torc/chord/internal/place"
)

// purpose is what a question is asked for.
type purpose uint8

const (
	ofFirst     purpose = iota // the first successor, for its predecessor and list
	ofCandidate                // the first successor's predecessor, for the same
	ofOld                      // the predecessor, whether it lives
	ofJoin                     // who is to be before this node, for its list
	ofTaken                    // who has this node's identifier, whether it lives
)

// question is the one that a node has open. While it has, it doesn't tell its own
// list, which is about to change (Zave: what answers under way say counts as well).
type question struct {
	purpose  purpose
	to       Ref
	kind     Kind
	nonce    uint64
	wait     wait
	newcomer Ref // ofOld: whose notice it is about
}

func (r *Ring) question(p purpose, to Ref, k Kind) {
	r.nonce++
	r.ask = &question{purpose: p, to: to, kind: k, nonce: r.nonce, wait: r.patience()}
	r.send(to, Message{Kind: k, Nonce: r.nonce})
}

// stabilise begins a round: Zave's "stabilise from successor". A node alone asks
// whomever it knows.
func (r *Ring) stabilise() {
	if len(r.list) > 0 {
		r.question(ofFirst, r.list[0], KindAsk)
	} else if p := r.anybody(); !p.None() {
		r.question(ofCandidate, p, KindAsk)
	}
}

// anybody is who a node whose list is empty asks: who was hinted at; its predecessor,
// for whoever is that will be its successor, too; the nearest of its fingers; or nobody.
func (r *Ring) anybody() (best Ref) {
	if p := r.hinted(); !p.None() {
		return p
	}
	if !r.prdc.None() && !r.suspected(r.prdc) {
		return r.prdc
	}
	for _, p := range r.fingers {
		if !p.None() && p != r.c.Self && !r.suspected(p) && (best.None() || place.Inside(r.c.Self.Place, p.Place, best.Place)) {
			best = p
		}
	}
	return best
}

// busy tells whether the list is about to change.
func (r *Ring) busy() bool { return r.ask != nil && r.ask.purpose != ofOld }

// asked answers with predecessor and list, or that they aren't to be had just now.
func (r *Ring) asked(m *Message, busy bool) {
	a := Message{Kind: KindState, Nonce: m.Nonce, Busy: busy || r.busy()}
	if !a.Busy {
		a.Predecessor, a.List = r.prdc, r.list
	}
	r.send(m.From, a)
}

// answered takes the answer to the open question.
func (r *Ring) answered(m *Message) {
	if r.fingerAnswered(m) || r.heirAnswered(m) {
		return
	}
	q := r.ask
	if q == nil || q.nonce != m.Nonce || q.to != m.From {
		return
	}
	r.ask = nil
	if m.Busy {
		if q.purpose == ofJoin {
			r.join.again = r.now + min(r.c.Patience, r.c.Period)
		} else {
			r.later()
		}
		r.idle()
		return
	}
	switch q.purpose {
	case ofFirst:
		r.setList(r.listOf(m.From, m.List))
		p := m.Predecessor
		if !p.None() && p != r.c.Self && p.Place == r.c.Self.Place && !r.doubted(p) {
			r.question(ofTaken, p, KindAlive) // two rings have met
			return
		}
		if p.None() || !r.followed(p) || r.doubted(p) {
			p = r.hinted()
		}
		if !p.None() {
			if r.c.Bugs.PublishedJoin {
				r.setList(r.listOf(p, r.list))
				break
			}
			r.question(ofCandidate, p, KindAsk)
			return
		}
	case ofCandidate:
		r.unhint(m.From)
		if r.followed(m.From) {
			r.adopt(m)
		}
	case ofOld:
		// It lives, and the newcomer is before it.
		r.idle()
		return
	case ofJoin:
		r.joinAnswered(m)
		return
	case ofTaken:
		r.refuse(m.From)
		return
	}
	r.notify()
	r.idle()
}

// followed tells whether p would be a closer successor than the first.
func (r *Ring) followed(p Ref) bool {
	return len(r.list) == 0 || place.Inside(r.c.Self.Place, p.Place, r.list[0].Place)
}

// adopt takes who has answered, and is closer, as the first successor. If that one
// doesn't know the old one it is told, since there may be nobody else who does: so it
// is when two rings merge.
func (r *Ring) adopt(m *Message) {
	if old := r.Successor(); len(r.list) > 0 && !slices.Contains(m.List, old) {
		r.send(m.From, Message{Kind: KindMeet, Nonce: maxPassed, List: []Ref{old}})
		if len(m.List) == 0 {
			return // it is alone: with its list, this node would be soon, too
		}
	}
	if len(r.list) == 0 {
		r.lookSoon() // that one may be far away
	}
	r.setList(r.listOf(m.From, m.List))
	// There may be others before that one: many that joined between two rounds are
	// found in as many answers, and not in as many rounds.
	r.soon()
}

// notify tells the first successor that this node is before it.
func (r *Ring) notify() {
	if len(r.list) > 0 {
		r.send(r.list[0], Message{Kind: KindNotify})
	}
}

// silent ends a question that p doesn't answer.
func (r *Ring) silent(p Ref) {
	q := r.ask
	r.ask = nil
	r.miss(p)
	r.unhint(p)
	switch q.purpose {
	case ofFirst:
		// One dead entry a step: the next one is told, and asked in the next.
		if len(r.list) > 0 && r.list[0] == p {
			r.dropFirst()
		}
	case ofCandidate:
		if r.prdc == p && len(r.list) == 0 {
			r.setPrdc(Ref{})
		}
		if len(r.list) == 0 {
			r.soon() // there may be somebody else to ask
		}
		r.notify()
	case ofOld:
		if r.prdc == p {
			r.setPrdc(q.newcomer)
		}
	case ofJoin, ofTaken:
		if r.join != nil {
			r.join.failed(r)
		}
		r.notify()
	}
	r.idle()
}

// later puts the next round off by a little, by chance: two that ask each other at
// one time would both be busy again.
func (r *Ring) later() {
	r.round = r.now + 1 + time.Duration(r.c.Rand.Int64N(int64(r.c.Patience)))
}

// noticed takes p's notice that it is the predecessor. A notice is never lost: who
// comes while a question is open waits, and nobody waits twice.
func (r *Ring) noticed(p Ref) {
	if r.ask != nil {
		if !slices.Contains(r.notices, p) {
			r.notices = append(r.notices, p)
		}
		return
	}
	r.rectify(p)
	r.idle()
}

// idle looks at the notices that came meanwhile.
func (r *Ring) idle() {
	for r.ask == nil && len(r.notices) > 0 {
		p := r.notices[0]
		r.notices = r.notices[1:]
		r.rectify(p)
	}
}

// rectify takes p for the predecessor if it is closer than that, or that is dead.
func (r *Ring) rectify(p Ref) {
	old := r.prdc
	switch {
	case p == old || p == r.c.Self || r.suspected(p):
	case old.None() || r.suspected(old) || place.Inside(old.Place, p.Place, r.c.Self.Place) || r.c.Bugs.SkipRectify:
		r.setPrdc(p)
		if len(r.list) == 0 {
			r.soon()
		}
	default:
		r.question(ofOld, old, KindAlive)
		r.ask.newcomer = p
	}
}

// dropFirst leaves out the first successor, who is dead: the next one is told.
func (r *Ring) dropFirst() {
	r.setList(slices.Clone(r.list[1:]))
	r.dropped()
}

func (r *Ring) dropped() {
	if len(r.list) == 0 && len(r.hints) == 0 {
		r.lonely()
	}
	r.notify()
	r.soon()
}

// lonely: the whole list is lost, and with it the order of the ring. Those that are
// still known may be in one ring or in several: they are looked for as if they were lost.
func (r *Ring) lonely() {
	if r.suspected(r.prdc) {
		r.setPrdc(Ref{})
	}
	r.remember(r.prdc)
	for _, p := range r.fingers {
		r.remember(p)
	}
	r.lookSoon()
}
