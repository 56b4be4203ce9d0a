package fleet

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/memcache/memcachetest"
)

// openListOf opens a table over a list of servers.
func openListOf(t *testing.T, cfg ListConfig, addrs ...string) *Table {
	t.Helper()
	var servers []Server
	for _, a := range addrs {
		servers = append(servers, Server{Addr: a})
	}
	cfg.Probe.Timeout = 10 * time.Second // no server is to be left out, and flushed, on a busy machine
	list, err := NewList(cfg, servers)
	if err != nil {
		t.Fatal(err)
	}
	return openDirectory(t, list)
}

func openDirectory(t *testing.T, dir Directory) *Table {
	t.Helper()
	table, err := New(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { table.Close() })
	return table
}

func members(table *Table) (addrs []string) {
	for _, m := range table.routing.Load().view.Members {
		addrs = append(addrs, m.Addr+" "+m.State.String())
	}
	return addrs
}

// A list begins empty, grows and shrinks, and no entry is lost on the way.
func TestRosterOfList(t *testing.T) {
	t.Parallel()
	for _, copies := range []int{1, 3} {
		g := startGroup(t, 4)
		table := openListOf(t, ListConfig{Config: Config{Copies: copies, Hash: "murmur3"}})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		if err := table.Put(ctx, "k", nil); !errors.Is(err, torc.ErrUnavailable) {
			t.Errorf("Put into nothing = %v", err)
		}
		cancel()
		if done, err := table.Rebalance(t.Context(), torc.RebalanceOptions{}); err != nil || done.Copied > 0 {
			t.Errorf("Rebalance of nothing = %+v, %v", done, err)
		}
		var entries map[string]entry
		for i, s := range g.servers {
			if err := table.AddMember(t.Context(), s.Addr, torc.AddOptions{}); err != nil {
				t.Fatal(err)
			}
			if got := members(table); len(got) != i+1 {
				t.Fatalf("members are %v after the number %d was added", got, i+1)
			}
			if i == 0 {
				entries = fill(t, table, 500)
			}
			if _, err := table.Rebalance(t.Context(), torc.RebalanceOptions{}); err != nil {
				t.Fatal(err)
			}
			g.check(table, entries)
		}
		for _, s := range g.servers[:3] {
			before := owners(t, table, entries)
			if err := table.RemoveMember(t.Context(), s.Addr); err != nil {
				t.Fatal(err)
			}
			want := newOwners(before, owners(t, table, entries))
			done, err := table.Rebalance(t.Context(), torc.RebalanceOptions{})
			if err != nil || done.Copied != want {
				t.Errorf("Rebalance = %+v, %v, want %d copies", done, err, want)
			}
			g.check(table, entries)
			for _, m := range members(table) {
				if strings.HasPrefix(m, s.Addr+" ") {
					t.Errorf("%s is still a member when it is emptied", m)
				}
			}
		}
		if err := table.RemoveMember(t.Context(), g.servers[0].Addr); !errors.Is(err, torc.ErrInvalid) {
			t.Errorf("RemoveMember of none = %v", err)
		}
	}
}

// What is deleted or written between a change of the list and the end of the
// rebalance stays so.
func TestListWritesBeforeRebalanceWin(t *testing.T) {
	t.Parallel()
	g := startGroup(t, 3)
	table := openListOf(t, ListConfig{}, g.servers[0].Addr, g.servers[1].Addr)
	entries := fill(t, table, 600)
	if err := table.AddMember(t.Context(), g.servers[2].Addr, torc.AddOptions{}); err != nil {
		t.Fatal(err)
	}
	n := 0
	var gone []string
	for key := range entries {
		switch n++; n % 3 {
		case 0:
			if err := table.Delete(t.Context(), key); err != nil {
				t.Fatal(err)
			}
			delete(entries, key)
			gone = append(gone, key)
		case 1:
			e := entry{value: "new"}
			if err := table.Put(t.Context(), key, []byte(e.value)); err != nil {
				t.Fatal(err)
			}
			entries[key] = e
		}
	}
	if _, err := table.Rebalance(t.Context(), torc.RebalanceOptions{}); err != nil {
		t.Fatal(err)
	}
	g.check(table, entries, gone...)
}

func TestAddMemberRefuses(t *testing.T) {
	t.Parallel()
	g := startGroup(t, 2)
	table := openListOf(t, ListConfig{}, g.servers[0].Addr)
	full := openListOf(t, ListConfig{}, g.servers[1].Addr)
	if err := full.Put(t.Context(), "mine", []byte("v")); err != nil {
		t.Fatal(err)
	}
	dead := refusing(t)
	for addr, want := range map[string]error{
		dead:              torc.ErrUnavailable,
		"no address":      torc.ErrInvalid,
		g.servers[0].Addr: torc.ErrInvalid,
		g.servers[1].Addr: torc.ErrNotEmpty,
	} {
		err := table.AddMember(t.Context(), addr, torc.AddOptions{})
		var e *torc.Error
		if !errors.Is(err, want) || !errors.As(err, &e) || e.Op != "add" || e.Member != addr {
			t.Errorf("AddMember(%q) = %v, want %v", addr, err, want)
		}
	}
	err := table.AddMember(t.Context(), dead, torc.AddOptions{})
	if want := "torc: add " + dead + ": unavailable: connection refused: nobody listens there"; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if got := members(table); len(got) != 1 {
		t.Errorf("members are %v", got)
	}
	if err := table.AddMember(t.Context(), g.servers[1].Addr, torc.AddOptions{Contents: torc.KeepContents}); err != nil {
		t.Fatal(err)
	}
	if _, err := full.Get(t.Context(), "mine"); err != nil {
		t.Errorf("what was to be kept: %v", err)
	}
	if err := table.RemoveMember(t.Context(), g.servers[1].Addr); err != nil {
		t.Fatal(err)
	}
	if err := table.RemoveMember(t.Context(), g.servers[1].Addr); err != nil { // although it is not emptied
		t.Fatal(err)
	}
	if err := table.AddMember(t.Context(), g.servers[1].Addr, torc.AddOptions{Contents: torc.FlushContents, Weight: 3}); err != nil {
		t.Fatal(err)
	}
	if _, err := full.Get(t.Context(), "mine"); !errors.Is(err, torc.ErrNotFound) {
		t.Errorf("what was to be flushed: %v", err)
	}
	if m, _ := table.routing.Load().member(g.servers[1].Addr); m.Weight != 3 {
		t.Errorf("it was added as %+v", m)
	}
	table.Close()
	if err := table.AddMember(t.Context(), dead, torc.AddOptions{}); !errors.Is(err, torc.ErrClosed) {
		t.Errorf("AddMember to a closed table = %v", err)
	}
}

// A server whose items have all been flushed or deleted is empty.
func TestAddMemberTakesFlushedServer(t *testing.T) {
	t.Parallel()
	g := startGroup(t, 2)
	if err := fillRaw(t, g, 1); err != nil {
		t.Fatal(err)
	}
	if err := g.clients[1].FlushAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	table := openListOf(t, ListConfig{}, g.servers[0].Addr)
	if err := table.AddMember(t.Context(), g.servers[1].Addr, torc.AddOptions{}); err != nil {
		t.Fatal(err)
	}
}

func TestRosterOfFile(t *testing.T) {
	t.Parallel()
	a, b := memcachetest.Start(t), memcachetest.Start(t)
	path := filepath.Join(t.TempDir(), "members.txt")
	if err := os.WriteFile(path, []byte("# ours\n"+a+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	list, err := NewFileList(ListConfig{}, path)
	if err != nil {
		t.Fatal(err)
	}
	table := openDirectory(t, list)
	text := func() string {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if err := table.AddMember(t.Context(), b, torc.AddOptions{Weight: 2}); err != nil {
		t.Fatal(err)
	}
	if got, want := text(), "# ours\n"+a+"\n"+b+" 2\n"; got != want {
		t.Errorf("the file is %q, want %q", got, want)
	}
	if err := table.RemoveMember(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if got, want := text(), "# ours\n"+a+"\n"; got != want {
		t.Errorf("the file is %q, want %q", got, want)
	}
	// It is not empty of keys yet: what it holds is ours.
	if err := table.AddMember(t.Context(), b, torc.AddOptions{}); err != nil {
		t.Fatal(err)
	}
	if got, want := text(), "# ours\n"+a+"\n"+b+" 2\n"; got != want {
		t.Errorf("the file is %q, want %q", got, want)
	}
}

// Where members announce themselves, a person's word drains them.
func TestRosterOfAnnouncedMembers(t *testing.T) {
	t.Parallel()
	g := startGroup(t, 2)
	l := newLedger(Config{Stamps: StampsOn})
	l.set(g.servers...)
	table := l.open(t)
	addr := g.servers[1].Addr
	if err := table.AddMember(t.Context(), addr, torc.AddOptions{}); !errors.Is(err, torc.ErrInvalid) {
		t.Errorf("AddMember of a member = %v", err)
	}
	if err := table.AddMember(t.Context(), "10.0.0.9:1", torc.AddOptions{}); !errors.Is(err, torc.ErrUnsupported) || !strings.Contains(err.Error(), "watchdog 10.0.0.9:1") {
		t.Errorf("AddMember of a stranger = %v", err)
	}
	if err := table.RemoveMember(t.Context(), addr); err != nil {
		t.Fatal(err)
	}
	if m, _ := table.routing.Load().member(addr); m.State != torc.Drained {
		t.Errorf("after RemoveMember it is %v", m.State)
	}
	if err := table.RemoveMember(t.Context(), addr); !errors.Is(err, torc.ErrInvalid) {
		t.Errorf("RemoveMember again = %v", err)
	}
	if err := table.AddMember(t.Context(), addr, torc.AddOptions{}); err != nil {
		t.Fatal(err)
	}
	if m, _ := table.routing.Load().member(addr); m.State != torc.Up {
		t.Errorf("after AddMember it is %v", m.State)
	}

	closed := newFakeDirectory() // knows of no drains
	go closed.set(addr)
	other := openDirectory(t, closed)
	if err := other.RemoveMember(t.Context(), addr); !errors.Is(err, torc.ErrUnsupported) {
		t.Errorf("RemoveMember = %v", err)
	}
}
