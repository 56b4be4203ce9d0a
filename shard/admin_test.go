package shard

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/torc-dht/torc/shard/internal/link"
)

// A table's master tells how it stands, from no server on.
func TestAdmin(t *testing.T) {
	t.Parallel()
	master, _ := startMaster(t, &Master{Log: quiet()})
	a := &Admin{Masters: []string{master}}
	s := &Server{Masters: []string{master}, Log: quiet(), Memory: 64 << 20}
	addr, _ := startServer(t, s)
	awaitJoined(t, s)

	var last Status
	for st, err := range a.Status(t.Context(), 50*time.Millisecond) {
		if err != nil {
			t.Fatal(err)
		}
		if last = st; st.Settled && len(st.Servers) == 1 && st.Servers[0].Limit > 0 {
			break
		}
	}
	v := last.Servers[0]
	if v.Addr != addr || v.State != ServerUp || v.Primaries != last.Slots || v.Limit != 64<<20 || last.Copies != 2 || last.MinCopies != 1 || last.Placement != "minimal" {
		t.Errorf("a table of one server: %+v", last)
	}
	if at, err := a.Locate(t.Context(), "27721"); err != nil || at.Slot != 1 || at.Primary != addr || len(at.Backups) != 0 {
		t.Errorf("Locate = %+v, %v", at, err)
	}
	if err := a.Rebalance(t.Context()); err != nil {
		t.Error(err)
	}
	if err := a.Forget(t.Context(), addr); !errors.Is(err, link.ErrDeclined) || !strings.Contains(err.Error(), addr) {
		t.Errorf("to forget who is alive: %v", err)
	}
}

// Of several masters the one that leads is asked.
func TestAdminFindsTheLeader(t *testing.T) {
	t.Parallel()
	standby, leader, server := newFakeMaster(t), newFakeMaster(t), newFakeServer(t)
	standby.service.SetStandby("another one leads")
	leader.service.SetMap(mapOf(1, server))
	masters := []string{unused(t), mute(t), standby.addr, leader.addr}
	began := time.Now()
	silent := slices.Repeat([]string{mute(t)}, 8)
	at, err := (&Admin{Masters: append(silent, masters...)}).Locate(t.Context(), "k")
	if took := time.Since(began); took > time.Duration(len(silent))*electWithin {
		t.Errorf("it took %v to find the one that leads among silent ones", took)
	}
	if err != nil || at.Primary != server.addr {
		t.Errorf("Locate = %+v, %v", at, err)
	}
	_, err = (&Admin{Masters: masters[:3]}).Locate(t.Context(), "k")
	said := strings.Split(err.Error(), "; ")
	if len(said) != 3 || strings.Contains(err.Error(), "\n") || !slices.ContainsFunc(said, func(s string) bool { return strings.Contains(s, "another one leads") }) {
		t.Errorf("without a leader: %v", err)
	}
	if _, err := new(Admin).Locate(t.Context(), "k"); err == nil {
		t.Error("without a master there is no error")
	}
}
