package ring

import (
	"time"

	"github.com/torc-dht/torc/chord/internal/place"
)

// Kind is what a message is.
type Kind uint8

// The kinds of message. Each question has a Nonce, which its answer repeats.
const (
	KindAsk    Kind = iota + 1 // for predecessor and list
	KindState                  // Predecessor, List; or Busy: ask again
	KindNotify                 // the sender thinks it is the predecessor
	KindAlive                  // is anybody there?
	KindYes                    // an answer to that
	KindStep                   // of a lookup of Target; List: who is known to be silent
	KindNext                   // List: Done: its one is the owner; else who to ask next, the best first
	KindEnter                  // of one who joins: KindAsk of who is to be before it
	KindMeet                   // List: one who may be missing from the receiver's ring; Nonce: how often it may be passed on
)

// Message is what nodes tell each other. It holds on to what its sender's lists are
// made of, which nobody changes.
type Message struct {
	Kind        Kind
	Nonce       uint64
	From        Ref
	Target      place.Place
	Predecessor Ref
	List        []Ref
	Busy, Done  bool
}

// Receive takes a message. Whoever sent it is alive, unless it said goodbye. m isn't kept, but its List is, and
// must not be changed any more. What is late, doubled or not asked for does no harm.
func (r *Ring) Receive(now time.Duration, m *Message) {
	r.at(now)
	if r.gone[m.From].left {
		return // it was sent before
	}
	r.heard(m.From)
	if !r.member {
		switch m.Kind {
		case KindState, KindYes, KindNext:
		default:
			return // it has nothing to tell yet
		}
	}
	switch m.Kind {
	case KindAsk:
		r.asked(m, false)
	case KindEnter:
		r.asked(m, r.crowded(m.From))
	case KindState, KindYes:
		r.answered(m)
	case KindMeet:
		if len(m.List) > 0 {
			r.meet(m.List[0], m.Nonce)
		}
	case KindNotify:
		r.noticed(m.From)
	case KindAlive:
		r.send(m.From, Message{Kind: KindYes, Nonce: m.Nonce})
	case KindStep:
		r.stepAsked(m)
	case KindNext:
		r.stepAnswered(m)
	}
}
