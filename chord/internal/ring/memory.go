package ring

import (
	"slices"
	"time"
)

// DefaultRecall is the mean time from one look for lost nodes to the next: rare enough
// for as long as they are remembered, and often enough for one ring half a minute after
// a cut has been mended.
const DefaultRecall = 5 * time.Second

// asks is how many of them are asked in one look, in turn.
const asks = 4

// maxLost is how many lost nodes are remembered: one that comes back is enough to find
// its ring.
const maxLost = 64

// memory is of the nodes that were lost, in the order in which they were.
type memory struct {
	lost []lost
	look time.Duration // when it is looked for them again
	turn int           // who of them was asked last
	// with is in a ring that may be another one, which is being found out; nobody:
	// none is. open are the lookups for it.
	with  Ref
	open  int
	apart bool
	again time.Duration // not before then
}

type lost struct {
	node  Ref
	until time.Duration
}

// Remembers tells whether nodes are remembered that were lost and can come back, perhaps
// with another ring: as long as that is so, what was removed here may still be there.
func (r *Ring) Remembers() bool { return len(r.memory.lost) > 0 }

// Remembered are the nodes that were lost not longer than Config.Remember ago, at most 64,
// and since then neither said goodbye, nor were started again, nor turned out to be in
// this ring; the longest lost first. When the whole list was lost, all that were known
// are among them. The slice is the caller's.
func (r *Ring) Remembered() []Ref {
	all := make([]Ref, 0, len(r.memory.lost))
	for _, l := range r.memory.lost {
		all = append(all, l.node)
	}
	return all
}

func (r *Ring) remember(p Ref) {
	if r.c.Remember <= 0 || p == r.c.Self || p.None() || r.gone[p].left {
		return
	}
	r.forget(p)
	m := &r.memory
	if len(m.lost) == maxLost {
		m.lost = slices.Delete(m.lost, 0, 1)
	}
	m.lost = append(m.lost, lost{p, r.now + r.c.Remember})
}

func (r *Ring) forget(p Ref) {
	r.memory.lost = slices.DeleteFunc(r.memory.lost, func(l lost) bool { return l.node == p })
}

func (r *Ring) remembered(p Ref) bool {
	return slices.ContainsFunc(r.memory.lost, func(l lost) bool { return l.node == p })
}

// heard notes that p lives. If it was lost, it may be in another ring by now.
func (r *Ring) heard(p Ref) {
	if r.gone[p].left {
		return
	}
	delete(r.gone, p)
	m := &r.memory
	if len(m.lost) == 0 {
		return
	}
	// Who was started again is no longer who it was.
	m.lost = slices.DeleteFunc(m.lost, func(l lost) bool { return l.node.Addr == p.Addr && l.node.Boot != p.Boot })
	if r.member && m.with.None() && r.now >= m.again && r.remembered(p) {
		r.merge(p)
	}
}

// looks tells whether this node looks for other rings.
func (r *Ring) looks() bool { return r.member && r.c.Remember > 0 }

func (r *Ring) nextLook() {
	if r.c.Remember > 0 {
		r.memory.look = r.now + r.c.Recall/2 + time.Duration(r.c.Rand.Int64N(int64(r.c.Recall)))
	}
}

// lookSoon has the next look in the next round.
func (r *Ring) lookSoon() { r.memory.look = min(r.memory.look, r.now+r.c.Period) }

// lookAround asks a few of the lost nodes whether they are there, and finds out whether
// the ring leads to this node.
func (r *Ring) lookAround() {
	r.nextLook()
	m := &r.memory
	m.lost = slices.DeleteFunc(m.lost, func(l lost) bool { return r.now >= l.until })
	for range min(asks, len(m.lost)) {
		m.turn = (m.turn + 1) % len(m.lost)
		r.nonce++
		r.send(m.lost[m.turn].node, Message{Kind: KindAlive, Nonce: r.nonce})
	}
	if len(r.list) > 0 {
		r.begin(&lookup{kind: ownLookup, target: r.c.Self.Place}, r.c.Self)
	}
}
