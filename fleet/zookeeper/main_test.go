package zookeeper

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"
	"go.uber.org/goleak"

	"github.com/torc-dht/torc/fleet"
	"github.com/torc-dht/torc/fleet/internal/link"
	"github.com/torc-dht/torc/internal/cluster"
)

// One ZooKeeper serves all tests that don't kill it; each has a path of its own.
var shared struct {
	once    sync.Once
	cluster *cluster.Cluster
	addr    string
	err     error
	paths   atomic.Int64
}

// The test binary is a candidate in an election when this is set.
const roleEnv = "ZOOKEEPER_TEST"

func TestMain(m *testing.M) {
	if os.Getenv(roleEnv) != "" {
		os.Exit(beCandidate(Options{Hosts: []string{os.Args[1]}, SessionTimeout: electionSession}))
	}
	code := m.Run()
	if shared.cluster != nil {
		if err := shared.cluster.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// sharedZooKeeper returns Options for a fleet of the test's own.
func sharedZooKeeper(t testing.TB) Options {
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
	return Options{
		Hosts: []string{shared.addr}, Path: fmt.Sprintf("/test/%d", shared.paths.Add(1)),
		// The ZooKeeper is shared with other tests, and the machine too.
		ConnectTimeout: 20 * time.Second,
		SessionTimeout: longSession,
		Logger:         testLogger(t),
	}
}

// longSession is the longest time-out that the tests' ZooKeeper grants, for tests
// that are not about sessions: on a busy machine those of 2 s may expire.
const longSession = 4 * time.Second

// ownZooKeeper returns a ZooKeeper that the test may kill.
func ownZooKeeper(t testing.TB) (*cluster.ZooKeeper, Options) {
	t.Helper()
	cluster.Need(t, "zookeeper")
	z, err := cluster.ForTest(t, cluster.Options{}).Host("zk").ZooKeeper(t.Context(), cluster.ZooKeeperOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return z, Options{Hosts: []string{z.Addr}, ConnectTimeout: 20 * time.Second, Logger: testLogger(t)}
}

// linked puts a link that can be cut before the ZooKeeper of o.
func linked(t testing.TB, o Options) (*link.Link, Options) {
	t.Helper()
	l, err := link.New(o.Hosts[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	o.Hosts = []string{l.Addr}
	return l, o
}

func testLogger(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelInfo}))
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Logf("%s %s", time.Now().Format("05.000"), bytes.TrimSpace(b))
	return len(b), nil
}

// follow follows a directory until the test ends.
type follow struct {
	t testing.TB
	d *Directory

	cancel context.CancelFunc
	done   chan struct{}
	err    error // once done

	mu      sync.Mutex
	reports []fleet.Membership
}

func startFollow(t testing.TB, o Options) *follow {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	f := &follow{t: t, d: mustNew(t, o), cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(f.done)
		f.err = f.d.Follow(ctx, func(m fleet.Membership) {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.reports = append(f.reports, m)
		})
	}()
	t.Cleanup(func() {
		cancel()
		<-f.done
		if f.err != nil {
			t.Errorf("Follow: %v", f.err)
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		for i := 1; i < len(f.reports); i++ {
			a, b := f.reports[i-1], f.reports[i]
			if a.Generation == b.Generation && a.Version > b.Version {
				t.Errorf("version %d is reported after %d", b.Version, a.Version)
			}
		}
	})
	return f
}

func (f *follow) last() fleet.Membership {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.reports) == 0 {
		return fleet.Membership{}
	}
	return f.reports[len(f.reports)-1]
}

func (f *follow) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.reports)
}

// expect waits until the membership reads as said: addresses with what is
// special about them, and "lost" in front without contact.
func (f *follow) expect(want string) fleet.Membership {
	f.t.Helper()
	cluster.Eventually(f.t, 15*time.Second, "the members "+want, func() error {
		if f.count() == 0 {
			return errors.New("nothing reported")
		}
		if got := describe(f.last()); got != want {
			return fmt.Errorf("they are %s", got)
		}
		return nil
	})
	return f.last()
}

func describe(m fleet.Membership) string {
	var words []string
	if !m.LostContact.IsZero() {
		words = append(words, "lost")
	}
	for _, s := range m.Servers {
		word := s.Addr
		if s.Weight != 1 {
			word += fmt.Sprintf("*%d", s.Weight)
		}
		if s.Drained {
			word += " (drained)"
		}
		words = append(words, word)
	}
	return "[" + strings.Join(words, " ") + "]"
}

func mustNew(t testing.TB, o Options) *Directory {
	t.Helper()
	d, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// announcer returns an Announcer that is connected.
func announcer(t testing.TB, o Options, addr string, weight uint32) *Announcer {
	t.Helper()
	a, err := NewAnnouncer(o, addr, weight)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.Close)
	a.awaitConnected(t)
	return a
}

func (a *Announcer) awaitConnected(t testing.TB) Contact {
	t.Helper()
	cluster.Eventually(t, 20*time.Second, "a session", func() error {
		if c, _ := a.Contact(); !c.Connected {
			return errors.New(c.Trouble)
		}
		return nil
	})
	c, _ := a.Contact()
	return c
}

// insist does again what the connection was lost for, until it is answered.
func (a *Announcer) insist(t testing.TB, what func() error) {
	t.Helper()
	for {
		a.awaitConnected(t)
		if err := what(); err == nil {
			return
		} else if !errors.Is(err, ErrLost) {
			t.Fatal(err)
		}
	}
}

// announce announces, unless that has happened.
func (a *Announcer) announce(t testing.TB) (name string) {
	t.Helper()
	a.insist(t, func() error {
		s, err := a.Look(t.Context())
		if name = s.Own; err == nil && name == "" {
			name, err = a.Announce(t.Context(), "", false)
		}
		return err
	})
	return name
}

func (a *Announcer) withdraw(t testing.TB) {
	t.Helper()
	a.insist(t, func() error { return a.Withdraw(t.Context(), "") })
}

// rawConn is a connection to do things with that torc does not do.
func rawConn(t testing.TB, o Options) *zk.Conn {
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

// deleteAll deletes the znode at path with all below it.
func deleteAll(t testing.TB, conn *zk.Conn, path string) {
	t.Helper()
	children, _, err := conn.Children(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range children {
		deleteAll(t, conn, path+"/"+c)
	}
	if err := conn.Delete(path, -1); err != nil && !errors.Is(err, zk.ErrNoNode) {
		t.Fatal(err)
	}
}
