package node

import (
	"slices"

	"github.com/torc-dht/torc/replica/internal/msg"
)

// A person may say that a server won't come back: then an epoch can become normal
// without it.

// forgetAsked takes that word, at the leader. A server that is a member, or was
// heard lately, is not given up: Conflict. The answer waits until the word is in the
// log.
func (n *Node) forgetAsked(g *group, f *flight) {
	slot := int(min(f.op.Version.Seq, msg.MaxNodes))
	if slot >= n.c.Slots || !n.forgettable(slot) || slotIn(g.view(), slot) {
		n.finish(f, msg.Result{Status: msg.Conflict})
		return
	}
	f.where = queued
	g.lead_.forgets = append(g.lead_.forgets, f)
	n.mindSoon = true
}

func (n *Node) forgettable(slot int) bool { return slot != n.c.Slot && !n.hears(slot) }

// mindForgotten answers what is in v, which is committed, and has next give up the
// others. Who has come back is not given up any more.
func (n *Node) mindForgotten(g *group, v, next *msg.View) {
	next.Forgotten = slices.DeleteFunc(slices.Clone(v.Forgotten), func(m msg.ID) bool { return slotIn(next, m.Slot()) })
	l := g.lead_
	l.forgets = slices.DeleteFunc(l.forgets, func(f *flight) bool {
		if f.where == landed {
			return true
		}
		slot := int(f.op.Version.Seq)
		switch {
		case givenUp(v, slot):
			n.finish(f, msg.Result{Status: msg.OK, Degraded: g.label()})
			return true
		case !n.forgettable(slot) || slotIn(next, slot):
			n.finish(f, msg.Result{Status: msg.Conflict})
			return true
		case !givenUp(next, slot):
			id := msg.NewID(slot, n.c.Rand.Uint64())
			if r := n.peers[slot].report; r != nil {
				id = r.ID
			}
			next.Forgotten = append(next.Forgotten, id)
		}
		return false
	})
}

func givenUp(v *msg.View, slot int) bool {
	return slices.ContainsFunc(v.Forgotten, func(m msg.ID) bool { return m.Slot() == slot })
}
