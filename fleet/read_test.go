package fleet

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/memcache"
	"github.com/torc-dht/torc/store"
)

// A copy that one server has lost is read from the next, and put back.
func TestLostCopyIsRepaired(t *testing.T) {
	t.Parallel()
	inEachStampMode(t, func(t *testing.T, config Config) {
		table, _, servers, key := gatedTable(t, 5, Options{Config: config})
		mustPut(t, table, key, "v", torc.TTL(time.Hour))
		for _, lost := range [][]*gated{servers[:1], servers[:2]} {
			for _, g := range lost {
				g.store.Delete([]byte(key))
			}
			e := mustGet(t, table, key, "v")
			for _, g := range lost {
				if it, _ := g.store.Get([]byte(key)); string(it.Value) != "v" {
					t.Fatalf("a server without its copy has %q after a Get", it.Value)
				} else if left := time.Until(time.Unix(0, it.Expires)); left > time.Hour || left < 59*time.Minute {
					t.Errorf("the copy lives for %v, the entry for an hour", left)
				}
			}
			if err := table.Put(t.Context(), key, []byte("v"), torc.IfVersion(e.Version), torc.TTL(time.Hour)); err != nil {
				t.Errorf("the version of a Get that repaired is not the first server's: %v", err)
			}
		}
		for _, g := range servers[:3] {
			g.store.Delete([]byte(key))
		}
		mustMiss(t, table, key)
	})
}

// A Get that one server leaves waiting asks the next, and later ones do not wait
// for that server at all, until it answers again.
func TestHedge(t *testing.T) {
	t.Parallel()
	table, _, servers, key := gatedTable(t, 4, Options{Config: Config{Copies: 3}, Hedge: 2 * time.Millisecond, ReadTimeout: time.Minute})
	mustPut(t, table, key, "v")
	first := servers[0]
	_, release := first.hold(t, isOp(memcache.OpGet))
	mustGet(t, table, key, "v")
	asked := first.asked.Load()
	for range 10 {
		mustGet(t, table, key, "v")
	}
	if n := first.asked.Load(); n != asked {
		t.Errorf("a silent server was asked %d times more", n-asked)
	}
	release()
	eventually(t, func() string {
		asked := first.asked.Load()
		mustGet(t, table, key, "v")
		if first.asked.Load() == asked {
			return "the first server answers again, and is not asked"
		}
		return ""
	})
}

// Whichever copy answers first is taken, also the one that was late.
func TestLateAnswerCounts(t *testing.T) {
	t.Parallel()
	table, _, servers, key := gatedTable(t, 3, Options{Config: Config{Copies: 3}, Hedge: 2 * time.Millisecond, ReadTimeout: time.Minute})
	mustPut(t, table, key, "v")
	var release func()
	for _, g := range servers[1:] {
		g.hold(t, isOp(memcache.OpGet))
	}
	met, release := servers[0].hold(t, isOp(memcache.OpGet))
	got := make(chan error)
	go func() {
		e, err := table.Get(t.Context(), key)
		if err == nil && string(e.Value) != "v" {
			err = errors.New(string(e.Value))
		}
		got <- err
	}()
	<-met
	eventually(t, func() string {
		if table.routing.Load().owner(key).silent.Load() == 0 {
			return "no notice that the first server is late"
		}
		return ""
	})
	release()
	if err := <-got; err != nil {
		t.Fatal(err)
	}
}

// Where every server has been silent, each is asked all the same: it may have been
// the reader that stood still.
func TestAllSuspectsAreAsked(t *testing.T) {
	t.Parallel()
	table, _, _, key := gatedTable(t, 4, Options{Config: Config{Copies: 3}, ReadTimeout: time.Minute})
	mustPut(t, table, key, "v")
	for _, s := range table.routing.Load().servers {
		s.silent.Add(1)
		t.Cleanup(func() { s.silent.Add(-1) })
	}
	mustGet(t, table, key, "v")
}

// An owner that is empty says nothing for those who are only busy.
func TestSuspectsAreAskedBeforeAMiss(t *testing.T) {
	t.Parallel()
	table, _, owners, key := gatedTable(t, 4, Options{Config: Config{Copies: 3}, ReadTimeout: time.Minute})
	mustPut(t, table, key, "v")
	owners[0].store.Delete([]byte(key))
	for _, s := range table.routing.Load().servers {
		if s.Addr != owners[0].addr {
			s.silent.Add(1)
			t.Cleanup(func() { s.silent.Add(-1) })
		}
	}
	mustGet(t, table, key, "v")
}

func TestGetBesideUnreachableServers(t *testing.T) {
	t.Parallel()
	g := startGated(t)
	table, _ := newTestTable(t, Options{Config: Config{Copies: 3}}, refusing(t), refusing(t), g.addr)
	_, err := table.Get(t.Context(), "k")
	if !errors.Is(err, torc.ErrNotFound) || !errors.Is(err, torc.ErrUnavailable) {
		t.Errorf("Get = %v: those who can't be asked may have it", err)
	}
	if err := g.store.Set([]byte("k"), store.Item{Value: []byte("v")}); err != nil {
		t.Fatal(err)
	}
	mustGet(t, table, "k", "v")

	dead, _ := newTestTable(t, Options{Config: Config{Copies: 2}}, refusing(t), refusing(t))
	var e *torc.Error
	if _, err := dead.Get(t.Context(), "k"); !errors.As(err, &e) || !errors.Is(err, torc.ErrNotFound) || e.Member == "" || e.Since.IsZero() {
		t.Errorf("Get = %v, want a miss that says whom it could not ask, and since when", err)
	}
}

// A value of a view that the reader doesn't know yet is waited for, and missed if
// that view does not come.
func TestValueOfALaterView(t *testing.T) {
	t.Parallel()
	config := Config{Stamps: StampsOn}
	g := startGated(t)
	reader, dir := newTestTable(t, Options{Config: config}, g.addr)
	writer, ahead := newTestTable(t, Options{Config: config}, g.addr)
	ahead.set(g.addr)
	waitVersion(t, writer, 2)
	mustPut(t, writer, "k", "v")
	mustMiss(t, reader, "k")
	if g.value("k") != "v" {
		t.Fatal("what the reader did not know was removed")
	}
	asked := g.asked.Load()
	go func() {
		for g.asked.Load() == asked {
			time.Sleep(time.Millisecond)
		}
		dir.set(g.addr)
	}()
	mustGet(t, reader, "k", "v")
}

func TestOffline(t *testing.T) {
	t.Parallel()
	g := startGated(t)
	serve, serveDir := newTestTable(t, Options{Offline: OfflineServe, OfflineAfter: time.Millisecond}, g.addr)
	refuse, refuseDir := newTestTable(t, Options{Offline: OfflineRefuse, OfflineAfter: time.Hour}, g.addr)
	lost := func(d *fakeDirectory, ago time.Duration) {
		d.views <- Membership{
			Generation: 1, Version: 1, LostContact: time.Now().Add(-ago),
			Servers: []Server{{Addr: g.addr, Weight: 1, Incarnation: "1"}},
		}
		d.views <- Membership{Generation: 1, Version: 1, LostContact: time.Now().Add(-ago), Servers: []Server{{Addr: g.addr, Weight: 1, Incarnation: "1"}}}
	}
	lost(serveDir, 2*time.Hour)
	lost(refuseDir, time.Minute)
	for _, table := range []*Table{serve, refuse} {
		mustPut(t, table, "k", "v")
		mustGet(t, table, "k", "v")
	}
	lost(refuseDir, 2*time.Hour)
	_, err := refuse.Get(t.Context(), "k")
	for op, err := range map[string]error{
		"get":    err,
		"put":    refuse.Put(t.Context(), "k", nil),
		"delete": refuse.Delete(t.Context(), "k"),
	} {
		if !errors.Is(err, torc.ErrUnavailable) || errors.Is(err, torc.ErrNotFound) || !strings.Contains(err.Error(), "offline=refuse") {
			t.Errorf("%s = %v, want a refusal", op, err)
		}
	}
	refuseDir.mu.version = 1
	refuseDir.set(g.addr)
	waitVersion(t, refuse, 2)
	mustGet(t, refuse, "k", "v")
}

// Who may have had the key leaves while a Get asks it: that is a plain miss, since
// nobody is missing who has to be asked.
func TestGetOfFormerThatLeaves(t *testing.T) {
	t.Parallel()
	for _, copies := range []int{1, 3} {
		table, dir, servers, key := gatedTable(t, copies+1, Options{Config: Config{Copies: copies, Stamps: StampsOn}})
		former, rest := servers[0], servers[1:]
		here := []Server{{Addr: former.addr, Drained: true}}
		for _, g := range rest {
			here = append(here, Server{Addr: g.addr})
		}
		dir.setServers(here...)
		waitVersion(t, table, 2)
		met, _ := former.hold(t, isOp(memcache.OpGet))
		got := make(chan error)
		go func() { _, err := table.Get(t.Context(), key); got <- err }()
		<-met
		dir.setServers(here[1:]...)
		if err := <-got; !errors.Is(err, torc.ErrNotFound) || errors.Is(err, torc.ErrUnavailable) {
			t.Errorf("%d copies: Get = %v, want a plain miss", copies, err)
		}
	}
}
