package master

import (
	"time"

	"github.com/torc-dht/torc/shard/slots"
)

// Status is how a table stands.
type Status struct {
	Epoch slots.Epoch
	// Since is for how long the master has been in this term.
	Since     time.Duration
	Placement slots.Placement
	// Copies and MinCopies are those asked for.
	Copies, MinCopies int
	Servers           []ServerStatus
	Moves             []MoveStatus
	// Single slots are in sync on one server only, Failed ones have a dead
	// primary and nobody in its place, Held ones wait for servers that have not
	// reported since this master began. Unowned ones nobody has had yet.
	Single, Failed, Held, Unowned int
	// Settled says that everything is where it shall be.
	Settled bool
	// Deposed says that another master was elected.
	Deposed bool
}

// ServerState is how a server stands.
type ServerState string

// The states of servers.
const (
	Up      ServerState = "up"
	Silent  ServerState = "silent"  // too long to be given anything new
	Dead    ServerState = "dead"    // slots fail, or wait, for it
	Leaving ServerState = "leaving" // hands over what it has
	Unheard ServerState = "unheard" // has not reported since this master began
)

// ServerStatus is a server of the map.
type ServerStatus struct {
	Addr   string
	Boot   slots.Boot
	Number uint32
	State  ServerState
	Full   bool
	// Keys and Bytes it holds, Limit how many bytes it may, as of its last Beat.
	Keys, Bytes, Limit uint64
	// Primaries, InSync, Joining and Filling count its slots.
	Primaries, InSync, Joining, Filling int
	// WaitFor counts the slots that are failed or held because of it.
	WaitFor int
	// Silence is how long ago it was heard.
	Silence time.Duration
}

// MoveStatus is what one server fills at another.
type MoveStatus struct {
	From, To string
	// Slots in all, and Left to be begun; Keys and Bytes sent.
	Slots, Left uint32
	Keys, Bytes uint64
	// Moving of the slots have To as their next primary; the rest are copies.
	Moving int
}

// Status returns how the table stands at a time, by the last map that was issued.
func (m *Master) Status(now int64) Status {
	st := Status{
		Since: time.Duration(now - m.reigns), Placement: m.cfg.Placement,
		Copies: m.cfg.Copies, MinCopies: m.cfg.MinCopies, Deposed: m.isDeposed(),
	}
	if m.issued == nil {
		return st
	}
	on := m.issued
	v := &m.survey
	st.Epoch, st.Settled = on.Epoch, v.settled && !m.rebalance && !m.persisting()
	st.Single, st.Failed, st.Held, st.Unowned = v.single, v.failed, v.held, v.unowned
	for i := range on.Servers {
		st.Servers = append(st.Servers, m.serverStatus(now, int16(i)))
	}
	for i := range on.Servers {
		for _, f := range m.byBoot[on.Servers[i].Boot].fills {
			to := on.Index(f.To)
			if to == slots.None {
				continue
			}
			mv := MoveStatus{
				From: on.Servers[i].Addr, To: on.Servers[to].Addr,
				Slots: f.Slots, Left: f.Left, Keys: f.Keys, Bytes: f.Bytes,
			}
			for j := range v.moves {
				if v.moves[j].from == int16(i) && v.moves[j].to == to {
					mv.Moving = len(v.moves[j].slots)
				}
			}
			st.Moves = append(st.Moves, mv)
		}
	}
	return st
}

func (m *Master) serverStatus(now int64, i int16) ServerStatus {
	s, t := &m.issued.Servers[i], &m.survey.servers[i]
	v := m.byBoot[s.Boot]
	st := ServerStatus{
		Addr: s.Addr, Boot: s.Boot, Number: s.Number, State: Up,
		Full: v.full, Keys: v.keys, Bytes: v.bytes, Limit: v.limit,
		Primaries: t.primaries, InSync: t.inSync, Joining: t.joining, Filling: t.filling,
		Silence: time.Duration(max(0, now-v.last)),
	}
	switch {
	case s.Dead || v.vitality == dead:
		st.State = Dead
	case !v.heard:
		st.State = Unheard
	case s.Leaving:
		st.State = Leaving
	case v.vitality == silent:
		st.State = Silent
	}
	if st.State == Dead || st.State == Unheard {
		st.WaitFor = waitsFor(m.issued, i, !v.heard)
	}
	return st
}
