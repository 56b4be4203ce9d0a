package fleet

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/cluster"
	"github.com/torc-dht/torc/memcache"
)

// Environment of the process that rebalances and is killed: which table, and how
// many entries a second. (cluster clears what begins with TORC_.)
const (
	rebalanceURL  = "TEST_REBALANCE_URL"
	rebalanceRate = "TEST_REBALANCE_RATE"
)

// rebalanceToBeKilled is what such a process does: it tells how far it is.
func rebalanceToBeKilled() int {
	err := func() error {
		rate, err := strconv.Atoi(os.Getenv(rebalanceRate))
		if err != nil {
			return err
		}
		table, err := torc.Open(context.Background(), os.Getenv(rebalanceURL))
		if err != nil {
			return err
		}
		defer table.Close()
		_, err = table.(torc.Rebalancer).Rebalance(context.Background(), torc.RebalanceOptions{
			Rate:   rate,
			Report: func(p torc.Progress) { fmt.Printf("copied %d\n", p.Copied) },
		})
		return err
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("finished")
	return 0
}

// TestRebalanceKilled drains a server and takes it back, again and again, and
// kills the rebalance that follows each time, while others write and delete. Half
// of them are begun again and finished before the next change.
func TestRebalanceKilled(t *testing.T) {
	t.Parallel()
	kills := 4
	if soak() {
		kills = 20
	}
	for _, w := range []way{{1, "on", "check"}, {3, "on", "check"}} {
		t.Run(w.String(), func(t *testing.T) {
			t.Parallel()
			g := startGrid(t, cluster.Options{}, 5, []way{w})
			rebalanceKilled(g, kills)
		})
	}
}

func rebalanceKilled(g *grid, kills int) {
	t, f := g.t, g.fleets[0]
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	keys := 5000
	want := newLedger(keys)
	g.inParallel(keys, func(i int) error { return want.put(t.Context(), f.table, i, "first") })
	rebalancer, roster := f.table.(torc.Rebalancer), f.table.(torc.Roster)
	if _, err := rebalancer.Rebalance(t.Context(), torc.RebalanceOptions{}); err != nil {
		t.Fatal(err)
	}

	writing, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	for n := range 4 {
		rnd := rand.New(rand.NewPCG(seed, uint64(n)+1))
		writers.Go(func() {
			for serial := 0; writing.Err() == nil; serial++ {
				i := rnd.IntN(keys/40)*40 + n // the others are for the rebalance alone to move
				var err error
				if rnd.IntN(3) == 0 {
					err = want.remove(t.Context(), f.table, i)
				} else {
					err = want.put(t.Context(), f.table, i, fmt.Sprintf("%d of %d", serial, n))
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	spare := g.servers[4].memcached.Addr
	for n := range kills {
		if n%2 == 0 {
			g.must(roster.RemoveMember(t.Context(), spare))
		} else {
			g.must(roster.AddMember(t.Context(), spare, torc.AddOptions{}))
		}
		all, err := rebalancer.Rebalance(t.Context(), torc.RebalanceOptions{DryRun: true})
		g.must(err)
		part := 0.1 + 0.8*rnd.Float64()
		copied := g.killRebalance(f, all.Copied, part)
		t.Logf("killed after %d of %d copies", copied, all.Copied)
		if rnd.IntN(2) == 0 {
			_, err := rebalancer.Rebalance(t.Context(), torc.RebalanceOptions{})
			g.must(err)
		}
	}
	stop()
	writers.Wait()
	done, err := rebalancer.Rebalance(t.Context(), torc.RebalanceOptions{})
	g.must(err)
	t.Logf("%d writes, then %+v", want.writes.Load(), done)
	g.check(f, want)
}

// killRebalance starts a rebalance and kills it when it has made that part of all
// copies. It returns how many it had made.
func (g *grid) killRebalance(f *sub, all uint64, part float64) (copied uint64) {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), time.Minute)
	defer cancel()
	p, err := g.client.Start(ctx, cluster.Spec{
		Name: "rebalance", Path: os.Args[0],
		Env: []string{rebalanceURL + "=" + f.url, rebalanceRate + "=" + fmt.Sprint(max(all, 100))},
	})
	g.must(err)
	_, err = p.WaitLine(ctx, time.Time{}, func(line string) bool {
		if n, ok := strings.CutPrefix(line, "copied "); ok {
			copied, _ = strconv.ParseUint(n, 10, 64)
		}
		return float64(copied) >= part*float64(all) || line == "finished"
	})
	g.must(err)
	if err := p.Kill(); !errors.Is(err, cluster.ErrNotRunning) { // it may have finished first
		g.must(err)
	}
	return copied
}

// ledger is what should be at each key.
type ledger struct {
	writes atomic.Int64
	mu     struct {
		sync.Mutex
		values []string // empty: nothing
	}
}

func newLedger(keys int) *ledger {
	l := &ledger{}
	l.mu.values = make([]string, keys)
	return l
}

func keyOf(i int) string { return fmt.Sprintf("key-%d", i) }

func (l *ledger) set(i int, value string) {
	l.writes.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.values[i] = value
}

func (l *ledger) put(ctx context.Context, table torc.Table, i int, value string) error {
	if err := table.Put(ctx, keyOf(i), []byte(value)); err != nil {
		return err
	}
	l.set(i, value)
	return nil
}

func (l *ledger) remove(ctx context.Context, table torc.Table, i int) error {
	err := table.Delete(ctx, keyOf(i))
	l.mu.Lock()
	was := l.mu.values[i]
	l.mu.Unlock()
	if errors.Is(err, torc.ErrNotFound) == (was == "") || err == nil {
		l.set(i, "")
		return nil
	}
	return fmt.Errorf("%s should be %q: %w", keyOf(i), was, err)
}

// check fails the test unless each key is at exactly its owners, with what want
// says, and those that were deleted are nowhere.
func (g *grid) check(f *sub, want *ledger) {
	g.t.Helper()
	clients := make(map[string]*memcache.Client)
	for _, p := range g.servers {
		c := memcache.NewClient(p.memcached.Addr, memcache.Config{})
		defer c.Close()
		clients[p.memcached.Addr] = c
	}
	lost, back, other, surplus := 0, 0, 0, 0
	for i, value := range want.mu.values {
		owners := make(map[string]bool)
		for _, addr := range g.owners(f, keyOf(i)) {
			owners[addr] = true
		}
		for addr, c := range clients {
			item, err := c.Peek(g.t.Context(), keyOf(i))
			if err != nil && err != memcache.ErrNotFound {
				g.t.Fatal(err)
			}
			there := err == nil && len(item.Value) > 0 // or it is a tombstone
			switch {
			case value != "" && owners[addr] && !there:
				lost++
			case value == "" && there:
				back++
			case there && !owners[addr]:
				surplus++
			case there && string(item.Value) != value:
				other++
			}
		}
	}
	if lost+back+other+surplus > 0 {
		g.t.Errorf("%d copies lost, %d back from the dead, %d with another value, %d where they should not be", lost, back, other, surplus)
	}
}
