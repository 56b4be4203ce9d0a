package fleet

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/memcache/memcachetest"
)

// openTestList returns a table over a list of addrs.
func openTestList(t *testing.T, cfg ListConfig, addrs ...string) (*Table, *List) {
	t.Helper()
	var servers []Server
	for _, a := range addrs {
		servers = append(servers, Server{Addr: a})
	}
	list, err := NewList(cfg, servers)
	if err != nil {
		t.Fatal(err)
	}
	table, err := New(t.Context(), list, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { table.Close() })
	return table, list
}

// waitView waits until table's view is one for which ok holds.
func waitView(t *testing.T, table *Table, ok func(torc.View) bool) torc.View {
	t.Helper()
	for v, err := range table.Members(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if ok(v) {
			return v
		}
	}
	t.Fatal("the view never came")
	return torc.View{}
}

func stateOf(addr string, state torc.State) func(torc.View) bool {
	return func(v torc.View) bool {
		for _, m := range v.Members {
			if m.Addr == addr {
				return m.State == state
			}
		}
		return false
	}
}

func TestListLeavesOutWhoRefuses(t *testing.T) {
	t.Parallel()
	good, bad := memcachetest.Start(t), refusing(t)
	table, _ := openTestList(t, ListConfig{}, good, bad)
	v := waitView(t, table, stateOf(bad, torc.Down))
	for _, m := range v.Members {
		if m.Addr == bad && !strings.Contains(m.Reason, "refused") {
			t.Errorf("the reason is %q", m.Reason)
		}
	}
	for _, key := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		if err := table.Put(t.Context(), key, []byte(key)); err != nil {
			t.Fatal(err)
		}
		if e, err := table.Get(t.Context(), key); err != nil || string(e.Value) != key {
			t.Errorf("Get %s = %q, %v", key, e.Value, err)
		}
	}
}

// A server that was frozen still has what it held; a list that left it out
// empties it before it uses it again, unless it is told to keep that.
func TestListFlushesWhoReturns(t *testing.T) {
	t.Parallel()
	for _, keep := range []bool{false, true} {
		server := memcachetest.StartServer(t)
		table, _ := openTestList(t, ListConfig{Keep: keep}, server.Addr)
		if err := table.Put(t.Context(), "k", []byte("old")); err != nil {
			t.Fatal(err)
		}
		if err := server.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		waitView(t, table, stateOf(server.Addr, torc.Down))
		if err := server.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
		waitView(t, table, stateOf(server.Addr, torc.Up))
		_, err := table.Get(t.Context(), "k")
		if keep && err != nil {
			t.Errorf("kept: Get = %v", err)
		}
		if !keep && !errors.Is(err, torc.ErrNotFound) {
			t.Errorf("flushed: Get = %v, want a miss", err)
		}
	}
}

// A server that can't be flushed is not used again: it might answer what is old.
func TestListDoesNotUseWhoCannotBeFlushed(t *testing.T) {
	t.Parallel()
	server := memcachetest.StartServer(t, "-F") // refuses flush_all
	table, _ := openTestList(t, ListConfig{}, server.Addr)
	server.Process.Signal(syscall.SIGSTOP) //nolint:errcheck // the wait below fails then
	waitView(t, table, stateOf(server.Addr, torc.Down))
	server.Process.Signal(syscall.SIGCONT) //nolint:errcheck // the wait below fails then
	v := waitView(t, table, func(v torc.View) bool { return strings.Contains(v.Members[0].Reason, "flushed") })
	if v.Members[0].State != torc.Down {
		t.Errorf("it is %v", v.Members[0].State)
	}
}

func TestListAddAndRemove(t *testing.T) {
	t.Parallel()
	a, b := memcachetest.Start(t), memcachetest.Start(t)
	table, list := openTestList(t, ListConfig{}, a)
	if err := list.Add(b, 2); err != nil {
		t.Fatal(err)
	}
	waitView(t, table, stateOf(b, torc.Up))
	if err := list.Add(b, 1); !errors.Is(err, torc.ErrInvalid) {
		t.Errorf("a second Add = %v", err)
	}
	if err := list.Add("nonsense", 1); !errors.Is(err, torc.ErrInvalid) {
		t.Errorf("Add of nonsense = %v", err)
	}
	if err := list.Remove(a); err != nil {
		t.Fatal(err)
	}
	waitView(t, table, func(v torc.View) bool { return len(v.Members) == 1 && v.Members[0].Addr == b })
	if err := list.Remove(a); !errors.Is(err, torc.ErrInvalid) {
		t.Errorf("a second Remove = %v", err)
	}
}

func TestFileList(t *testing.T) {
	t.Parallel()
	a, b := memcachetest.Start(t), memcachetest.Start(t)
	path := filepath.Join(t.TempDir(), "members.txt")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("# ours\n\n" + a + "  # the first\n")
	opened, err := torc.Open(t.Context(), "memcached+file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	table := opened.(*Table)
	waitView(t, table, stateOf(a, torc.Up))
	write(a + " 3\n" + b + "\n")
	v := waitView(t, table, stateOf(b, torc.Up))
	for _, m := range v.Members {
		if m.Addr == a && m.Weight != 3 {
			t.Errorf("the weight of %s is %d", a, m.Weight)
		}
	}

	list, err := NewFileList(ListConfig{}, path)
	if err != nil {
		t.Fatal(err)
	}
	if err := list.Add("10.0.0.1:11211", 7); err != nil {
		t.Fatal(err)
	}
	if err := list.Remove(b); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if want := a + " 3\n10.0.0.1:11211 7\n"; err != nil || string(text) != want {
		t.Errorf("the file is %q, %v, want %q", text, err, want)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("%d files beside it, %v", len(entries)-1, err)
	}
}

// An editor that empties the file before it writes it must not cost the servers
// their stay; and a change made before anybody follows the list counts.
func TestFileListIsNotReadHalfWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "members.txt")
	synctest.Test(t, func(t *testing.T) {
		write := func(text string) {
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		write("h:1\n")
		l, err := NewFileList(ListConfig{}, path)
		if err != nil {
			t.Fatal(err)
		}
		write("h:1\nh:2\n")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go l.followFile(ctx)
		// Each wait is from between two looks to between two others.
		time.Sleep(2*fileInterval + fileInterval/2)
		if got := addrs(l); got != "h:1 h:2" {
			t.Errorf("the list is %q: the change from before it was followed is lost", got)
		}
		for _, half := range []string{"", "h:1\n", "h:1\nh:"} {
			write(half)
			time.Sleep(fileInterval)
			write("h:1\nh:2\n")
			time.Sleep(2 * fileInterval)
			if got := addrs(l); got != "h:1 h:2" || len(l.mu.former) > 0 {
				t.Errorf("half-written as %q: the list is %q, and %v was taken off", half, got, l.mu.former)
			}
		}
		write("h:2\n")
		time.Sleep(2 * fileInterval)
		if got := addrs(l); got != "h:2" {
			t.Errorf("the list is %q", got)
		}
	})
}

func addrs(l *List) string {
	var addrs []string
	for _, s := range l.membership().Servers {
		addrs = append(addrs, s.Addr)
	}
	return strings.Join(addrs, " ")
}

// A server that was found down, taken off the list and put on it again holds
// what it held before, and others had its keys meanwhile.
func TestListFlushesWhoIsAddedAgain(t *testing.T) {
	t.Parallel()
	server := memcachetest.StartServer(t)
	other := openTestServer(t, server.Addr)
	if err := other.Put(t.Context(), "k", []byte("old")); err != nil {
		t.Fatal(err)
	}
	server.Process.Signal(syscall.SIGSTOP) //nolint:errcheck // the wait below fails then
	table, list := openTestList(t, ListConfig{}, server.Addr)
	waitView(t, table, stateOf(server.Addr, torc.Down))
	if err := list.Remove(server.Addr); err != nil {
		t.Fatal(err)
	}
	server.Process.Signal(syscall.SIGCONT) //nolint:errcheck // the wait below fails then
	if err := list.Add(server.Addr, 1); err != nil {
		t.Fatal(err)
	}
	waitView(t, table, func(v torc.View) bool { return len(v.Members) == 1 && v.Members[0].State == torc.Up })
	if e, err := table.Get(t.Context(), "k"); !errors.Is(err, torc.ErrNotFound) || errors.Is(err, torc.ErrUnavailable) {
		t.Errorf("Get = %q, %v, want a miss", e.Value, err)
	}
}

// openTestServer returns a table over the one server at addr.
func openTestServer(t *testing.T, addr string) *Table {
	table, _ := openTestList(t, ListConfig{Keep: true}, addr)
	return table
}

func TestParseList(t *testing.T) {
	t.Parallel()
	_, err := ParseList([]byte("h:1\nnonsense\nh:2 0\nh:1\nh:3 1 2\n"))
	for _, line := range []string{"line 2", "line 3", "line 4", "line 5"} {
		if err == nil || !strings.Contains(err.Error(), line) {
			t.Errorf("the error does not name %s: %v", line, err)
		}
	}
	servers, err := ParseList([]byte("\ufeffh:1\r\n[::1]:2 5"))
	if err == nil {
		t.Errorf("a byte order mark was taken for a part of a host: %v", servers)
	}
}

func FuzzParseList(f *testing.F) {
	f.Add("h:1\n[::1]:11211 5 # six\n\n#\n")
	f.Fuzz(func(t *testing.T, text string) {
		servers, err := ParseList([]byte(text))
		if err != nil {
			return
		}
		seen := make(map[string]bool)
		for _, s := range servers {
			if torc.CheckAddr(s.Addr) != nil || seen[s.Addr] || s.Weight < 1 || s.Weight > MaxWeight {
				t.Errorf("%q gave %+v", text, s)
			}
			seen[s.Addr] = true
		}
	})
}

func TestListIsFollowedOnce(t *testing.T) {
	t.Parallel()
	_, list := openTestList(t, ListConfig{}, refusing(t))
	if _, err := New(t.Context(), list, Options{}); err == nil {
		t.Error("a second table follows the same list")
	}
}

// When nobody is left, the error says of each member why.
func TestNobodyLeft(t *testing.T) {
	t.Parallel()
	a, b := refusing(t), refusing(t)
	table, _ := openTestList(t, ListConfig{}, a, b)
	waitView(t, table, stateOf(a, torc.Down))
	waitView(t, table, stateOf(b, torc.Down))
	_, err := table.Get(t.Context(), "k")
	for _, says := range []string{a, b, "down since", "refused"} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v does not say %q", err, says)
		}
	}
}
