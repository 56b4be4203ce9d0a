package node

import (
	"github.com/torc-dht/torc/replica/internal/msg"
	"github.com/torc-dht/torc/replica/internal/state"
)

// Insight is what a simulation sees of a node beyond what it tells people. Nothing
// of it may be changed, or kept for later.
type Insight struct {
	ID      msg.ID
	View    *msg.View    // the last committed one; nil: it is in no epoch, or has nothing of it yet
	State   *state.State // as of Applied; nil likewise
	Label   uint64       // that answers bear
	Leads   bool
	Term    uint64
	Applied uint64
	Last    uint64 // the index of the last entry in the log
	Holds   bool   // it has left an epoch and keeps what it had, until it is a member again
}

// Inspect looks into the node. It is cheap.
func (n *Node) Inspect() Insight {
	in := Insight{ID: n.me, Holds: n.old != nil}
	if g := n.g; g != nil && g.st != nil {
		in.View, in.State = g.view(), g.st
		in.Label = g.label()
		in.Leads, in.Term, in.Applied, in.Last = g.leads(), g.term, g.applied, g.last
	}
	return in
}
