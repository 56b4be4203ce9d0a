package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/torc-dht/torc"
	kind "github.com/torc-dht/torc/fleet"
	"github.com/torc-dht/torc/fleet/zookeeper"
	"github.com/torc-dht/torc/internal/cluster"
	"github.com/torc-dht/torc/memcache"
)

// way is how a fleet is told to treat values that may be stale.
type way struct {
	copies int
	stamp  string
	rejoin string
}

func (w way) String() string {
	if w.stamp == "off" {
		return fmt.Sprintf("copies=%d&stamp=off", w.copies)
	}
	return fmt.Sprintf("copies=%d&stamp=on&rejoin=%s", w.copies, w.rejoin)
}

// ways are all there are, those without stamps last: they show that what is
// tested could happen.
var ways = []way{
	{1, "on", "check"},
	{1, "on", "drop"},
	{3, "on", "check"},
	{3, "on", "drop"},
	{1, "off", ""},
	{3, "off", ""},
}

// grid is several fleets that have their ZooKeeper, their memcacheds and all
// that happens to those in common: one fleet for each way. Their keys are told
// apart by their prefixes.
type grid struct {
	t       *testing.T
	cluster *cluster.Cluster
	zk      *cluster.ZooKeeper
	zkAddr  string // as this process reaches it
	client  *cluster.Host
	spaces  bool
	servers []*post
	fleets  []*sub
}

// post is one memcached, and its watchdogs, one for each fleet.
type post struct {
	host      *cluster.Host
	memcached *cluster.Proc
	watchdogs []*cluster.Proc
}

// sub is one of the fleets.
type sub struct {
	way
	url   string
	table torc.Table
}

// startGrid starts n memcacheds and their watchdogs, and opens a table for each
// way.
func startGrid(t *testing.T, o cluster.Options, n int, all []way, memcachedArgs ...string) *grid {
	t.Helper()
	cluster.Need(t, "memcached", "zookeeper")
	g := &grid{t: t, cluster: cluster.ForTest(t, o), spaces: o.Namespaces}
	ctx := t.Context()
	g.client = g.cluster.Host("client")
	var err error
	g.zk, err = g.cluster.Host("zk").ZooKeeper(ctx, cluster.ZooKeeperOptions{})
	g.must(err)
	g.zkAddr = g.zk.Addr
	if g.spaces {
		g.zkAddr = g.forward(g.zk.Addr)
	}
	for _, w := range all {
		// The first in a fleet writes down what it is told; and the fleets have
		// paths of their own.
		path := fmt.Sprintf("/torc-%d-%s%s", w.copies, w.stamp, w.rejoin)
		g.fleets = append(g.fleets, &sub{way: w, url: "zk://" + g.zk.Addr + path + "?" + w.String()})
	}
	var starting sync.WaitGroup
	var failed sync.Map
	for i := range n {
		p := &post{host: g.cluster.Host(fmt.Sprintf("s%d", i+1))}
		g.servers = append(g.servers, p)
		starting.Go(func() {
			if p.memcached, err = p.host.Memcached(ctx, memcachedArgs...); err != nil {
				failed.Store(i, err)
				return
			}
			for _, f := range g.fleets {
				args := []string{"--table", f.url, p.memcached.Addr}
				if f.stamp == "off" {
					args = append([]string{"--no-flush"}, args...)
				}
				w, err := p.host.Torc(ctx, "watchdog", args...)
				if err != nil {
					failed.Store(i, err)
					return
				}
				p.watchdogs = append(p.watchdogs, w)
			}
		})
	}
	starting.Wait()
	failed.Range(func(_, err any) bool { t.Fatal(err); return false })
	for _, f := range g.fleets {
		f.table = g.open(f)
		g.members(f, "all servers", func(v torc.View) bool { return len(v.Members) == n })
	}
	return g
}

func (g *grid) must(err error) {
	g.t.Helper()
	if err != nil {
		g.t.Fatal(err)
	}
}

// open opens a table of the fleet, which speaks from the client's host.
func (g *grid) open(f *sub) torc.Table {
	g.t.Helper()
	u, err := torc.ParseURL(strings.Replace(f.url, g.zk.Addr, g.zkAddr, 1))
	g.must(err)
	at, opts, err := zookeeper.ParseURL(u)
	g.must(err)
	if g.spaces {
		opts.Dialer = func(ctx context.Context, addr string) (net.Conn, error) { return g.client.Dial(ctx, "tcp", addr) }
	}
	d, err := zookeeper.New(at)
	g.must(err)
	table, err := kind.New(g.t.Context(), d, opts)
	g.must(err)
	g.t.Cleanup(func() { table.Close() })
	return table
}

// forward makes the address on the client's network reachable from here.
func (g *grid) forward(addr string) string {
	g.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	g.must(err)
	var running sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	g.t.Cleanup(func() { l.Close(); cancel(); running.Wait() })
	running.Go(func() {
		for {
			here, err := l.Accept()
			if err != nil {
				return
			}
			there, err := g.client.Dial(ctx, "tcp", addr)
			if err != nil {
				here.Close()
				continue
			}
			for _, pair := range [][2]net.Conn{{here, there}, {there, here}} {
				running.Go(func() {
					defer pair[0].Close()
					defer pair[1].Close()
					stop := context.AfterFunc(ctx, func() { pair[0].Close(); pair[1].Close() })
					defer stop()
					_, _ = io.Copy(pair[0], pair[1])
				})
			}
		}
	})
	return l.Addr().String()
}

// members waits until the fleet's table has a view for which ok holds.
func (g *grid) members(f *sub, what string, ok func(torc.View) bool) {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(g.t.Context(), 30*time.Second)
	defer cancel()
	var last torc.View
	for v, err := range f.table.Members(ctx) {
		g.must(err)
		last = v
		if v.LostContact.IsZero() && ok(v) {
			return
		}
	}
	g.t.Fatalf("%v: waited for %s, and have %+v", f.way, what, last)
}

// gone and back wait until every table has seen p leave, or come.
func (g *grid) gone(p *post) {
	g.t.Helper()
	for _, f := range g.fleets {
		g.members(f, p.memcached.Addr+" to be out", func(v torc.View) bool { return !announced(v, p) })
	}
}

func (g *grid) back(p *post) {
	g.t.Helper()
	for _, f := range g.fleets {
		g.members(f, p.memcached.Addr+" to be back", func(v torc.View) bool { return announced(v, p) })
	}
}

func announced(v torc.View, p *post) bool {
	for _, m := range v.Members {
		if m.Addr == p.memcached.Addr {
			return true
		}
	}
	return false
}

// watchdogs does something to all watchdogs of p.
func (p *post) each(do func(*cluster.Proc) error) error {
	var all []error
	for _, w := range p.watchdogs {
		all = append(all, do(w))
	}
	return errors.Join(all...)
}

// absence is a way for a server to be away with all that it holds.
type absence struct {
	name       string
	namespaces bool
	leave      func(*grid, *post) error
	comeBack   func(*grid, *post) error
}

var absences = []absence{
	{"watchdog killed", false,
		func(_ *grid, p *post) error { return p.each((*cluster.Proc).Kill) },
		func(g *grid, p *post) error {
			return p.each(func(w *cluster.Proc) error { return w.Restart(g.t.Context()) })
		}},
	{"link cut", true,
		func(_ *grid, p *post) error { return p.host.Unplug() },
		func(_ *grid, p *post) error { return p.host.Plug() }},
	{"memcached frozen", false,
		func(_ *grid, p *post) error { return p.memcached.Freeze() },
		func(_ *grid, p *post) error { return p.memcached.Thaw() }},
}

// owners says who holds key, in order, under the table's present view.
func (g *grid) owners(f *sub, key string) []string {
	g.t.Helper()
	p, err := f.table.Locate(g.t.Context(), key)
	g.must(err)
	var addrs []string
	for _, m := range p.Owners {
		addrs = append(addrs, m.Addr)
	}
	return addrs
}

// inParallel calls f with each number below n, from several goroutines, and
// fails the test if one of them fails.
func (g *grid) inParallel(n int, f func(i int) error) {
	g.t.Helper()
	const callers = 16
	errs := make([]error, callers)
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			for i := c; i < n && errs[c] == nil; i += callers {
				errs[c] = f(i)
			}
		})
	}
	wg.Wait()
	g.must(errors.Join(errs...))
}

// soak says that time is no matter.
func soak() bool { return os.Getenv("TORC_SOAK") != "" }

// stats asks p for memcached's statistics.
func (g *grid) stats(p *post) map[string]string {
	g.t.Helper()
	c := memcache.NewClient(p.memcached.Addr, memcache.Config{Dialer: func(ctx context.Context, addr string) (net.Conn, error) {
		return g.client.Dial(ctx, "tcp", addr)
	}})
	defer c.Close()
	stats, err := c.Stats(g.t.Context())
	g.must(err)
	return stats
}
