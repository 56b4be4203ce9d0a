package ring

import (
	"errors"
	"fmt"
	"time"

	"github.com/torc-dht/torc/chord/internal/place"
)

// ErrTaken: a living node has this node's identifier.
var ErrTaken = errors.New("the identifier is taken")

// joining is a node on its way in: it looks up who is to be before it, and takes that
// one's list (Zave's join). Nobody is told: the others learn of it when it stabilises.
type joining struct {
	contact Ref
	again   time.Duration // when it is tried again
}

// Join has a node that has not been in any ring join the one that contact is in. It
// tries until it is a member, or Output.Refused says that it can't be.
func (r *Ring) Join(now time.Duration, contact Ref) {
	r.at(now)
	r.member = false
	r.join = &joining{contact: contact}
	r.tryJoin()
}

func (r *Ring) tryJoin() {
	r.join.again = r.now + 10*r.c.Patience
	r.ask = nil
	r.lookup(r.c.Self.Place, r.join.contact, joinLookup)
}

// failed has it tried again in a while.
func (j *joining) failed(r *Ring) { j.again = r.now + r.c.Patience }

// joinFound goes on with who answered that this node's place is between it and its
// first successor.
func (r *Ring) joinFound(f *Found) {
	j := r.join
	switch {
	case j == nil:
	case f.Err != nil:
		j.failed(r)
	case f.Owner.Place == r.c.Self.Place:
		r.question(ofTaken, f.Owner, KindAlive)
	default:
		r.question(ofJoin, f.Before, KindAsk)
	}
}

func (r *Ring) refuse(by Ref) {
	r.join = nil
	r.out.Refused = fmt.Errorf("%w: %v is %s", ErrTaken, by.Place, by.Addr)
}

func (r *Ring) joinAnswered(m *Message) {
	first := m.From
	if len(m.List) > 0 {
		first = m.List[0]
	}
	self := r.c.Self.Place
	switch {
	case m.From.Place == self:
		r.refuse(m.From)
		return
	case first.Place == self:
		r.question(ofTaken, first, KindAlive)
		return
	case !place.Inside(m.From.Place, self, first.Place):
		r.join.failed(r) // somebody else has come between
		return
	}
	r.join, r.member = nil, true
	r.setList(r.listOf(first, append(m.List[min(1, len(m.List)):len(m.List):len(m.List)], m.From)))
	if !r.c.Bugs.PublishedJoin {
		r.setPrdc(m.From)
	}
	r.out.Joined = true
	r.soon()
}
