package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/torc-dht/torc/internal/terminal"
	"github.com/torc-dht/torc/replica"
)

// aReplica is what the server at self tells of a table of three.
func aReplica(self, leader string, epoch replica.Epoch, set func(*replica.Status)) replicaAnswer {
	st := replica.Status{
		Self: self, Servers: []string{"a:1", "b:1", "c:1"}, Epoch: epoch, Leader: leader, Serving: true,
		Since: time.Date(2026, 11, 21, 12, 0, 0, 0, time.Local), View: 3, Term: 2, Applied: 1234, Keys: 1, Bytes: 6100,
	}
	for _, addr := range st.Servers {
		m := replica.MemberStatus{Addr: addr, State: replica.MemberFollower, Heard: 0.01}
		if addr == leader {
			m.State = replica.MemberLeader
		}
		st.Members = append(st.Members, m)
	}
	if set != nil {
		set(&st)
	}
	return replicaAnswer{addr: self, status: st}
}

func TestReplicaStatusIsTheLeaders(t *testing.T) {
	t.Parallel()
	first := replica.Epoch{Number: 1, Founder: "f1"}
	got := replicasText([]replicaAnswer{
		aReplica("a:1", "b:1", first, nil),
		aReplica("b:1", "b:1", first, func(st *replica.Status) {
			st.Members[0].Lag = 7
			st.Members[2].State, st.Members[2].Heard = replica.MemberDown, 75
			st.Merged, st.Dropped = 1, 2
			st.Forgotten = []string{"c:1"}
		}),
		{addr: "c:1", err: errors.New("replica: c:1: unavailable: no answer in time")},
	}, terminal.Style{})
	const want = `epoch 1, normal since 12:00:00.000
view 3, 1 key, 6.1 kB, 1,234 entries of the log
SERVER  STATE     BEHIND  HEARD
a:1     follower  7       now
b:1     leader    0       itself
c:1     down      -       1 min 15 s ago
of labelled epochs that were given up: 1 write taken over, 2 dropped
forgotten: c:1
c:1: unavailable: no answer in time
`
	if got != want {
		t.Errorf("it shows\n%s\nwant\n%s", got, want)
	}
}

func TestReplicaStatusShowsEachSide(t *testing.T) {
	t.Parallel()
	alone := func(st *replica.Status) {
		st.Degraded = true
		for i := range st.Members {
			if m := &st.Members[i]; m.Addr != st.Self {
				m.State, m.Heard = replica.MemberDown, -1
			}
		}
	}
	got := replicasText([]replicaAnswer{
		aReplica("a:1", "a:1", replica.Epoch{Number: 2, Founder: "f2"}, alone),
		aReplica("b:1", "b:1", replica.Epoch{Number: 2, Founder: "f3"}, func(st *replica.Status) {
			alone(st)
			st.Serving = false
		}),
		aReplica("c:1", "", replica.Epoch{}, nil),
	}, terminal.Style{})
	for _, want := range []string{
		"epoch 2, degraded since 12:00:00.000: answers are labelled\n",
		"\n\nepoch 2, degraded since 12:00:00.000: nothing is answered\n",
		"b:1     down    -       -\n",
		"\n\nc:1 is of no epoch yet: it looks for the others\n",
		"no leader: nothing is answered\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("it doesn't show %q:\n%s", want, got)
		}
	}
}

func TestReplicaStatusIsPainted(t *testing.T) {
	t.Parallel()
	style := terminal.Rich()
	paint := paintReplica(style)
	for _, c := range []struct {
		row, column int
		cell, want  string
	}{
		{0, 1, "STATE", style.Bold("STATE")},
		{1, 0, "down", "down"},
		{1, 1, "down", style.Bad("down")},
		{1, 1, "joining", style.Warn("joining")},
		{1, 1, "leader", style.Good("leader")},
	} {
		if got := paint(c.row, c.column, c.cell); got != c.want {
			t.Errorf("row %d, column %d, %q: %q, want %q", c.row, c.column, c.cell, got, c.want)
		}
	}
}
