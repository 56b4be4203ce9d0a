package fleet

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/fleet/internal/fence"
	"github.com/torc-dht/torc/memcache"
	"github.com/torc-dht/torc/memcache/memcachetest"
)

// ledger is a directory with a history, as package zookeeper's, for any number of
// tables.
type ledger struct {
	config Config

	mu struct {
		sync.Mutex
		version uint64
		done    uint64
		servers []Server
		past    []Past
		changed chan struct{} // closed at the next change
	}
}

func newLedger(c Config) *ledger {
	l := &ledger{config: c.WithDefaults()}
	l.mu.changed = make(chan struct{})
	return l
}

func (l *ledger) Follow(ctx context.Context, report func(Membership)) error {
	for {
		l.mu.Lock()
		m := Membership{
			Generation: 7, Version: l.mu.version, Config: l.config,
			Servers: slices.Clone(l.mu.servers), Past: slices.Clone(l.mu.past), Done: l.mu.done,
		}
		changed := l.mu.changed
		l.mu.Unlock()
		if m.Version > 0 {
			report(m)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
}

func (l *ledger) changeLocked() {
	close(l.mu.changed)
	l.mu.changed = make(chan struct{})
}

// set makes the servers the members, sorted, and returns the version.
func (l *ledger) set(servers ...Server) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.version++
	l.mu.servers = slices.SortedFunc(slices.Values(servers), func(a, b Server) int { return cmp.Compare(a.Addr, b.Addr) })
	l.mu.past = append(l.mu.past, Past{Version: l.mu.version, Recorded: time.Now(), Servers: l.mu.servers})
	l.changeLocked()
	return l.mu.version
}

func (l *ledger) SetDone(_ context.Context, _, version uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.done = max(l.mu.done, version)
	l.changeLocked()
	return nil
}

func (l *ledger) done() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.done
}

func (l *ledger) Drain(_ context.Context, addr string) error   { return l.drain(addr, true) }
func (l *ledger) Undrain(_ context.Context, addr string) error { return l.drain(addr, false) }

func (l *ledger) drain(addr string, drained bool) error {
	l.mu.Lock()
	servers := slices.Clone(l.mu.servers)
	l.mu.Unlock()
	for i := range servers {
		if servers[i].Addr == addr {
			servers[i].Drained = drained
		}
	}
	l.set(servers...)
	return nil
}

// open returns a table over the ledger, which waits for no view to settle.
func (l *ledger) open(t testing.TB) *Table {
	t.Helper()
	table, err := New(t.Context(), l, Options{ReadTimeout: 10 * time.Second}) // on a busy machine
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { table.Close() })
	table.quiet = 0
	return table
}

// group are memcacheds, and what is on them.
type group struct {
	t       testing.TB
	servers []Server
	clients []*memcache.Client
}

func startGroup(t testing.TB, n int, args ...string) *group {
	t.Helper()
	g := &group{t: t}
	for range n {
		g.add(memcachetest.Start(t, args...))
	}
	return g
}

func (g *group) add(addr string) {
	c := memcache.NewClient(addr, memcache.Config{})
	g.t.Cleanup(func() { c.Close() })
	g.servers = append(g.servers, Server{Addr: addr, Weight: 1, Incarnation: "1"})
	g.clients = append(g.clients, c)
}

// hold is what the servers hold at the keys, by key and address. It asks them for
// each one: a listing misses some.
func (g *group) hold(keys iter.Seq[string]) map[string]map[string]memcache.Item {
	g.t.Helper()
	all := make(map[string]map[string]memcache.Item)
	var mg memcache.Group
	for key := range keys {
		all[key] = make(map[string]memcache.Item)
		mg.Reset()
		for _, c := range g.clients {
			mg.Peek(c, key)
		}
		mg.Wait(g.t.Context())
		for i, s := range g.servers {
			item, err := mg.Item(i)
			if err == nil {
				all[key][s.Addr] = item
			} else if err != memcache.ErrNotFound {
				g.t.Fatal(err)
			}
		}
	}
	return all
}

// check fails the test unless each key of want lies at exactly its owners, with
// its value and time to live, and none of gone is anywhere but as a tombstone.
func (g *group) check(table *Table, want map[string]entry, gone ...string) {
	g.t.Helper()
	all := g.hold(maps.Keys(want))
	maps.Copy(all, g.hold(slices.Values(gone)))
	bad := func(format string, args ...any) { g.t.Helper(); g.t.Errorf(format, args...) }
	for key, e := range want {
		p, err := table.Locate(g.t.Context(), key)
		if err != nil {
			g.t.Fatal(err)
		}
		held := all[key]
		if len(held) != len(p.Owners) {
			bad("%s is at %d servers, want %d", key, len(held), len(p.Owners))
		}
		for _, o := range p.Owners {
			item, is := held[o.Addr]
			switch {
			case !is:
				bad("%s is not at its owner %s", key, o.Addr)
			case !bytes.Equal(item.Value, []byte(e.value)):
				bad("%s is %q at %s, want %q", key, item.Value, o.Addr, e.value)
			case (item.TTL == 0) != (e.ttl == 0), item.TTL > e.ttl+time.Second, item.TTL < e.ttl-time.Minute:
				bad("%s has a time to live of %v at %s, want %v", key, item.TTL, o.Addr, e.ttl)
			}
		}
		delete(all, key)
	}
	for key, held := range all {
		for addr, item := range held {
			if !fence.Stamp(item.Flags).Dead(item.TTL) {
				bad("%s is %q at %s, and should be nowhere", key, item.Value, addr)
			}
		}
	}
}

type entry struct {
	value string
	ttl   time.Duration
}

// fill puts n keys, of which a tenth have a time to live.
func fill(t testing.TB, table *Table, n int) map[string]entry {
	t.Helper()
	entries := make(map[string]entry, n)
	for i := range n {
		e := entry{value: fmt.Sprintf("value %d", i)}
		var opts []torc.PutOption
		if i%10 == 0 {
			e.ttl = time.Hour
			opts = append(opts, torc.TTL(e.ttl))
		}
		key := fmt.Sprintf("key-%d", i)
		if i%100 == 1 {
			key = fmt.Sprintf("key with spaces, ümläuts and number %d", i)
		}
		if err := table.Put(t.Context(), key, []byte(e.value), opts...); err != nil {
			t.Fatal(err)
		}
		entries[key] = e
	}
	return entries
}

// owners is who holds each key.
func owners(t testing.TB, table *Table, entries map[string]entry) map[string][]string {
	t.Helper()
	all := make(map[string][]string)
	for key := range entries {
		p, err := table.Locate(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range p.Owners {
			all[key] = append(all[key], o.Addr)
		}
	}
	return all
}

// newOwners is how many copies have to be made for who holds what to become
// after what it was before.
func newOwners(before, after map[string][]string) (n uint64) {
	for key, addrs := range after {
		for _, addr := range addrs {
			if !slices.Contains(before[key], addr) {
				n++
			}
		}
	}
	return n
}

// Adding a server, and draining one, moves what has to move and nothing else.
func TestRebalanceMovesWhatHasTo(t *testing.T) {
	t.Parallel()
	for _, copies := range []int{1, 2, 3} {
		for _, c := range []Config{
			{Stamps: StampsOn},
			{Stamps: StampsOn, Rejoin: RejoinDrop, Hash: "murmur3"},
			{Stamps: StampsOff},
		} {
			c.Copies = copies
			t.Run(fmt.Sprintf("%d copies, stamps %s, rejoin %s", copies, c.Stamps, c.Rejoin), func(t *testing.T) {
				t.Parallel()
				g := startGroup(t, 5)
				l := newLedger(c)
				l.set(g.servers[:4]...)
				table := l.open(t)
				entries := fill(t, table, 1000)
				before := owners(t, table, entries)

				done, err := table.Rebalance(t.Context(), torc.RebalanceOptions{})
				if err != nil || done.Copied+done.Removed > 0 {
					t.Fatalf("of what is in its place: %+v, %v", done, err)
				}
				if l.done() != 1 {
					t.Errorf("done is %d after a rebalance under the view 1", l.done())
				}

				waitVersion(t, table, l.set(g.servers...))
				after := owners(t, table, entries)
				dry, err := table.Rebalance(t.Context(), torc.RebalanceOptions{DryRun: true})
				want := newOwners(before, after)
				about := func(n uint64) bool { return n >= want-want/20 && n <= want+want/20 } // a listing names some keys twice, and misses some
				if err != nil || !about(dry.Copied) || !about(dry.Removed) || dry.Pass != 1 {
					t.Errorf("a dry run: %+v, %v, want %d copies", dry, err, want)
				}
				done, err = table.Rebalance(t.Context(), torc.RebalanceOptions{})
				if err != nil || done.Copied != want || done.Removed != want || done.Bytes < 7*want {
					t.Errorf("a server added: %+v, %v, want %d copies", done, err, want)
				}
				g.check(table, entries)
				if l.done() != 2 {
					t.Errorf("done is %d after a rebalance under the view 2", l.done())
				}

				if err := table.RemoveMember(t.Context(), g.servers[0].Addr); err != nil {
					t.Fatal(err)
				}
				want = newOwners(after, owners(t, table, entries))
				done, err = table.Rebalance(t.Context(), torc.RebalanceOptions{})
				if err != nil || done.Copied != want || done.Removed != want {
					t.Errorf("a server drained: %+v, %v, want %d copies", done, err, want)
				}
				g.check(table, entries)
			})
		}
	}
}

// All servers are drained, and taken back one after the other, with a rebalance
// after each step: whatever is not moved while nobody is in use is found again.
func TestRebalanceAmongNobody(t *testing.T) {
	t.Parallel()
	g := startGroup(t, 3)
	l := newLedger(Config{Stamps: StampsOn})
	l.set(g.servers...)
	table := l.open(t)
	entries := fill(t, table, 300)
	drained := slices.Clone(g.servers)
	for i := range drained {
		drained[i].Drained = true
	}
	waitVersion(t, table, l.set(drained...))
	if done, err := table.Rebalance(t.Context(), torc.RebalanceOptions{}); err != nil || done.Copied+done.Removed > 0 || l.done() > 0 {
		t.Errorf("among nobody: %+v, %v, and done is %d", done, err, l.done())
	}
	for _, s := range g.servers {
		if err := table.AddMember(t.Context(), s.Addr, torc.AddOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, err := table.Rebalance(t.Context(), torc.RebalanceOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	g.check(table, entries)
}
