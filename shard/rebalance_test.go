package shard

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/torc-dht/torc"
)

func TestRebalance(t *testing.T) {
	url, _ := startTable(t, 2)
	opened, err := torc.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	table := opened.(*Table)
	defer table.Close()
	for _, o := range []torc.RebalanceOptions{{DryRun: true}, {Rate: 100}} {
		if _, err := table.Rebalance(t.Context(), o); !errors.Is(err, torc.ErrUnsupported) {
			t.Errorf("%+v: %v", o, err)
		}
	}
	reports := 0
	p, err := table.Rebalance(t.Context(), torc.RebalanceOptions{Report: func(torc.Progress) { reports++ }})
	if err != nil || reports == 0 || p.Pass != 1 || p.Elapsed <= 0 || p.Left != 0 {
		t.Errorf("Rebalance = %+v, %v, after %d reports", p, err, reports)
	}
	_ = table.Close()
	if _, err := table.Rebalance(t.Context(), torc.RebalanceOptions{}); !errors.Is(err, torc.ErrClosed) {
		t.Errorf("of a closed table: %v", err)
	}
}

func TestRebalanceWithoutAMaster(t *testing.T) {
	t.Parallel()
	m, _, _, table := pairOf(t, TableOptions{})
	m.stop()
	if _, err := table.Rebalance(t.Context(), torc.RebalanceOptions{}); !errors.Is(err, torc.ErrUnavailable) {
		t.Errorf("%v", err)
	}
}

// The master is called as servers are.
func TestRebalanceDials(t *testing.T) {
	t.Parallel()
	m, a := newFakeMaster(t), newFakeServer(t)
	m.service.SetMap(mapOf(1, a))
	dial := func(ctx context.Context, addr string) (net.Conn, error) {
		if addr == "master:1" {
			addr = m.addr
		}
		return new(net.Dialer).DialContext(ctx, "tcp", addr)
	}
	table, err := New(t.Context(), []string{"master:1"}, TableOptions{Dialer: dial})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	if _, err := table.Rebalance(t.Context(), torc.RebalanceOptions{}); err == nil || !strings.Contains(err.Error(), errFake.Error()) {
		t.Errorf("the master was not reached: %v", err)
	}
}

// What servers send is added up, also where one begins to send anew; what is over
// is no more to be seen.
func TestMoved(t *testing.T) {
	t.Parallel()
	var m Moved
	m.Note([]Move{{From: "a", To: "c", Slots: 10, Left: 5, Keys: 100, Bytes: 1000}, {From: "b", To: "c", Slots: 10, Left: 10}})
	got := m.progress(time.Second)
	if got.Copied != 100 || got.Bytes != 1000 || got.Looked != 100 || got.Total != 400 || got.Left < 2*time.Second {
		t.Errorf("after a quarter: %+v", got)
	}
	m.Note([]Move{{From: "b", To: "c", Slots: 10, Left: 5, Keys: 60, Bytes: 600}})
	if got = m.progress(time.Second); got.Copied != 160 || got.Total <= 160 {
		t.Errorf("when a is through: %+v", got)
	}
	m.Note([]Move{{From: "b", To: "c", Slots: 4, Left: 2, Keys: 10, Bytes: 100}})
	m.Note(nil)
	if got = m.progress(time.Second); got.Copied != 170 || got.Bytes != 1700 || got.Total != 170 || got.Left != 0 {
		t.Errorf("when all is over: %+v", got)
	}
}
