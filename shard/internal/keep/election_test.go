package keep

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/torc-dht/torc/internal/cluster"
)

// One ZooKeeper serves all tests that don't stop it; each has a path of its own.
var shared struct {
	once    sync.Once
	cluster *cluster.Cluster
	addr    string
	err     error
	paths   atomic.Int64
}

// sharedZooKeeper returns options for an election of the test's own.
func sharedZooKeeper(t testing.TB) ElectionOptions {
	t.Helper()
	cluster.Need(t, "zookeeper")
	shared.once.Do(func() {
		if shared.cluster, shared.err = cluster.New(cluster.Options{}); shared.err != nil {
			return
		}
		z, err := shared.cluster.Host("zk").ZooKeeper(context.Background(), cluster.ZooKeeperOptions{})
		if err != nil {
			shared.err = err
			return
		}
		shared.addr = z.Addr
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return options(t, shared.addr)
}

// ownZooKeeper returns a ZooKeeper that the test may stop.
func ownZooKeeper(t testing.TB) (*cluster.ZooKeeper, ElectionOptions) {
	t.Helper()
	cluster.Need(t, "zookeeper")
	z, err := cluster.ForTest(t, cluster.Options{}).Host("zk").ZooKeeper(t.Context(), cluster.ZooKeeperOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return z, options(t, z.Addr)
}

// longSession is the longest time-out that the tests' ZooKeeper grants: on a busy
// machine shorter ones may end by themselves. shortSession is for tests that wait for
// the end of one.
const (
	longSession  = 4 * time.Second
	shortSession = 1500 * time.Millisecond
)

func options(t testing.TB, addr string) ElectionOptions {
	return ElectionOptions{
		Hosts: []string{addr}, Path: fmt.Sprintf("/test/%d", shared.paths.Add(1)),
		SessionTimeout: longSession, Now: sinceBegan, Logger: testLogger(t),
	}
}

var began = time.Now()

func sinceBegan() int64 { return int64(time.Since(began)) }

func testLogger(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelInfo}))
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Logf("%s %s", time.Now().Format("05.000"), bytes.TrimSpace(b))
	return len(b), nil
}

// master returns a master's Election. Its address is name:7000.
func master(t testing.TB, o ElectionOptions, name string) *Election {
	t.Helper()
	o.Addr = name + ":7000"
	e, err := NewElection(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// turn is a Lead that waits.
type turn struct {
	won   chan struct{}
	reign Reign
	err   error
}

func wait(e *Election) *turn {
	w := &turn{won: make(chan struct{})}
	go func() {
		defer close(w.won)
		w.reign, w.err = e.Lead(context.Background())
	}()
	return w
}

// get returns the reign, when it has begun.
func (w *turn) get(t testing.TB) Reign {
	t.Helper()
	select {
	case <-w.won:
	case <-time.After(20 * time.Second):
		t.Fatal("it doesn't come to lead")
	}
	if w.err != nil {
		t.Fatal(w.err)
	}
	return w.reign
}

// expectOver waits until a reign is over, for a reason.
func expectOver(t testing.TB, r Reign, why error) {
	t.Helper()
	select {
	case <-r.Over():
	case <-time.After(20 * time.Second):
		t.Fatal("the reign goes on")
	}
	if err := r.Err(); !errors.Is(err, why) || !errors.Is(err, ErrOver) || r.Leads() {
		t.Errorf("it is over because %v, want %v", err, why)
	}
}

// awaitStanding waits until e is a standby of the leader's.
func awaitStanding(t testing.TB, e *Election, leader string) {
	t.Helper()
	cluster.Eventually(t, 20*time.Second, "a standby of "+leader, func() error {
		if addr, err := e.Leader(); addr != leader {
			return fmt.Errorf("its leader is %q, %v", addr, err)
		}
		return nil
	})
}

// rawConn is a connection to do things with that no master does.
func rawConn(t testing.TB, o ElectionOptions) *zk.Conn {
	t.Helper()
	conn, events, err := zk.Connect(o.Hosts, 4*time.Second, zk.WithLogger(logger{slog.New(slog.DiscardHandler)}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		for range events {
		}
	})
	return conn
}

func TestParseURL(t *testing.T) {
	t.Parallel()
	o, err := ParseURL("zk://h1,h2:2182/team/masters/")
	if err != nil || strings.Join(o.Hosts, " ") != "h1:2181 h2:2182" || o.Path != "/team/masters" {
		t.Errorf("%q %q %v", o.Hosts, o.Path, err)
	}
	for raw, want := range map[string]string{
		"":                        "does not begin with zk://",
		"h1:2181/torc":            "does not begin with zk://",
		"zk:/torc":                "does not begin with zk://",
		"zk:///torc":              "it names no host",
		"zk://h1:2181":            "it names no path",
		"zk://h1:2181/":           "it names no path",
		"zk://h1:2181/a//b":       "is no path",
		"zk://h1:2181/a/../b":     "is no path",
		"zk://h1:2181/zookeeper":  "ZooKeeper's own",
		"zk://h1:2181/tør":        "has the character",
		"zk://h1:2181/t?copies=2": "it takes no parameters",
		"zk://h1:999999/t":        "h1:999999",
	} {
		if _, err := ParseURL(raw); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", raw, err, want)
		}
	}
	if _, err := NewElection(ElectionOptions{Addr: "here"}); err == nil || !strings.Contains(err.Error(), "no host") || !strings.Contains(err.Error(), "no clock") {
		t.Error(err)
	}
}

func TestCandidates(t *testing.T) {
	t.Parallel()
	got := candidates([]string{"b-0000000010", "junk", "a-0000000002", "c-1", "d-000000000x"})
	if strings.Join(got, " ") != "a-0000000002 b-0000000010" {
		t.Error(got)
	}
}

func TestElection(t *testing.T) {
	t.Parallel()
	o := sharedZooKeeper(t)
	a, b := master(t, o, "a"), master(t, o, "b")
	first := wait(a).get(t)
	expectLast(t, first, 0)
	if leader, err := a.Leader(); leader != "a:7000" || err != nil {
		t.Error(leader, err)
	}
	for n := range 5 {
		mustSave(t, first, mapOf(3, uint64(n+1)))
	}
	standby := wait(b)
	awaitStanding(t, b, "a:7000")
	resigned := time.Now()
	first.Resign()
	second := standby.get(t)
	t.Logf("the next one leads %v after resigning", time.Since(resigned))
	expectLast(t, second, 5)
	expectOver(t, first, ErrResigned)
	if err := first.Save(t.Context(), mapOf(3, 6)); !errors.Is(err, ErrOver) {
		t.Error("a map is saved after the reign:", err)
	}
	mustSave(t, second, mapOf(4, 6))
	third := wait(a)
	awaitStanding(t, a, "b:7000")
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	expectLast(t, third.get(t), 6)
}

func BenchmarkElectionSave(b *testing.B) {
	o := sharedZooKeeper(b)
	for _, servers := range []int{3, 12, 100} {
		b.Run(fmt.Sprintf("servers=%d", servers), func(b *testing.B) {
			o.Path = fmt.Sprintf("/bench/%d", servers)
			r := mustLead(b, master(b, o, "a"))
			m := mapOf(servers, 1)
			b.SetBytes(int64(len(mustEncode(b, record{last: m}))))
			for b.Loop() {
				mustSave(b, r, m)
			}
			r.Resign()
		})
	}
}
