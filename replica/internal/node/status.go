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

// Leader returns the slot of who leads, as far as is known, or -1. It is cheap.
func (n *Node) Leader() int {
	if n.led() {
		return n.g.lead.Slot()
	}
	return -1
}
