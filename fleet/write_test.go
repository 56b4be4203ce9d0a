package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/memcache"
	"github.com/torc-dht/torc/memcache/memcachetest"
)

// A Put is answered when every owner has it; where one does not in time, the error
// says who has it and who hasn't.
func TestPutSaysWhoHasIt(t *testing.T) {
	t.Parallel()
	inEachStampMode(t, func(t *testing.T, config Config) {
		table, _, servers, key := gatedTable(t, 4, Options{Config: config})
		_, release := servers[1].hold(t, isOp(memcache.OpSet))
		err := table.Put(soon(t, 50*time.Millisecond), key, []byte("v"))
		if !errors.Is(err, torc.ErrUnknownOutcome) || !errors.Is(err, torc.ErrUnavailable) {
			t.Fatalf("Put = %v, want an unknown outcome", err)
		}
		has, hasNot, found := strings.Cut(err.Error(), ", not known to be at ")
		if !found || !strings.Contains(has, servers[0].addr) || !strings.Contains(has, servers[2].addr) || !strings.HasPrefix(hasNot, servers[1].addr+")") {
			t.Errorf("Put = %v: it does not say that %s lacks it", err, servers[1].addr)
		}
		var e *torc.Error
		if !errors.As(err, &e) || e.Member != servers[1].addr {
			t.Errorf("Put = %#v, want the member that did not answer", err)
		}
		release()
	})
}

// A Put that waits for a server goes on without it as soon as the view does, and
// reaches those that hold the key by then.
func TestPutAcrossViews(t *testing.T) {
	t.Parallel()
	inEachStampMode(t, func(t *testing.T, config Config) {
		for frozen := range 3 {
			table, dir, servers, key := gatedTable(t, 4, Options{Config: config})
			met, _ := servers[frozen].hold(t, isOp(memcache.OpSet))
			put := make(chan error)
			go func() { put <- table.Put(t.Context(), key, []byte("v")) }()
			<-met
			servers = append(servers[:frozen:frozen], servers[frozen+1:]...)
			dir.set(addrsOf(servers...)...)
			if err := <-put; err != nil {
				t.Fatal(err)
			}
			for _, g := range servers {
				if g.value(key) != "v" {
					t.Errorf("with owner %d out of the view another one has %q", frozen, g.value(key))
				}
			}
		}
	})
}

// Whoever comes to hold the key while a Put is under way gets it too, and whoever
// ceases to has nothing afterwards.
func TestPutWhileOwnersChange(t *testing.T) {
	t.Parallel()
	for _, rejoin := range []string{RejoinCheck, RejoinDrop} {
		t.Run(rejoin, func(t *testing.T) {
			t.Parallel()
			table, dir, servers, key := gatedTable(t, 2, Options{Config: Config{Stamps: StampsOn, Rejoin: rejoin}})
			mustPut(t, table, key, "old")
			met, release := servers[0].hold(t, isOp(memcache.OpSet))
			put := make(chan error)
			go func() { put <- table.Put(t.Context(), key, []byte("new")) }()
			<-met
			dir.setServers(Server{Addr: servers[0].addr, Drained: true}, Server{Addr: servers[1].addr})
			waitVersion(t, table, 2)
			release()
			if err := <-put; err != nil {
				t.Fatal(err)
			}
			if has, had := servers[1].value(key), servers[0].value(key); has != "new" || had != "" {
				t.Errorf("the new owner has %q, the former one %q", has, had)
			}
			mustGet(t, table, key, "new")
		})
	}
}

// A deleted entry stays deleted, whichever servers lose what they hold.
func TestDeleteLeavesNothingToComeBack(t *testing.T) {
	t.Parallel()
	inEachStampMode(t, func(t *testing.T, config Config) {
		for lost := range 8 {
			table, _, servers, key := gatedTable(t, 4, Options{Config: config})
			mustPut(t, table, key, "v")
			if err := table.Delete(t.Context(), key); err != nil {
				t.Fatal(err)
			}
			for i := range 3 {
				if lost&(1<<i) != 0 {
					servers[i].store.Delete([]byte(key))
				}
			}
			mustMiss(t, table, key)
			if err := table.Delete(t.Context(), key); !errors.Is(err, torc.ErrNotFound) {
				t.Errorf("a second Delete = %v", err)
			}
			if err := table.Put(t.Context(), key, nil, torc.IfPresent()); !errors.Is(err, torc.ErrNotFound) {
				t.Errorf("Put if present = %v", err)
			}
			mustPut(t, table, key, "again", torc.IfAbsent())
			mustGet(t, table, key, "again")
		}
	})
}

// A Get found a copy, and is about to put it where the first server lacked it,
// when a Delete comes and goes. What the Get then adds is taken back.
func TestRepairAgainstDelete(t *testing.T) {
	t.Parallel()
	inEachStampMode(t, func(t *testing.T, config Config) {
		table, _, servers, key := gatedTable(t, 4, Options{Config: config})
		mustPut(t, table, key, "v")
		servers[0].store.Delete([]byte(key))
		var repairs bool
		met, release := servers[0].hold(t, func(r *memcache.Request) bool {
			if r.Op == memcache.OpSet && r.Mode == memcache.ModeAdd && !repairs {
				repairs = true
				return true
			}
			return false
		})
		got := make(chan struct{})
		go func() { defer close(got); table.Get(t.Context(), key) }() //nolint:errcheck // either is right
		<-met
		other, _ := newTestTable(t, Options{Config: config}, addrsOf(servers...)...)
		if err := other.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		release()
		<-got
		mustMiss(t, table, key)
		for i, g := range servers[:3] {
			if v := g.value(key); v != "" {
				t.Errorf("owner %d has %q", i, v)
			}
		}
	})
}

// The same with a Put: it wins.
func TestRepairAgainstPut(t *testing.T) {
	t.Parallel()
	inEachStampMode(t, func(t *testing.T, config Config) {
		table, _, servers, key := gatedTable(t, 4, Options{Config: config})
		mustPut(t, table, key, "v")
		servers[0].store.Delete([]byte(key))
		var repairs bool
		met, release := servers[0].hold(t, func(r *memcache.Request) bool {
			if r.Op == memcache.OpSet && r.Mode == memcache.ModeAdd && !repairs {
				repairs = true
				return true
			}
			return false
		})
		got := make(chan struct{})
		go func() { defer close(got); table.Get(t.Context(), key) }() //nolint:errcheck // either is right
		<-met
		other, _ := newTestTable(t, Options{Config: config}, addrsOf(servers...)...)
		mustPut(t, other, key, "w")
		release()
		<-got
		mustGet(t, table, key, "w")
		for i, g := range servers[:3] {
			if v := g.value(key); v != "w" {
				t.Errorf("owner %d has %q", i, v)
			}
		}
	})
}

// With one copy, what a Get takes over from a former owner, with a cas or an add,
// does not replace what was put meanwhile, and goes where the source was deleted.
func TestTakingOverAgainstWrites(t *testing.T) {
	t.Parallel()
	for _, rejoin := range []string{RejoinCheck, RejoinDrop} {
		for _, write := range []string{"put", "delete"} {
			t.Run(rejoin+" "+write, func(t *testing.T) {
				t.Parallel()
				config := Config{Stamps: StampsOn, Rejoin: rejoin}
				table, dir, servers, key := gatedTable(t, 2, Options{Config: config})
				mustPut(t, table, key, "old")
				former, owner := servers[0], servers[1]
				dir.setServers(Server{Addr: former.addr, Drained: true}, Server{Addr: owner.addr})
				waitVersion(t, table, 2)
				var takes bool
				met, release := owner.hold(t, func(r *memcache.Request) bool {
					if r.Op == memcache.OpSet && !takes {
						takes = true
						return true
					}
					return false
				})
				got := make(chan struct{})
				go func() { defer close(got); table.Get(t.Context(), key) }() //nolint:errcheck // either is right
				<-met

				other := newFakeDirectory()
				other.config = config
				other.mu.version, other.mu.past = dir.mu.version-1, dir.mu.past[:1]
				go other.setServers(Server{Addr: former.addr, Drained: true}, Server{Addr: owner.addr})
				writer, err := New(t.Context(), other, Options{Config: config})
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { writer.Close() })
				if write == "put" {
					mustPut(t, writer, key, "new")
				} else if err := writer.Delete(t.Context(), key); err != nil {
					t.Fatal(err)
				}
				release()
				<-got
				if write == "put" {
					mustGet(t, table, key, "new")
				} else {
					mustMiss(t, table, key)
				}
			})
		}
	}
}

// A value that one of its owners can't take is refused before any has it.
func TestTooLargeForOneOwner(t *testing.T) {
	t.Parallel()
	large, small := memcachetest.Start(t), memcachetest.Start(t, "-I", "512k")
	table, _ := newTestTable(t, Options{Config: Config{Copies: 2}}, large, small)
	mustPut(t, table, "k", "v")
	for _, opts := range [][]torc.PutOption{nil, {torc.IfPresent()}} {
		err := table.Put(t.Context(), "k", make([]byte, 700<<10), opts...)
		var e *torc.Error
		if !errors.Is(err, torc.ErrTooLarge) || !errors.As(err, &e) || e.Member != small {
			t.Errorf("Put = %v, want that %s does not take it", err, small)
		}
		mustGet(t, table, "k", "v")
	}
}

// The version of an entry that was read from another server than the first is no
// version for a condition.
func TestVersionOfAnotherOwnerConflicts(t *testing.T) {
	t.Parallel()
	table, _, servers, key := gatedTable(t, 3, Options{Config: Config{Copies: 3}, Hedge: 2 * time.Millisecond, ReadTimeout: time.Minute})
	mustPut(t, table, key, "v")
	_, release := servers[0].hold(t, isOp(memcache.OpGet))
	e := mustGet(t, table, key, "v")
	release()
	if err := table.Put(t.Context(), key, []byte("w"), torc.IfVersion(e.Version)); !errors.Is(err, torc.ErrConflict) {
		t.Errorf("Put = %v, want a conflict", err)
	}
}

// Conditions are decided by what a Get would find, not by what lies at the first
// server.
func TestConditionsGoByWhatCounts(t *testing.T) {
	t.Parallel()
	for i, test := range []struct {
		opt  func(torc.Version) torc.PutOption
		want error
	}{
		{func(torc.Version) torc.PutOption { return torc.IfAbsent() }, torc.ErrExists},
		{func(torc.Version) torc.PutOption { return torc.IfPresent() }, nil},
		{func(v torc.Version) torc.PutOption { return torc.IfVersion(v) }, torc.ErrConflict},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			// The entry is at a former owner alone.
			table, dir, servers, key := gatedTable(t, 2, Options{Config: Config{Stamps: StampsOn}})
			mustPut(t, table, key, "v")
			e := mustGet(t, table, key, "v")
			dir.setServers(Server{Addr: servers[0].addr, Drained: true}, Server{Addr: servers[1].addr})
			waitVersion(t, table, 2)
			if err := table.Put(t.Context(), key, []byte("w"), test.opt(e.Version)); !errors.Is(err, test.want) && err != test.want {
				t.Fatalf("Put = %v, want %v", err, test.want)
			}
			want := "v"
			if test.want == nil {
				want = "w"
			}
			mustGet(t, table, key, want)
		})
	}
}

// A Put with a condition that was decided, and waits for another owner, pauses
// between attempts also once the view has changed elsewhere.
func TestDecidedPutPausesAcrossViews(t *testing.T) {
	t.Parallel()
	inEachStampMode(t, func(t *testing.T, config Config) {
		table, dir, servers, key := gatedTable(t, 4, Options{Config: config})
		met, release := servers[0].hold(t, isOp(memcache.OpSet))
		gone := refusing(t)
		put := make(chan error)
		go func() { put <- table.Put(soon(t, 300*time.Millisecond), key, []byte("v"), torc.IfAbsent()) }()
		<-met
		servers[1].stop()
		dir.set(append(addrsOf(servers...), gone)...)
		waitVersion(t, table, 2)
		release()
		if err := <-put; !errors.Is(err, torc.ErrUnknownOutcome) {
			t.Fatalf("Put = %v, want an unknown outcome", err)
		}
		if n := table.metrics.load(writeRetry); n > 30 {
			t.Errorf("%d attempts in 300 ms", n)
		}
	})
}

// A Get that has put a copy where one was lacking, and whose context ends before
// it has seen that the source is still there, takes the copy back all the same.
func TestRepairIsTakenBackWhenContextEnds(t *testing.T) {
	t.Parallel()
	inEachStampMode(t, func(t *testing.T, config Config) {
		table, _, servers, key := gatedTable(t, 4, Options{Config: config})
		mustPut(t, table, key, "v")
		settled(t, table)
		servers[0].store.Delete([]byte(key))
		met, release := servers[1].hold(t, isLook) // at the source
		ctx, cancel := context.WithCancel(t.Context())
		got := make(chan struct{})
		go func() { defer close(got); table.Get(ctx, key) }() //nolint:errcheck // either is right
		<-met
		for _, g := range servers[1:3] {
			g.store.Delete([]byte(key))
		}
		cancel()
		<-got
		release()
		eventually(t, func() string {
			if v := servers[0].value(key); v != "" {
				return fmt.Sprintf("the first owner has %q, which was deleted", v)
			}
			return ""
		})
	})
}

// A copy whose source can't be looked at again stays: it counts as its source did,
// which may be lost.
func TestRepairStaysWhenSourceFallsSilent(t *testing.T) {
	t.Parallel()
	inEachStampMode(t, func(t *testing.T, config Config) {
		table, _, servers, key := gatedTable(t, 4, Options{Config: config, ReadTimeout: 100 * time.Millisecond})
		mustPut(t, table, key, "v")
		settled(t, table)
		servers[0].store.Delete([]byte(key))
		_, release := servers[1].hold(t, isLook)
		mustGet(t, table, key, "v")
		release()
		table.Close() // waits for what it has begun
		if v := servers[0].value(key); v != "v" {
			t.Errorf("the first owner has %q", v)
		}
	})
}

// A Delete without stamps that has removed the entry at one of the servers that
// held it before, and can't reach another, does not say that it did not happen.
func TestDeleteThatFoundSomethingBefore(t *testing.T) {
	t.Parallel()
	g, owner := startGated(t), startGated(t)
	table, dir := newTestTable(t, Options{}, g.addr)
	mustPut(t, table, "k", "v")
	gone := refusing(t)
	member := func(addr string, drained bool) Server {
		return Server{Addr: addr, Weight: 1, Incarnation: "1", Drained: drained}
	}
	servers := []Server{member(gone, true), member(g.addr, true), member(owner.addr, false)}
	slices.SortFunc(servers, func(a, b Server) int { return strings.Compare(a.Addr, b.Addr) })
	dir.views <- Membership{
		Generation: 1, Version: 3, Config: Config{}.WithDefaults(), Servers: servers,
		Past: []Past{
			{Version: 1, Servers: []Server{member(gone, false)}},
			{Version: 2, Servers: []Server{member(g.addr, false)}},
		},
	}
	waitVersion(t, table, 3)
	err := table.Delete(soon(t, 100*time.Millisecond), "k")
	if g.value("k") != "" {
		t.Fatal("it was not deleted where it was")
	}
	if !errors.Is(err, torc.ErrUnknownOutcome) {
		t.Errorf("Delete = %v, want an unknown outcome", err)
	}
}
