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
	KindStep                   // of a lookup of Target
	KindNext                   // List: Done: its one is the owner; else who to ask next, the best first
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

// Receive takes a message. Whoever sent it is alive.
func (r *Ring) Receive(now time.Duration, m *Message) {
	r.at(now)
	delete(r.gone, m.From)
	if !r.member {
		switch m.Kind {
		case KindState, KindYes, KindNext:
		default:
			return // it has nothing to tell yet
		}
	}
	switch m.Kind {
	case KindAsk:
		r.asked(m)
	case KindState, KindYes:
		r.answered(m)
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
