package sim

import (
	"math/rand/v2"
	"strings"
	"time"

	"github.com/torc-dht/torc/replica/internal/msg"
	"github.com/torc-dht/torc/replica/internal/node"
)

// newCore begins an incarnation: whatever it is to be called, no other was.
func (w *world) newCore(n *server) *node.Node {
	c := node.Config{
		Slot: n.slot, Slots: len(w.servers), Rand: n.port.Rand(),
		Wall:           func(time.Duration) uint64 { return w.wall(n.slot) },
		RefuseMinority: w.cfg.refuse,
		Sometimes:      w.covered,
		Bugs:           w.cfg.bugs,
	}
	if w.cfg.sameRand {
		c.Rand = rand.New(rand.NewPCG(w.cfg.seed, uint64(n.slot)))
	}
	return node.New(c, n.port.Now())
}

// stand is how a node stands by its own word.
type stand struct {
	epoch   msg.Epoch
	normal  bool
	view    uint64
	members []msg.ID
	member  bool // of the view
	holds   bool // something of an epoch that it has left
	leads   bool
	term    uint64
	applied uint64
}

func (n *server) stand() stand {
	in := n.core.Inspect()
	s := stand{holds: in.Holds, leads: in.Leads, term: in.Term, applied: in.Applied}
	if v := in.View; v != nil {
		s.epoch, s.normal, s.view, s.members, s.member = v.Lineage.Epoch, v.Lineage.Normal && in.Label == 0, v.Number, v.Members, v.Has(in.ID)
	}
	return s
}

// newer tells whether s is of a newer epoch or term than t.
func (s stand) newer(t stand) bool {
	if s.epoch.Number != t.epoch.Number {
		return s.epoch.Number > t.epoch.Number
	}
	return s.term > t.term
}

// contents is all that a node has applied, byte for byte.
func (n *server) contents() string {
	var b strings.Builder
	im := n.core.Inspect().State.Image()
	for last := false; !last; {
		var chunk []byte
		chunk, last = im.Next(1 << 20)
		b.Write(chunk)
	}
	return b.String()
}

// overTheWire is a message as its receiver gets it: as bytes, or as what was sent,
// which is as good unless somebody changes it.
func (w *world) overTheWire(m *msg.Message) *msg.Message {
	if !w.cfg.bytes {
		return m
	}
	got, err := msg.Decode(msg.Append(nil, m))
	if err != nil {
		w.fail("a message can't be read: %v: %s", err, describe(m))
		return m
	}
	return got
}
