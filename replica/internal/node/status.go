package node

import (
	"slices"
	"time"

	"github.com/torc-dht/torc/replica/internal/msg"
)

// Role is what a node is to another one's eyes.
type Role string

// The roles.
const (
	Leader   Role = "leader"
	Follower Role = "follower" // a member that votes
	Learner  Role = "learner"  // a member that doesn't
	Joining  Role = "joining"  // not a member yet
	Down     Role = "down"
)

// Status says how a node sees its table.
type Status struct {
	ID       msg.ID
	Lineage  msg.Lineage // zero while it is in none
	View     uint64
	Since    uint64 // of the view, milliseconds since 1970
	Leader   int    // the slot, -1: none known
	Term     uint64
	Applied  uint64
	Last     uint64
	Seq      uint64 // writes
	Serving  bool   // operations that come now can be carried out
	Members  []MemberStatus
	Keys     int
	Bytes    uint64
	Merged   uint64 // writes of given-up epochs that were taken over, and
	Dropped  uint64 // that were not
	Forgot   []int
	InFlight int
}

// MemberStatus is how one slot stands.
type MemberStatus struct {
	Slot  int
	Role  Role
	Lag   uint64        // entries that it lacks, known at the leader alone
	Heard time.Duration // ago; negative: never
}

// Status returns how things stand. It allocates; it is for people and scrapes.
func (n *Node) Status() Status {
	s := Status{ID: n.me, Leader: -1, InFlight: n.active}
	g := n.g
	var v *msg.View
	lag := make(map[msg.ID]uint64)
	if g != nil && g.st != nil {
		v = g.view()
		s.Lineage, s.View, s.Since = v.Lineage, v.Number, v.Since
		s.Term, s.Applied, s.Last = g.term, g.applied, g.last
		s.Seq, s.Keys, s.Bytes = g.st.Seq(), g.st.Len(), g.st.Bytes()
		s.Merged, s.Dropped = g.st.Dropped()
		if n.led() {
			s.Leader = g.lead.Slot()
		}
		s.Serving = g.leads() && n.open(g) && !n.refuses(g) || !g.leads() && g.member() && n.led()
		if g.leads() {
			g.matched(func(id msg.ID, match uint64) { lag[id] = g.last - min(match, g.last) })
		}
		for _, f := range v.Forgotten {
			s.Forgot = append(s.Forgot, f.Slot())
		}
	}
	for slot := range n.c.Slots {
		m := MemberStatus{Slot: slot, Role: Down, Heard: -1}
		switch {
		case slot == n.c.Slot:
			m.Heard = 0
		case n.peers[slot].ever:
			m.Heard = n.now - n.peers[slot].heard
		}
		in := -1
		if v != nil {
			in = slices.IndexFunc(v.Members, func(id msg.ID) bool { return id.Slot() == slot })
		}
		switch {
		case in >= 0 && slot == s.Leader:
			m.Role = Leader
		case in >= 0:
			m.Role = Learner
			if slices.Contains(voterIDs(g.conf()), v.Members[in]) {
				m.Role = Follower
			}
			m.Lag = lag[v.Members[in]]
		case slot == n.c.Slot || n.hears(slot):
			m.Role = Joining
		}
		s.Members = append(s.Members, m)
	}
	return s
}

// forgetAsked carries out, at the leader, a person's word that a server won't come
// back. One that is a member, or was heard lately, is not given up.
func (n *Node) forgetAsked(g *group, f *flight) {
	slot := int(min(f.op.Version.Seq, msg.MaxNodes))
	if slot >= n.c.Slots || !n.peerForgettable(slot) || slotIn(g.view(), slot) {
		n.finish(f, msg.Result{Status: msg.Conflict})
		return
	}
	g.lead_.forget |= 1 << slot
	n.mindSoon = true
	n.finish(f, msg.Result{Status: msg.OK, Degraded: g.label()})
}

func (n *Node) peerForgettable(slot int) bool { return slot != n.c.Slot && !n.hears(slot) }

// Leader returns the slot of who leads, as far as is known, or -1. It is cheap.
func (n *Node) Leader() int {
	if n.led() {
		return n.g.lead.Slot()
	}
	return -1
}
