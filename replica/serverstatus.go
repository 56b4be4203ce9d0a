package replica

import (
	"fmt"
	"slices"
	"time"

	"github.com/torc-dht/torc/replica/internal/msg"
	"github.com/torc-dht/torc/replica/internal/node"
)

// memberStates are the core's roles.
var memberStates = map[node.Role]MemberState{
	node.Leader: MemberLeader, node.Follower: MemberFollower, node.Learner: MemberLearner,
	node.Joining: MemberJoining, node.Down: MemberDown,
}

// status is how the table stands.
func (l *serverLoop) status() Status {
	core := l.core.Status()
	st := Status{
		Self: l.addrs[l.self], Servers: l.addrs,
		Serving: core.Serving, View: core.View, Leader: l.addrOf(core.Leader),
		Term: core.Term, Applied: core.Applied,
		Keys: uint64(core.Keys), Bytes: core.Bytes, Merged: core.Merged, Dropped: core.Dropped,
		Forgotten: []string{},
	}
	if core.Lineage.Epoch != (msg.Epoch{}) {
		st.Epoch = Epoch{Number: core.Lineage.Epoch.Number, Founder: fmt.Sprintf("%016x", uint64(core.Lineage.Epoch.Founder))}
		st.Degraded = !core.Lineage.Normal
		st.Since = time.UnixMilli(int64(core.Since))
	}
	for _, m := range core.Members {
		heard := -1.0
		if m.Heard >= 0 {
			heard = m.Heard.Seconds()
		}
		st.Members = append(st.Members, MemberStatus{Addr: l.addrs[m.Slot], State: memberStates[m.Role], Lag: m.Lag, Heard: heard})
	}
	for _, m := range core.Members {
		if slices.Contains(core.Forgot, m.Slot) && (m.Role == node.Down || m.Role == node.Joining) {
			st.Forgotten = append(st.Forgotten, l.addrs[m.Slot])
		}
	}
	return st
}

// addrOf is the address of the server at slot; "" for none.
func (l *serverLoop) addrOf(slot int) string {
	if slot < 0 || slot >= len(l.addrs) {
		return ""
	}
	return l.addrs[slot]
}

// leaderAddr is the address of the leader; "" if none is known. It is for any
// goroutine.
func (l *serverLoop) leaderAddr() string { return l.addrOf(int(l.leader.Load())) }
