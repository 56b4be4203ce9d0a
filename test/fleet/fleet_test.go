package fleet

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/cluster"
	"github.com/torc-dht/torc/internal/timings"
)

var (
	faults = flag.Int("faults", 2, "how often each fault is played")
	table  = flag.String("table", "", "file to write the table of faults to")
)

func TestMain(m *testing.M) {
	if os.Getenv(rebalanceURL) != "" {
		os.Exit(rebalanceToBeKilled())
	}
	flag.Parse()
	if os.Getenv("TORC_SOAK") != "" && *faults < 20 {
		*faults = 20
	}
	code := m.Run()
	if err := seen.Tell(*table); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// seen is what was measured.
var seen timings.Table

// server is one memcached with its watchdog, on a host of their own.
type server struct {
	host      *cluster.Host
	memcached *cluster.Proc
	watchdog  *cluster.Proc
}

// fleet is a ZooKeeper, servers, and the three processes that watch them.
type fleet struct {
	t        *testing.T
	cluster  *cluster.Cluster
	zk       *cluster.ZooKeeper
	url      string
	servers  []*server
	watchers []*cluster.Proc
}

// start makes a fleet of n servers and returns when all watchers see them.
func start(t *testing.T, o cluster.Options, n int) *fleet {
	t.Helper()
	return startWith(t, o, n, "")
}

// startWith starts a fleet of which its URL's query says more.
func startWith(t *testing.T, o cluster.Options, n int, query string) *fleet {
	t.Helper()
	return startOver(t, o, cluster.ZooKeeperOptions{}, n, query)
}

// startOver is startWith for a ZooKeeper with options.
func startOver(t *testing.T, o cluster.Options, zk cluster.ZooKeeperOptions, n int, query string) *fleet {
	t.Helper()
	cluster.Need(t, "memcached", "zookeeper")
	f := &fleet{t: t, cluster: cluster.ForTest(t, o)}
	ctx := t.Context()
	var err error
	if f.zk, err = f.cluster.Host("zk").ZooKeeper(ctx, zk); err != nil {
		t.Fatal(err)
	}
	f.url = "zk://" + f.zk.Addr + "/torc" + query
	for i := range n {
		s := &server{host: f.cluster.Host(fmt.Sprintf("s%d", i+1))}
		if s.memcached, err = s.host.Memcached(ctx); err != nil {
			t.Fatal(err)
		}
		if s.watchdog, err = s.host.Torc(ctx, "watchdog", "--table", f.url, s.memcached.Addr); err != nil {
			t.Fatal(err)
		}
		f.servers = append(f.servers, s)
	}
	for i := range 3 {
		w, err := f.cluster.Host(fmt.Sprintf("c%d", i+1)).Torc(ctx, "torc", "watch", "--json", "--table", f.url)
		if err != nil {
			t.Fatal(err)
		}
		f.watchers = append(f.watchers, w)
	}
	f.waitAll(time.Time{}, "the whole fleet", func(v view) bool { return len(v.up()) == n })
	return f
}

// view is a line of `torc watch --json`.
type view struct {
	Time time.Time `json:"time"`
	torc.View
}

func (v view) up() []string {
	var addrs []string
	for _, m := range v.Members {
		if m.State == torc.Up {
			addrs = append(addrs, m.Addr)
		}
	}
	return addrs
}

func has(addr string) func(view) bool {
	return func(v view) bool { return slices.Contains(v.up(), addr) }
}

func hasNot(addr string) func(view) bool {
	return func(v view) bool { return !slices.Contains(v.up(), addr) }
}

// waitAll waits until each watcher has printed, at since or later, a view for
// which ok holds, and returns when the slowest one had.
func (f *fleet) waitAll(since time.Time, what string, ok func(view) bool) time.Time {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), 30*time.Second)
	defer cancel()
	var last time.Time
	for _, w := range f.watchers {
		line, err := w.WaitLine(ctx, since, func(text string) bool {
			var v view
			return json.Unmarshal([]byte(text), &v) == nil && ok(v)
		})
		if err != nil {
			f.t.Fatalf("waiting for %s at %s: %v", what, w.Name, err)
		}
		if line.At.After(last) {
			last = line.At
		}
	}
	return last
}

// must fails the test when err is one.
func (f *fleet) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// measure plays act, and records how long the watchers took from its beginning
// until ok.
func (f *fleet) measure(what string, limit time.Duration, ok func(view) bool, act func() error) {
	f.t.Helper()
	began := time.Now()
	f.must(act())
	seen.Add(f.t, what, limit, f.waitAll(began, what, ok).Sub(began))
}

// back records how long the watchers took until ok, from the end of act: from
// when a server that act starts again answers.
func (f *fleet) back(what string, limit time.Duration, ok func(view) bool, act func() error) {
	f.t.Helper()
	began := time.Now()
	f.must(act())
	ended := time.Now()
	seen.Add(f.t, what, limit, max(0, f.waitAll(began, what, ok).Sub(ended)))
}
