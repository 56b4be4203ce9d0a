package fleet

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/torc-dht/torc"
	_ "github.com/torc-dht/torc/fleet/zookeeper"
	"github.com/torc-dht/torc/internal/cluster"
)

// What the session time-out of 2 s allows: ZooKeeper ends sessions on a tick,
// and 0.5 s more for everybody to hear of it.
const sessionOut = 2500 * time.Millisecond

func (f *fleet) open() torc.Table {
	f.t.Helper()
	table, err := torc.Open(f.t.Context(), f.url)
	f.must(err)
	f.t.Cleanup(func() { table.Close() })
	return table
}

// put fills the table with n keys and says who owns each.
func (f *fleet) put(table torc.Table, n int) map[string]string {
	f.t.Helper()
	owners := make(map[string]string)
	for i := range n {
		key := fmt.Sprintf("key-%d", i)
		f.must(table.Put(f.t.Context(), key, []byte("value of "+key)))
		p, err := table.Locate(f.t.Context(), key)
		f.must(err)
		owners[key] = p.Owners[0].Addr
	}
	return owners
}

// stayed checks that the keys which others than gone own are where they were.
func (f *fleet) stayed(table torc.Table, owners map[string]string, gone string) {
	f.t.Helper()
	moved, lost, others := 0, 0, 0
	for key, owner := range owners {
		if owner == gone {
			continue
		}
		others++
		p, err := table.Locate(f.t.Context(), key)
		f.must(err)
		if len(p.Owners) == 0 || p.Owners[0].Addr != owner {
			moved++
		}
		if e, err := table.Get(f.t.Context(), key); err != nil || string(e.Value) != "value of "+key {
			lost++
		}
	}
	if others == 0 || moved > 0 || lost > 0 {
		f.t.Errorf("of %d keys on the other servers %d moved and %d were lost", others, moved, lost)
	}
}

func TestMemcachedKilled(t *testing.T) {
	f := start(t, cluster.Options{}, 4)
	table := f.open()
	owners := f.put(table, 400)
	for i := range *faults {
		s := f.servers[i%len(f.servers)]
		addr := s.memcached.Addr
		f.measure("memcached killed: out", 300*time.Millisecond, hasNot(addr), s.memcached.Kill)
		f.stayed(table, owners, addr)
		f.back("memcached started again: back", time.Second, has(addr), func() error { return s.memcached.Restart(t.Context()) })
		f.stayed(table, owners, addr)
		owners = f.put(table, 400)
	}
}

func TestMemcachedFrozen(t *testing.T) {
	f := start(t, cluster.Options{}, 3)
	table := f.open()
	owners := f.put(table, 100)
	for i := range *faults {
		s := f.servers[i%len(f.servers)]
		addr := s.memcached.Addr
		f.measure("memcached frozen: out", time.Second, hasNot(addr), func() error {
			if err := s.memcached.Freeze(); err != nil {
				return err
			}
			for key, owner := range owners {
				if owner != addr {
					continue
				}
				began := time.Now()
				_, err := table.Get(t.Context(), key)
				if err == nil {
					return errors.New("a frozen server answered")
				}
				// The read time-out, and time for a busy machine to notice.
				seen.Add(t, "GET from a frozen memcached: a miss", 550*time.Millisecond, time.Since(began))
				return nil
			}
			return errors.New("no key is there")
		})
		f.back("memcached goes on: back", time.Second, has(addr), s.memcached.Thaw)
	}
}

func TestWatchdogFrozen(t *testing.T) {
	testWatchdogAway(t, "watchdog frozen: out", "watchdog goes on: back",
		(*cluster.Proc).Freeze, (*cluster.Proc).Thaw)
}

func TestWatchdogKilled(t *testing.T) {
	testWatchdogAway(t, "watchdog killed: out", "watchdog started again after its kill: back",
		(*cluster.Proc).Kill, func(p *cluster.Proc) error { return p.Restart(t.Context()) })
}

// testWatchdogAway takes watchdogs away for longer than their session and brings
// them back. Their servers, which were well all the time, have to be empty then,
// in a fleet without stamps.
func testWatchdogAway(t *testing.T, out, back string, leave, comeBack func(*cluster.Proc) error) {
	f := startWith(t, cluster.Options{}, 3, "?stamp=off")
	table := f.open()
	for i := range *faults {
		s := f.servers[i%len(f.servers)]
		addr := s.memcached.Addr
		f.put(table, 50)
		f.measure(out, sessionOut, hasNot(addr), func() error { return leave(s.watchdog) })
		f.back(back, time.Second, has(addr), func() error { return comeBack(s.watchdog) })
		f.empty(s)
	}
}

// empty checks that nothing from before is left on a server that is back.
func (f *fleet) empty(s *server) {
	f.t.Helper()
	table, err := torc.Open(f.t.Context(), "memcached://"+s.memcached.Addr)
	f.must(err)
	defer table.Close()
	for i := range 50 {
		key := fmt.Sprintf("key-%d", i)
		if e, err := table.Get(f.t.Context(), key); !errors.Is(err, torc.ErrNotFound) {
			f.t.Errorf("%s came back with %s=%q: %v", s.memcached.Addr, key, e.Value, err)
		}
	}
}

func TestWatchdogTerminated(t *testing.T) {
	f := start(t, cluster.Options{}, 3)
	for i := range *faults {
		s := f.servers[i%len(f.servers)]
		addr := s.memcached.Addr
		f.measure("watchdog ended by SIGTERM: out", 300*time.Millisecond, hasNot(addr), s.watchdog.Term)
		if code, err := s.watchdog.Wait(t.Context()); err != nil || code != 0 {
			t.Errorf("the watchdog exited %d, %v", code, err)
		}
		f.back("watchdog started again: back", time.Second, has(addr), func() error { return s.watchdog.Restart(t.Context()) })
	}
}

// A watchdog that is started again before its session has expired takes its
// place over: the server is never out, and keeps what it holds.
func TestWatchdogRestartedInTime(t *testing.T) {
	f := start(t, cluster.Options{}, 3)
	table := f.open()
	owners := f.put(table, 200)
	s := f.servers[0]
	began := time.Now()
	f.must(s.watchdog.Kill())
	f.must(s.watchdog.Restart(t.Context()))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := s.watchdog.WaitLine(ctx, began, func(text string) bool { return strings.Contains(text, "announced") }); err != nil {
		t.Fatal(err)
	}
	f.stayed(table, owners, "")
	for _, w := range f.watchers {
		for _, line := range w.Output() {
			if line.At.After(began) && strings.Contains(line.Text, `"members"`) && !strings.Contains(line.Text, s.memcached.Addr) {
				t.Errorf("%s saw it out: %s", w.Name, line.Text)
			}
		}
	}
}

func TestInterfaceDown(t *testing.T) {
	cluster.NeedNamespaces(t)
	f := start(t, cluster.Options{Namespaces: true}, 3)
	for i := range *faults {
		s := f.servers[i%len(f.servers)]
		addr := s.memcached.Addr
		f.measure("interface down: out", sessionOut, hasNot(addr), s.host.InterfaceDown)
		f.back("interface up: back", time.Second, has(addr), s.host.InterfaceUp)
	}
}

// load puts and gets until it is stopped; a call that fails otherwise than by a
// miss is an error.
type load struct {
	stop        chan struct{}
	wg          sync.WaitGroup
	gets, puts  atomic.Int64
	hits        atomic.Int64
	first       atomic.Pointer[error]
	unexpected  atomic.Int64
	longestCall atomic.Int64
}

func startLoad(t *testing.T, table torc.Table, callers int) *load {
	l := &load{stop: make(chan struct{})}
	fail := func(err error) {
		l.unexpected.Add(1)
		l.first.CompareAndSwap(nil, &err)
	}
	for c := range callers {
		l.wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-l.stop:
					return
				default:
				}
				key, value := fmt.Sprintf("load-%d-%d", c, i%100), fmt.Sprintf("%d-%d", c, i)
				began := time.Now()
				if err := table.Put(t.Context(), key, []byte(value)); err != nil {
					fail(err)
				}
				l.puts.Add(1)
				e, err := table.Get(t.Context(), key)
				switch {
				case err == nil && string(e.Value) == value:
					l.hits.Add(1)
				case err == nil:
					fail(fmt.Errorf("get %s: %q, want %q", key, e.Value, value))
				default:
					fail(err)
				}
				l.gets.Add(1)
				if d := int64(time.Since(began)); d > l.longestCall.Load() {
					l.longestCall.Store(d)
				}
			}
		})
	}
	return l
}

func (l *load) end(t *testing.T) {
	t.Helper()
	close(l.stop)
	l.wg.Wait()
	t.Logf("%d puts, %d gets, %d hits, longest put and get %v", l.puts.Load(), l.gets.Load(), l.hits.Load(), time.Duration(l.longestCall.Load()).Round(time.Millisecond))
	if l.hits.Load() == 0 {
		t.Error("nothing was read")
	}
}

// failed returns how many calls did not do as they should, and the first such.
func (l *load) failed() (n int64, first error) {
	if err := l.first.Load(); err != nil {
		first = *err
	}
	return l.unexpected.Load(), first
}

// outage is how long ZooKeeper is away.
func outage() time.Duration {
	if *faults >= 10 {
		return 30 * time.Second
	}
	return 5 * time.Second // longer than any session
}

func TestZooKeeperKilled(t *testing.T) {
	f := start(t, cluster.Options{}, 3)
	table := f.open()
	l := startLoad(t, table, 8)
	for range *faults {
		f.loseZooKeeper()
		f.back("ZooKeeper back with its data: view whole", 3*time.Second, func(v view) bool {
			return v.LostContact.IsZero() && len(v.up()) == 3
		}, func() error { return f.zk.Restart(t.Context()) })
	}
	l.end(t)
	if n, first := l.failed(); n > 0 {
		t.Errorf("%d calls failed, the first: %v", n, first)
	}
}

func TestZooKeeperLosesItsData(t *testing.T) {
	f := start(t, cluster.Options{}, 3)
	table := f.open()
	l := startLoad(t, table, 8)
	for range *faults {
		var before torc.View
		for v, err := range table.Members(t.Context()) {
			f.must(err)
			before = v
			break
		}
		f.loseZooKeeper()
		f.must(f.zk.WipeData())
		f.back("ZooKeeper back without its data: view whole", 3*time.Second, func(v view) bool {
			return v.LostContact.IsZero() && len(v.up()) == 3 && v.Generation != before.Generation
		}, func() error { return f.zk.Restart(t.Context()) })
	}
	l.end(t)
	// The servers were flushed before they were announced again, so that a get of
	// what was put just before may miss. Nothing may fail, or be stale.
	if n, first := l.failed(); n > 0 && (!errors.Is(first, torc.ErrNotFound) || errors.Is(first, torc.ErrUnavailable)) {
		t.Errorf("%d calls failed, the first: %v", n, first)
	}
}

// loseZooKeeper kills ZooKeeper and leaves it dead for a while.
func (f *fleet) loseZooKeeper() {
	f.t.Helper()
	began := time.Now()
	f.must(f.zk.Kill())
	f.waitAll(began, "lost contact", func(v view) bool { return !v.LostContact.IsZero() })
	time.Sleep(outage()) // the fault itself: there is nothing to wait for
}

func TestClientCutFromZooKeeper(t *testing.T) {
	cluster.NeedNamespaces(t)
	f := start(t, cluster.Options{Namespaces: true}, 3)
	client := f.cluster.Host("c1")
	watcher := f.watchers[0]
	f.must(f.cluster.Cut(client, f.cluster.Host("zk")))
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if _, err := watcher.WaitLine(ctx, time.Time{}, func(text string) bool { return strings.Contains(text, "lost_contact") }); err != nil {
		t.Fatal(err)
	}
	// A client that was there before the cut goes on: `torc run -` would have
	// been opened after it, so this one runs a file that sleeps through the cut.
	f.must(f.cluster.Heal(client, f.cluster.Host("zk")))
	script := t.TempDir() + "/commands.txt"
	var commands strings.Builder
	for i := range 40 {
		fmt.Fprintf(&commands, "PUT k%d, v%d\nSLEEP 150\nGET k%d\n", i, i, i)
	}
	f.must(writeFile(script, commands.String()))
	run, err := client.Torc(t.Context(), "fleet-client", "--table", f.url, script)
	f.must(err)
	if _, err := run.WaitLine(ctx, time.Time{}, func(text string) bool { return text == "v0" }); err != nil {
		t.Fatal(err)
	}
	f.must(f.cluster.Cut(client, f.cluster.Host("zk")))
	code, err := run.Wait(ctx)
	f.must(err)
	var got []string
	for _, line := range run.Output() {
		got = append(got, line.Text)
	}
	if code != 0 || len(got) != 40 {
		t.Errorf("exit code %d and %d values while cut off from ZooKeeper:\n%s", code, len(got), strings.Join(got, "\n"))
	}
	f.must(f.cluster.Heal(client, f.cluster.Host("zk")))
}
