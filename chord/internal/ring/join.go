package ring

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/torc-dht/torc/chord/internal/place"
)

// ErrTaken: a living node has this node's identifier. It comes in Output.Refused, of a
// node that joins; and of a member, when two rings meet that both have such a node.
var ErrTaken = errors.New("the identifier is taken")

// joining is a node on its way in: it looks up who is to be before it, and takes that
// one's list (Zave's join). Nobody is told: the others learn of it when it stabilises.
type joining struct {
	contacts []Ref         // who can be asked the way, the next first
	again    time.Duration // when it is tried again
}

// maxContacts is how many of them are kept.
const maxContacts = 8

// Join has a node that has not been in any ring join the one that contact is in. It
// tries until it is a member (Output.Joined), or Output.Refused says that it can't be:
// ErrTaken. If contact dies meanwhile it goes on by those it was led to.
func (r *Ring) Join(now time.Duration, contact Ref) {
	r.at(now)
	r.member = false
	r.join = &joining{contacts: []Ref{contact}}
	r.tryJoin()
}

func (r *Ring) tryJoin() {
	j := r.join
	j.again = r.now + 10*r.c.Patience
	r.ask = nil
	r.lookup(r.c.Self.Place, j.contacts[0], joinLookup)
}

// learn keeps who else could be asked the way.
func (j *joining) learn(ps []Ref) {
	for _, p := range ps {
		if len(j.contacts) < maxContacts && !slices.Contains(j.contacts, p) {
			j.contacts = append(j.contacts, p)
		}
	}
}

// turn puts the next contact first. Who was silent gets another turn.
func (j *joining) turn() {
	j.contacts = append(j.contacts[1:len(j.contacts):len(j.contacts)], j.contacts[0])
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
		j.turn()
		j.failed(r)
	case f.Owner.Place == r.c.Self.Place:
		r.question(ofTaken, f.Owner, KindAlive)
	default:
		r.question(ofJoin, f.Before, KindEnter)
	}
}

func (r *Ring) refuse(by Ref) {
	r.join, r.member = nil, false
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

// guest is who was let in last, between this node and its first successor.
type guest struct {
	node  Ref
	until time.Duration
}

// crowded tells whether p, who wants to join, has to wait. As long as the ring is
// smaller than the lists are long, one joins at a time: of two who have both been told
// of this node alone, neither would know the other if it dies.
func (r *Ring) crowded(p Ref) bool {
	g := &r.guest
	first := r.Successor()
	switch {
	case len(r.list) == r.c.List || !place.Inside(r.c.Self.Place, p.Place, first.Place):
		return false
	case !g.node.None() && g.node != p && g.node != first && r.now < g.until && !r.suspected(g.node):
		return true
	case !r.busy():
		// The guest is a member in a round trip, and found in this node's next round.
		*g = guest{p, r.now + 2*(r.c.Period+r.c.Jitter) + 4*r.c.Patience}
	}
	return false
}
