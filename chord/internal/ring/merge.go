package ring

import (
	"slices"

	"github.com/torc-dht/torc/chord/internal/place"
)

const (
	// maxPassed is how often one who may be missing from a ring is passed on to
	// whoever is to be before it.
	maxPassed = 8
	// maxHints is how many of them wait to be asked.
	maxHints = 8
)

// merge finds out whether p, who was lost and lives, is in this ring, and makes one of
// two if not, as Shafaat, Ghodsi and Haridi do (2007): both rings are asked who is
// around the other one's node. Each of those takes it in between; whom it had there
// itself is told to the one that it took, who does the same; and so the two rings are
// closed like a zip, from there on clockwise. p is remembered until both rings lead to
// both.
func (r *Ring) merge(p Ref) {
	m := &r.memory
	m.with, m.open, m.apart = p, 2, false
	r.begin(&lookup{kind: ownLookup, target: r.c.Self.Place, about: p}, p)
	if r.near(p) {
		m.apart = m.apart || !slices.Contains(r.list, p)
		r.hint(p)
		r.merged()
	} else {
		r.begin(&lookup{kind: meetLookup, target: p.Place, about: p, left: maxPassed}, r.c.Self)
	}
}

// merged is called when one of merge's lookups has ended.
func (r *Ring) merged() {
	m := &r.memory
	if m.open--; m.open > 0 {
		return
	}
	m.again = r.now + r.c.Period
	if !m.apart {
		r.forget(m.with)
		r.lookSoon() // others are back as well, it seems
	}
	m.with = Ref{}
}

// ownFound takes the end of a lookup of this node's place, through somebody. If it
// doesn't lead here, whoever is before this place there is told, and who is after it is
// asked.
func (r *Ring) ownFound(f *Found, through Ref) {
	apart := f.Err != nil || f.Owner != r.c.Self
	if f.Err == nil && apart && f.Owner.Place != r.c.Self.Place {
		r.hint(f.Owner)
		r.send(f.Before, Message{Kind: KindMeet, Nonce: maxPassed, List: []Ref{r.c.Self}})
	}
	if !through.None() {
		r.memory.apart = r.memory.apart || apart
		r.merged()
	}
}

// near tells whether p is this node's first successor, or is to be.
func (r *Ring) near(p Ref) bool {
	return len(r.list) == 0 || place.Between(r.c.Self.Place, p.Place, r.list[0].Place)
}

// meet has p, who may be missing from the ring, found by who is to be before it.
func (r *Ring) meet(p Ref, left uint64) {
	switch {
	case p == r.c.Self || p.None() || slices.Contains(r.list, p):
	case r.near(p):
		r.hint(p)
	case left > 0:
		r.begin(&lookup{kind: meetLookup, target: p.Place, about: p, left: min(left, maxPassed) - 1}, r.c.Self)
	}
}

// meetFound passes p on, unless the ring leads to it.
func (r *Ring) meetFound(f *Found, p Ref, left uint64) {
	apart := f.Err != nil || f.Owner != p
	if f.Err == nil && apart && f.Owner.Place != p.Place {
		if f.Before == r.c.Self {
			r.hint(p)
		} else {
			r.send(f.Before, Message{Kind: KindMeet, Nonce: left, List: []Ref{p}})
		}
	}
	if p == r.memory.with {
		r.memory.apart = r.memory.apart || apart
		r.merged()
	}
}

// hint has p asked, soon, whether it is a closer successor than the first.
func (r *Ring) hint(p Ref) {
	if p == r.c.Self || p.None() || !r.followed(p) || r.doubted(p) || slices.Contains(r.hints, p) {
		return
	}
	if len(r.hints) == maxHints {
		r.hints = slices.Delete(r.hints, 0, 1)
	}
	r.hints = append(r.hints, p)
	r.soon()
}

// hinted is the nearest of those who were hinted at; nobody if none is closer than the
// first successor, any more.
func (r *Ring) hinted() (best Ref) {
	r.hints = slices.DeleteFunc(r.hints, func(p Ref) bool { return !r.followed(p) })
	for _, p := range r.hints {
		if best.None() || place.Inside(r.c.Self.Place, p.Place, best.Place) {
			best = p
		}
	}
	return best
}

func (r *Ring) unhint(p Ref) {
	r.hints = slices.DeleteFunc(r.hints, func(o Ref) bool { return o == p })
}
