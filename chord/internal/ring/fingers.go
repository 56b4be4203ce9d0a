package ring

import "github.com/torc-dht/torc/chord/internal/place"

// refresh is where the refreshing of fingers is: finger k is the first node at or
// after self + 2^k.
type refresh struct {
	k      int
	left   int    // of this round
	lookup uint64 // under way; 0: none
	found  Ref    // who is asked whether it lives, before it becomes a finger
	nonce  uint64 // of that; 0: nobody is
	wait   wait
}

// refreshRound begins the fingers of a round. What is still under way from the last
// goes on.
func (r *Ring) refreshRound() {
	f := &r.refresh
	if f.nonce != 0 || f.lookup != 0 && r.lookupOpen(f.lookup) {
		return
	}
	f.lookup = 0
	f.left = r.c.Fingers
	if f.left == 0 {
		f.left = int(r.c.Circle)
	}
	r.refreshNext()
}

func (r *Ring) lookupOpen(number uint64) bool {
	for _, l := range r.lookups {
		if l.number == number {
			return true
		}
	}
	return false
}

// refreshNext refreshes fingers as far as this node knows them, and asks for the
// first that it doesn't.
func (r *Ring) refreshNext() {
	f := &r.refresh
	for f.left > 0 {
		if f.k >= len(r.fingers) {
			f.k = 0
		}
		first := r.Successor()
		if !place.Between(r.c.Self.Place, r.c.Circle.Plus(r.c.Self.Place, f.k), first.Place) {
			f.lookup = 0
			if n := r.lookup(r.c.Circle.Plus(r.c.Self.Place, f.k), r.c.Self, fingerLookup); r.lookupOpen(n) {
				f.lookup = n
			}
			return
		}
		r.setFinger(first)
	}
}

// setFinger makes p finger k, and those after it that it is as well: they cost
// nothing more.
func (r *Ring) setFinger(p Ref) {
	f := &r.refresh
	self := r.c.Self.Place
	for first := true; f.k < len(r.fingers) && (first || place.Between(self, r.c.Circle.Plus(self, f.k), p.Place)); first = false {
		r.fingers[f.k] = p
		f.k++
		f.left--
	}
	f.left = max(f.left, 0)
}

// fingerFound asks who was found, which isn't taken at another one's word.
func (r *Ring) fingerFound(found *Found) {
	f := &r.refresh
	f.lookup = 0
	switch {
	case found.Err != nil || r.doubted(found.Owner):
		r.skipFinger()
	case found.Owner == r.c.Self:
		r.setFinger(found.Owner)
		r.refreshNext()
	default:
		r.nonce++
		f.found, f.nonce, f.wait = found.Owner, r.nonce, r.patience()
		r.send(f.found, Message{Kind: KindAlive, Nonce: f.nonce})
	}
}

// skipFinger leaves finger k as it is, unless that is lost, and goes on.
func (r *Ring) skipFinger() {
	f := &r.refresh
	if f.k < len(r.fingers) && !r.fingers[f.k].None() && r.suspected(r.fingers[f.k]) {
		r.fingers[f.k] = Ref{}
	}
	f.k++
	f.left--
	if f.left > 0 {
		r.refreshNext()
	}
}

// tickFinger waits for who is to be a finger.
func (r *Ring) tickFinger() {
	f := &r.refresh
	switch {
	case f.nonce == 0:
	case r.over(&f.wait):
		r.fingerSilent()
	case r.again(&f.wait):
		r.send(f.found, Message{Kind: KindAlive, Nonce: f.nonce})
	}
}

func (r *Ring) fingerSilent() {
	r.refresh.nonce = 0
	r.miss(r.refresh.found)
	r.skipFinger()
}

// fingerAnswered tells whether m is an answer of a finger to be.
func (r *Ring) fingerAnswered(m *Message) bool {
	f := &r.refresh
	if m.Kind != KindYes || f.nonce == 0 || m.Nonce != f.nonce || m.From != f.found {
		return false
	}
	f.nonce = 0
	r.setFinger(m.From)
	r.refreshNext()
	return true
}
