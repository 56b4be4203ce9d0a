package shard

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/store"
)

// hold puts keys into a fake server's store.
func (s *fakeServer) hold(keys ...string) {
	for _, k := range keys {
		_ = s.store.Set([]byte(k), store.Item{Value: []byte("v")}) // there is room
	}
}

func integers(n int) (keys []string) {
	for i := range n {
		keys = append(keys, fmt.Sprint(i))
	}
	return keys
}

// A walk finds each key where its slot's primary has it, and what others have of
// it, as copies do, not again.
func TestKeys(t *testing.T) {
	t.Parallel()
	m, a, b := newFakeMaster(t), newFakeServer(t), newFakeServer(t)
	both := mapOf(1, a, b)
	for _, s := range []*fakeServer{a, b} {
		s.service.SetMap(both)
		s.hold(integers(1000)...)
	}
	m.service.SetMap(both)
	table := newTable(t, m, TableOptions{})
	seen := make(map[string]int)
	for k, err := range table.Keys(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		seen[k]++
	}
	for _, k := range integers(1000) {
		if seen[k] != 1 {
			t.Fatalf("%s came %d times", k, seen[k])
		}
	}
	if len(seen) != 1000 {
		t.Errorf("%d keys of 1000", len(seen))
	}
	for _, err := range table.Keys(t.Context()) {
		if err != nil {
			t.Error(err)
		}
		break // the walk ends when nobody wants more
	}
	if len(table.mu.walks) != 0 {
		t.Error("a walk that is over is still told of maps")
	}
}

// Slots that move while the one server or the other lists its own are listed where
// they are then: no key is missed.
func TestKeysWhileSlotsMove(t *testing.T) {
	t.Parallel()
	for name, moved := range map[string]func(i int) bool{ // the slots that move from a to b
		"none": func(int) bool { return false },
		"some": func(i int) bool { return i%4 == 0 },
		"all":  func(i int) bool { return i%2 == 0 },
	} {
		for _, masterFirst := range []bool{false, true} {
			t.Run(fmt.Sprint(name, "/", masterFirst), func(t *testing.T) {
				t.Parallel()
				m, a, b := newFakeMaster(t), newFakeServer(t), newFakeServer(t)
				before := mapOf(1, a, b)
				after := before.Clone()
				after.Epoch.Counter++
				keys := integers(2000)
				for i := range after.Rows {
					if moved(i) {
						after.Rows[i].Remove(1)
						after.Rows[i].Primary = 1
					}
				}
				for i, k := range keys {
					[]*fakeServer{a, b}[i%2].hold(k)
				}
				for _, s := range []*fakeServer{a, b} {
					s.service.SetMap(before)
				}
				m.service.SetMap(before)
				table := newTable(t, m, TableOptions{})
				seen := make(map[string]bool)
				for k, err := range table.Keys(t.Context()) {
					if err != nil {
						t.Fatal(err)
					}
					if seen[k] = true; len(seen) != 1 {
						continue
					}
					for i, k := range keys {
						if moved(i) {
							b.hold(k)
						}
					}
					if b.service.SetMap(after); masterFirst {
						m.service.SetMap(after)
						await(t, "the map", func() bool { return table.routing.Load().m.Epoch == after.Epoch })
					}
					a.service.SetMap(after)
				}
				for _, k := range keys {
					if !seen[k] {
						t.Fatalf("%s was missed, of %d seen", k, len(seen))
					}
				}
			})
		}
	}
}

// A slot that goes away and comes back while its server lists is not taken for
// listed.
func TestKeysNoteMovesThereAndBack(t *testing.T) {
	t.Parallel()
	m, a, b := newFakeMaster(t), newFakeServer(t), newFakeServer(t)
	here := mapOf(1, a, b)
	m.service.SetMap(here)
	table := newTable(t, m, TableOptions{})
	w := &walk{t: table}
	table.mu.Lock()
	table.mu.walks[w] = struct{}{}
	table.mu.Unlock()
	w.begin()
	for counter, primary := range []int16{1, 0} {
		next := here.Clone()
		next.Epoch.Counter = uint64(2 + counter)
		next.Rows[0].Remove(primary)
		next.Rows[0].Primary = primary
		table.adopt(next)
	}
	if !w.unsteady[0] || w.unsteady[1] {
		t.Errorf("slot 0 moved there and back: %v; slot 1 stayed: %v", w.unsteady[0], !w.unsteady[1])
	}
}

// What can't be listed is an error, not an empty list.
func TestKeysThatCannotBeListed(t *testing.T) {
	t.Parallel()
	m, a, _, table := pairOf(t, TableOptions{ReadTimeout: 50 * time.Millisecond})
	a.hold("k")
	walk := func(ctx context.Context) (last error) {
		for _, err := range table.Keys(ctx) {
			last = err
		}
		return last
	}
	if err := walk(t.Context()); err != nil {
		t.Fatal(err)
	}
	// By a server's own map it has nothing: it doesn't know yet that it has.
	m.service.SetMap(movedTo(a))
	await(t, "the map", func() bool { return table.routing.Load().m.Epoch.Counter == 2 })
	if err := walk(t.Context()); !errors.Is(err, torc.ErrUnavailable) {
		t.Errorf("a walk over a server that is behind: %v", err)
	}
	dead := mapOf(3, a)
	dead.Servers[0].Dead = true
	m.service.SetMap(dead)
	await(t, "the map", func() bool { return table.routing.Load().m.Epoch.Counter == 3 })
	var e *torc.Error
	if err := walk(t.Context()); !errors.As(err, &e) || e.Op != "keys" || e.Member != a.addr || !errors.Is(err, torc.ErrUnavailable) {
		t.Errorf("a walk over a slot that has failed: %v", err)
	}
	m.service.SetMap(mapOf(4, a))
	await(t, "the map", func() bool { return table.routing.Load().m.Epoch.Counter == 4 })
	a.stop()
	if err := walk(t.Context()); !errors.Is(err, torc.ErrUnavailable) {
		t.Errorf("a walk over a server that is gone: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := walk(ctx); !errors.Is(err, context.Canceled) || !errors.Is(err, torc.ErrUnavailable) {
		t.Errorf("a walk that was cancelled: %v", err)
	}
	_ = table.Close()
	if err := walk(t.Context()); !errors.Is(err, torc.ErrClosed) {
		t.Errorf("a walk over a closed table: %v", err)
	}
}

// With real servers, one of which joins and leaves while the walk goes on.
func TestKeysOfServersThatComeAndGo(t *testing.T) {
	url, master := startTable(t, 2)
	opened, err := torc.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	table := opened.(*Table)
	defer table.Close()
	const n = 5000
	for i := range n {
		put(t, table, fmt.Sprint("key ", i), "v")
	}
	churned := make(chan struct{})
	go func() {
		defer close(churned)
		s := &Server{Masters: []string{master}, Log: quiet(), Memory: 64 << 20}
		_, leave := startServer(t, s)
		select {
		case <-s.Joined():
		case <-time.After(20 * time.Second):
			t.Error("not joined after 20 s")
		}
		leave()
	}()
	end := time.Now().Add(time.Minute)
	for over := false; ; {
		seen := make(map[string]bool)
		var failed error
		for k, err := range table.Keys(t.Context()) {
			if failed = err; err == nil {
				seen[k] = true
			}
		}
		switch {
		case errors.Is(failed, torc.ErrUnavailable) && time.Now().Before(end):
			t.Log(failed) // on a machine that is busy a server may pass for dead
		case failed != nil:
			t.Fatal(failed)
		case len(seen) != n:
			t.Fatalf("a walk found %d keys of %d", len(seen), n)
		case over:
			return
		}
		select {
		case <-churned:
			over = true
		default:
		}
	}
}
