package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/memcache"
)

// equal says in what the owners of key differ, if they do.
func equal(servers []*gated, key string) string {
	for _, g := range servers[1:] {
		if a, b := servers[0].value(key), g.value(key); a != b {
			return fmt.Sprintf("%s has %q, %s has %q", servers[0].addr, a, g.addr, b)
		}
	}
	return ""
}

// A Put that reaches one owner long after another Put was through leaves them
// different, and finds that out itself.
func TestLatePutIsMadeEqual(t *testing.T) {
	t.Parallel()
	inEachStampMode(t, func(t *testing.T, config Config) {
		for late := range 3 {
			table, _, servers, key := gatedTable(t, 3, Options{Config: config})
			other, _ := newTestTable(t, Options{Config: config}, addrsOf(servers...)...)
			met, release := servers[late].hold(t, func(r *memcache.Request) bool { return r.Op == memcache.OpSet && string(r.Value) == "late" })
			put := make(chan error)
			go func() { put <- table.Put(t.Context(), key, []byte("late")) }()
			<-met
			mustPut(t, other, key, "between")
			time.Sleep(4 * settleTime) // the other one has looked, and found its own
			release()
			if err := <-put; err != nil {
				t.Fatal(err)
			}
			eventually(t, func() string { return equal(servers, key) })
		}
	})
}

// Closing a table right after such a Put waits until it is mended.
func TestCloseWaitsForChecks(t *testing.T) {
	t.Parallel()
	table, _, servers, key := gatedTable(t, 3, Options{Config: Config{Copies: 3}})
	other, _ := newTestTable(t, Options{Config: Config{Copies: 3}}, addrsOf(servers...)...)
	met, release := servers[1].hold(t, func(r *memcache.Request) bool { return r.Op == memcache.OpSet && string(r.Value) == "late" })
	put := make(chan error)
	go func() { put <- table.Put(t.Context(), key, []byte("late")) }()
	<-met
	mustPut(t, other, key, "between")
	other.Close()
	time.Sleep(2 * settleTime)
	release()
	if err := <-put; err != nil {
		t.Fatal(err)
	}
	table.Close()
	if problem := equal(servers, key); problem != "" {
		t.Fatal(problem)
	}
}

// It does not wait long for a server that is silent.
func TestCloseDoesNotWaitForSilentServer(t *testing.T) {
	t.Parallel()
	table, _, servers, key := gatedTable(t, 3, Options{Config: Config{Copies: 3}, ReadTimeout: time.Hour})
	met, release := servers[0].hold(t, isLook)
	mustPut(t, table, key, "v")
	<-met
	closed := make(chan struct{})
	go func() { defer close(closed); table.Close() }()
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
		t.Error("Close still waits")
	}
	release()
	<-closed
}

// settled waits until every check that is due has been made.
func settled(t *testing.T, table *Table) {
	t.Helper()
	eventually(t, func() string {
		c := table.converger
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.mu.due > 0 {
			return fmt.Sprint(c.mu.due, " checks are still due")
		}
		return ""
	})
}

// Puts and Deletes of few keys by many callers of several tables leave equal copies.
func TestStormConverges(t *testing.T) {
	t.Parallel()
	inEachStampMode(t, func(t *testing.T, config Config) {
		table, _, servers, _ := gatedTable(t, 3, Options{Config: config})
		other, _ := newTestTable(t, Options{Config: config}, addrsOf(servers...)...)
		var wg sync.WaitGroup
		for i := range 16 {
			table := []*Table{table, other}[i%2]
			wg.Go(func() {
				for n := range 100 {
					key := fmt.Sprint("k", n%5)
					if config.Stamps == StampsOn && n%7 == 0 {
						table.Delete(t.Context(), key) //nolint:errcheck // there may be none
					} else if err := table.Put(t.Context(), key, fmt.Appendf(nil, "%d-%d", i, n)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		for n := range 5 {
			eventually(t, func() string { return equal(servers, fmt.Sprint("k", n)) })
		}
	})
}

// With no more room for checks a Put waits for it, as long as its time lasts: that
// of its context, or the table's.
func TestPutWaitsForRoom(t *testing.T) {
	t.Parallel()
	table, _, _, key := gatedTable(t, 3, Options{Config: Config{Copies: 3}, WriteTimeout: time.Second})
	c := table.converger
	c.mu.Lock()
	c.mu.due += maxChecks
	c.mu.Unlock()
	put := make(chan error)
	begin := func(ctx context.Context) {
		go func() { put <- table.Put(ctx, key, []byte("v")) }()
	}
	waits := func() {
		t.Helper()
		eventually(t, func() string {
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.mu.room == nil {
				return "Put does not wait"
			}
			return ""
		})
	}
	givesUp := func() {
		t.Helper()
		if err := <-put; !errors.Is(err, torc.ErrUnknownOutcome) || strings.Count(err.Error(), torc.ErrUnknownOutcome.Error()) != 1 {
			t.Fatalf("there was no room, and Put = %v", err)
		}
	}
	leaving, leave := context.WithCancel(t.Context())
	begin(leaving)
	waits()
	leave()
	givesUp()
	begin(t.Context())
	givesUp()
	begin(t.Context())
	waits()
	c.mu.Lock()
	c.mu.due -= maxChecks
	c.freeLocked()
	c.mu.Unlock()
	if err := <-put; err != nil {
		t.Fatal(err)
	}
}

// What a table gives to an owner while a Delete goes by is taken back, also if the
// view has changed meanwhile.
func TestCopyIsTakenBackAcrossViews(t *testing.T) {
	t.Parallel()
	table, dir, servers, key := gatedTable(t, 3, Options{Config: Config{Copies: 3}})
	met, release := servers[2].hold(t, isOp(memcache.OpSet))
	put := make(chan error)
	go func() { put <- table.Put(t.Context(), key, []byte("v")) }()
	<-met
	eventually(t, func() string {
		if servers[0].value(key) == "" || servers[1].value(key) == "" {
			return "the Put is not at the other owners"
		}
		return ""
	})
	time.Sleep(2 * settleTime) // a Put that has taken so long looks at all owners
	servers[1].store.Delete([]byte(key))
	given, give := servers[1].hold(t, isOp(memcache.OpSet))
	release()
	if err := <-put; err != nil {
		t.Fatal(err)
	}
	<-given
	for _, g := range servers {
		g.store.Delete([]byte(key))
	}
	dir.set(addrsOf(servers...)...)
	waitVersion(t, table, 2)
	give()
	eventually(t, func() string {
		if n := table.metrics.load(convergeCorrect); n == 0 {
			return "the copy was not made"
		}
		return ""
	})
	eventually(t, func() string { return equal(servers, key) })
}

// A server that is silent does not keep copies on others from being made equal.
func TestRacesBesideSilentServer(t *testing.T) {
	t.Parallel()
	table, _, servers, key := gatedTable(t, 4, Options{Config: Config{Copies: 2}, ReadTimeout: 100 * time.Millisecond})
	met, _ := servers[0].hold(t, isLook)
	by := make(map[string]*gated)
	for _, g := range servers {
		by[g.addr] = g
	}
	other, owners := "", []*gated{servers[0]}
	for n := 0; slices.Contains(owners[:min(2, len(owners))], servers[0]); n++ {
		other = fmt.Sprint("other-", n)
		owners = inOrder(t, table, other, by)
	}
	mustPut(t, table, key, "v")
	<-met // whoever looks at copies waits
	mustPut(t, table, other, "v")
	c := memcache.NewClient(owners[0].addr, memcache.Config{})
	defer c.Close()
	if _, err := c.Set(t.Context(), memcache.Item{Key: other, Value: []byte("w")}, memcache.ModeSet); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() string { return equal(owners[:2], other) })
}
