package master

import (
	"slices"

	"github.com/torc-dht/torc/shard/slots"
)

// setGoal makes the goal anew where those who shall have slots have changed, or it
// was asked for. Who is not heard yet after a restart belongs to them as before:
// nothing is decided from its absence.
func (m *Master) setGoal(next *slots.Map, f *facts) {
	var able []slots.Server
	var names []slots.Boot
	for i := range next.Servers {
		if at := &f.at[i]; !at.dead && !at.leaving && !at.forgotten {
			able = append(able, next.Servers[i])
			names = append(names, next.Servers[i].Boot)
		}
	}
	if m.rebalance {
		m.goal, m.goalFor = slots.GoalOf(next), nil
		m.rebalance, m.must = false, true // what is to be handed over follows from the next map
	}
	if m.goalFor == nil || !slices.Equal(names, m.goalFor) {
		m.goal = slots.Place(m.present(next, able), able, m.cfg.Placement, m.cfg.Copies)
		m.goalFor, m.wantFor = names, nil
		if names == nil {
			m.goalFor = []slots.Boot{}
		}
	}
	m.setWant(next)
}

// setWant brings the goal into a map's indices.
func (m *Master) setWant(on *slots.Map) {
	same := len(m.wantFor) == len(on.Servers) && m.wantFor != nil
	for i := 0; same && i < len(on.Servers); i++ {
		same = m.wantFor[i] == on.Servers[i].Boot
	}
	if same {
		return
	}
	m.wantFor = make([]slots.Boot, len(on.Servers))
	for i := range on.Servers {
		m.wantFor[i] = on.Servers[i].Boot
	}
	m.want = m.goal.On(on.Servers).Rows
}

// present is the goal as the next one is made from it. Where whom it wants as primary
// can't be it any more, and the primary that is can, the row stays as it is: so a move
// that came to nothing moves nothing else. And who is back from the dead keeps what
// nobody could take in the meantime.
func (m *Master) present(next *slots.Map, able []slots.Server) slots.Goal {
	if len(m.goal.Rows) == 0 {
		return m.goal
	}
	goal, is := m.goal.On(next.Servers), slots.GoalOf(next)
	ok, back := make([]bool, len(next.Servers)), make([]bool, len(next.Servers))
	for i := range able {
		j := next.Index(able[i].Boot)
		ok[j], back[j] = true, !slices.Contains(m.goalFor, able[i].Boot)
	}
	for s := range next.Rows {
		p, w := next.Rows[s].Primary, goal.Rows[s].Primary()
		if p != slots.None && ok[p] && (back[p] || w == slots.None || !ok[w]) {
			goal.Rows[s] = is.Rows[s]
		}
	}
	return goal
}
