package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/memcache"
)

// moving returns a table whose next rebalance has n entries to move.
func moving(t *testing.T, n int) (*Table, *ledger, *group) {
	t.Helper()
	g := startGroup(t, 2)
	l := newLedger(Config{Stamps: StampsOn, Hash: "murmur3"})
	l.set(g.servers[0])
	table := l.open(t)
	load(t, table, 2*n, 10)
	waitVersion(t, table, l.set(g.servers...))
	return table, l, g
}

func TestRebalanceIsInterrupted(t *testing.T) {
	t.Parallel()
	slow := torc.RebalanceOptions{Rate: 100}
	table, l, _ := moving(t, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	began := make(chan struct{})
	var once atomic.Bool
	slow.Report = func(p torc.Progress) {
		if p.Copied > 0 && once.CompareAndSwap(false, true) {
			close(began)
		}
	}
	type result struct {
		done torc.Progress
		err  error
	}
	results := make(chan result)
	run := func(ctx context.Context) {
		done, err := table.Rebalance(ctx, slow)
		results <- result{done, err}
	}
	go run(ctx)
	<-began
	if _, err := table.Rebalance(t.Context(), torc.RebalanceOptions{}); !errors.Is(err, torc.ErrInvalid) {
		t.Errorf("a second Rebalance = %v", err)
	}
	cancel()
	if r := <-results; !errors.Is(r.err, context.Canceled) || r.done.Copied == 0 || l.done() != 0 {
		t.Errorf("Rebalance = %+v, %v", r.done, r.err)
	}

	once.Store(false)
	began = make(chan struct{})
	go run(t.Context())
	<-began
	table.Close()
	if r := <-results; !errors.Is(r.err, torc.ErrClosed) {
		t.Errorf("Rebalance of a table that is closed = %v", r.err)
	}
	if _, err := table.Rebalance(t.Context(), torc.RebalanceOptions{}); !errors.Is(err, torc.ErrClosed) {
		t.Errorf("Rebalance of a closed table = %v", err)
	}
}

// It goes on under the new view when the members change, and says nothing is done
// of a view that it has not finished.
func TestRebalanceFollowsView(t *testing.T) {
	t.Parallel()
	g := startGroup(t, 3)
	l := newLedger(Config{Copies: 2, Stamps: StampsOn})
	l.set(g.servers[:2]...)
	table := l.open(t)
	entries := fill(t, table, 500)
	waitVersion(t, table, l.set(g.servers...))
	var once atomic.Bool
	done, err := table.Rebalance(t.Context(), torc.RebalanceOptions{Rate: 1000, Report: func(p torc.Progress) {
		if p.Copied > 0 && once.CompareAndSwap(false, true) {
			l.drain(g.servers[0].Addr, true) //nolint:errcheck // it never fails
		}
	}})
	if err != nil || l.done() != 3 {
		t.Errorf("Rebalance = %+v, %v, and done is %d", done, err, l.done())
	}
	g.check(table, entries)
}

func TestRebalanceOfUnreachableServer(t *testing.T) {
	t.Parallel()
	g := startGroup(t, 1)
	l := newLedger(Config{Stamps: StampsOn})
	l.set(append(g.servers, Server{Addr: refusing(t), Weight: 1})...)
	table := l.open(t)
	_, err := table.Rebalance(t.Context(), torc.RebalanceOptions{})
	if !errors.Is(err, torc.ErrUnavailable) || !strings.Contains(fmt.Sprint(err), "refused") || l.done() != 0 {
		t.Errorf("Rebalance = %v, and done is %d", err, l.done())
	}
}

// Servers that have no room for what they should hold don't keep it going.
func TestRebalanceOfFullServers(t *testing.T) {
	t.Parallel()
	g := startGroup(t, 4, "-m", "8")
	l := newLedger(Config{Copies: 3, Stamps: StampsOn})
	l.set(g.servers[:3]...)
	table := l.open(t)
	load(t, table, 2000, 10_000)
	waitVersion(t, table, l.set(g.servers...))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	done, err := table.Rebalance(ctx, torc.RebalanceOptions{})
	if err != nil || l.done() != 2 {
		t.Errorf("Rebalance = %+v, %v", done, err)
	}
	t.Logf("%+v", done)
}

// A server that is at another dump is waited for.
func TestListingOfBusyServer(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	addr := answering(t, afterGreeting(func(c net.Conn, line string) bool {
		if !strings.HasPrefix(line, "lru_crawler metadump") {
			return false
		}
		answer := "BUSY currently processing crawler request\r\n"
		if asked.Add(1) > 2 {
			answer = "key=k exp=-1 la=1 cas=1 fetch=no cls=1 size=60\r\nEND\r\n"
		}
		_, err := io.WriteString(c, answer)
		return err == nil
	}))
	c := memcache.NewClient(addr, memcache.Config{})
	defer c.Close()
	n := 0
	for info, err := range keysOf(t.Context(), c) {
		if err != nil || info.Key != "k" {
			t.Fatal(info, err)
		}
		n++
	}
	if n != 1 || asked.Load() != 3 {
		t.Errorf("%d keys after %d attempts", n, asked.Load())
	}
}
