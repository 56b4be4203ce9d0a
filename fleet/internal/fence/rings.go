package fence

import (
	"sync"

	"github.com/torc-dht/torc/ring"
)

// rings are the rings of a history's views, one for each list of members,
// however many views have it. Each is made when it is first needed: a ring of a
// hundred servers takes a millisecond, and most views are never looked into.
type rings struct {
	cfg  Config
	lent map[string]*box
	made map[string]*box
}

// box is a ring, or the place for one.
type box struct {
	once    sync.Once
	cfg     Config
	members []ring.Member
	ring    ring.Ring
	err     error
}

func newRings(cfg Config, lent *rings) *rings {
	r := &rings{cfg: cfg, made: make(map[string]*box)}
	if lent != nil {
		r.lent = lent.made
	}
	return r
}

// box returns the place for the ring of members. Only NewHistory calls it.
func (r *rings) box(members []ring.Member) *box {
	name := signature(members)
	b := r.made[name]
	if b == nil {
		if b = r.lent[name]; b == nil {
			b = &box{cfg: r.cfg, members: members}
		}
		r.made[name] = b
	}
	return b
}

func (b *box) get() (ring.Ring, error) {
	b.once.Do(func() { b.ring, b.err = ring.New(b.cfg.Hash, b.cfg.VNodes, b.members) })
	return b.ring, b.err
}
