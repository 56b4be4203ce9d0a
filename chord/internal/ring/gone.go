package ring

import (
	"slices"
	"time"
)

// absence is since when a node counts as gone.
type absence struct {
	at   time.Duration
	left bool // it said so itself
}

const (
	// suspectFor is how long, in patiences, who didn't answer is passed over where
	// somebody else will do, unless it is heard.
	suspectFor = 50
	// doubtFor is how long others aren't believed that it lives: by then they know
	// better, or this node was wrong, since there are messages that get lost.
	doubtFor = 3
	// manyGone is when those who count as gone no longer are looked through.
	manyGone = 256
)

// suspected tells whether p hasn't answered lately, or has left.
func (r *Ring) suspected(p Ref) bool {
	if len(r.gone) == 0 {
		return false
	}
	a, is := r.gone[p]
	if is && r.now-a.at > suspectFor*r.c.Patience {
		delete(r.gone, p)
		return false
	}
	return is
}

// doubted tells whether p hasn't answered just now, or has left.
func (r *Ring) doubted(p Ref) bool {
	return r.suspected(p) && (r.gone[p].left || r.now-r.gone[p].at <= doubtFor*r.c.Patience)
}

// miss notes that p doesn't answer. Who was known to this node is remembered.
func (r *Ring) miss(p Ref) {
	if r.gone[p].left {
		return
	}
	r.note(p, absence{at: r.now})
	if p == r.prdc || slices.Contains(r.list, p) || slices.Contains(r.fingers, p) {
		r.remember(p)
	}
}

func (r *Ring) note(p Ref, a absence) {
	if r.gone == nil {
		r.gone = make(map[Ref]absence)
	}
	r.gone[p] = a
	if len(r.gone) > manyGone {
		for p := range r.gone {
			r.suspected(p)
		}
	}
}

// Suspects are those who count as gone, in order of place: who didn't answer, or was
// named by Dead, Suspect or Bye, and was not heard since. After a while they no longer
// count, and are asked again when somebody names them. The slice is the caller's.
func (r *Ring) Suspects() []Ref {
	var all []Ref
	for p := range r.gone {
		if r.suspected(p) {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(p, q Ref) int { return p.compare(q) })
	return all
}

// Dead tells that nobody listens any more where p did: what p is asked is not answered,
// and p is taken out of list, fingers and predecessor. It is remembered if it was one of
// those, since a network that is cut can look like this.
func (r *Ring) Dead(now time.Duration, p Ref) {
	r.at(now)
	r.miss(p)
	r.lose(p)
}

// Suspect tells that p has been silent for so long that it counts as dead, as somebody
// else found out. It is remembered, and otherwise as with Dead.
func (r *Ring) Suspect(now time.Duration, p Ref) {
	r.at(now)
	r.miss(p)
	r.remember(p)
	r.lose(p)
}

// Heard tells that p lives, as somebody else found out: it doesn't count as gone any
// more. Of whom a message is received this is known.
func (r *Ring) Heard(now time.Duration, p Ref) {
	r.at(now)
	r.heard(p)
}

// Bye tells that p, by its own word, is no longer in the ring: it left or failed, which
// is all the same here. It is taken out of list, fingers and predecessor at once, and
// not remembered. Who was its predecessor, and its list, can be neighbours now; they are
// asked before they are.
func (r *Ring) Bye(now time.Duration, p Ref, prdc Ref, list []Ref, _ bool) {
	r.at(now)
	before, after := r.prdc == p, len(r.list) > 0 && r.list[0] == p
	r.note(p, absence{at: r.now, left: true})
	r.forget(p)
	if after {
		r.setList(slices.Clone(r.list[1:]))
		for _, s := range list {
			r.hint(s)
		}
		r.dropped()
	}
	r.lose(p)
	if before && prdc != r.c.Self && !prdc.None() && r.prdc.None() {
		r.nonce++
		r.heir = heir{prdc, r.nonce}
		r.send(prdc, Message{Kind: KindAlive, Nonce: r.nonce})
	}
}

// heir is the predecessor of a predecessor that left, who is asked whether it lives.
type heir struct {
	node  Ref
	nonce uint64
}

// heirAnswered tells whether m is the answer of one.
func (r *Ring) heirAnswered(m *Message) bool {
	if r.heir.nonce == 0 || m.Kind != KindYes || m.Nonce != r.heir.nonce || m.From != r.heir.node {
		return false
	}
	r.heir = heir{}
	r.noticed(m.From)
	return true
}

// lose takes p, who is gone, out of all this node has.
func (r *Ring) lose(p Ref) {
	is := func(o Ref) bool { return o == p }
	r.unhint(p)
	r.notices = slices.DeleteFunc(r.notices, is)
	for k := range r.fingers {
		if r.fingers[k] == p {
			r.fingers[k] = Ref{}
		}
	}
	if r.prdc == p {
		r.setPrdc(Ref{})
	}
	if q := r.ask; q != nil && q.to == p {
		r.silent(p)
	}
	switch i := slices.Index(r.list, p); {
	case i == 0:
		r.dropFirst()
	case i > 0:
		r.setList(slices.DeleteFunc(slices.Clone(r.list), is))
	}
	if f := &r.refresh; f.nonce != 0 && f.found == p {
		r.fingerSilent()
	}
	for _, l := range r.asking(p) {
		r.lookupSilent(l)
	}
}
