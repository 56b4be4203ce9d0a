package watchdog

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/fleet"
	"github.com/torc-dht/torc/fleet/internal/link"
	"github.com/torc-dht/torc/fleet/zookeeper"
	"github.com/torc-dht/torc/internal/cluster"
)

// The test binary is a watchdog when this is set.
const roleEnv = "WATCHDOG_TEST"

func TestMain(m *testing.M) {
	if os.Getenv(roleEnv) != "" {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		err := Run(ctx, Config{
			Addr:      os.Args[1],
			Directory: zookeeper.Options{Hosts: []string{os.Args[2]}},
			Report:    func(e Event) { fmt.Println(e.Kind, e) },
		})
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// scene is a memcached, a ZooKeeper, and a client that follows the members.
type scene struct {
	t       testing.TB
	cluster *cluster.Cluster
	mc      *cluster.Proc
	zk      *cluster.ZooKeeper
	options zookeeper.Options

	mu      sync.Mutex
	view    fleet.Membership
	changed []change
}

// change is when a client saw what.
type change struct {
	at   time.Time
	view fleet.Membership
}

// newScene is a fleet without stamps.
func newScene(t testing.TB, memcachedArgs ...string) *scene {
	t.Helper()
	return newSceneAs(t, fleet.Config{Stamps: fleet.StampsOff}, memcachedArgs...)
}

func newSceneAs(t testing.TB, config fleet.Config, memcachedArgs ...string) *scene {
	t.Helper()
	cluster.Need(t, "memcached", "zookeeper")
	c := cluster.ForTest(t, cluster.Options{})
	z, err := c.Host("zk").ZooKeeper(t.Context(), cluster.ZooKeeperOptions{})
	if err != nil {
		t.Fatal(err)
	}
	mc, err := c.Host("s1").Memcached(t.Context(), memcachedArgs...)
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{t: t, cluster: c, mc: mc, zk: z, options: zookeeper.Options{Hosts: []string{z.Addr}, Config: config}}
	d, err := zookeeper.New(s.options)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		err := d.Follow(ctx, func(m fleet.Membership) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.view = m
			s.changed = append(s.changed, change{time.Now(), m})
		})
		if err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	// Until there is a config, a watchdog flushes to be on the safe side.
	s.awaitView("the first view", func(fleet.Membership) bool { return true })
	return s
}

// await waits until the client sees the server in, or out, and returns when it did.
func (s *scene) await(in bool) time.Time {
	s.t.Helper()
	return s.awaitView(fmt.Sprintf("the server to be in = %v", in), func(m fleet.Membership) bool { return (len(m.Servers) == 1) == in })
}

func (s *scene) awaitView(what string, good func(fleet.Membership) bool) (at time.Time) {
	s.t.Helper()
	cluster.Eventually(s.t, 20*time.Second, what, func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !good(s.view) || s.changed == nil {
			return fmt.Errorf("the view is %+v", s.view)
		}
		at = s.changed[len(s.changed)-1].at
		return nil
	})
	return at
}

func (s *scene) seen() fleet.Membership {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.view
}

// within says how long it took, and fails the test if that is too long.
func (s *scene) within(limit time.Duration, what string, from, to time.Time) {
	s.t.Helper()
	took := to.Sub(from).Round(time.Millisecond)
	s.t.Logf("MEASURED %s: %v", what, took)
	if took > limit {
		s.t.Errorf("%s: %v, want at most %v", what, took, limit)
	}
}

// ask sends commands to the memcached and returns the first line of each answer.
func (s *scene) ask(commands ...string) (answers []string) {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.mc.Addr)
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
	lines := bufio.NewReader(conn)
	for _, c := range commands {
		if _, err := io.WriteString(conn, c+"\r\n"); err != nil {
			s.t.Fatal(err)
		}
		line, err := lines.ReadString('\n')
		if err != nil {
			s.t.Fatal(err)
		}
		answers = append(answers, strings.TrimSpace(line))
	}
	return answers
}

func (s *scene) put() {
	s.t.Helper()
	if got := s.ask("set k 0 0 1\r\nv"); got[0] != "STORED" {
		s.t.Fatal(got)
	}
}

// holds says whether what put has put is still there.
func (s *scene) holds() bool {
	s.t.Helper()
	return strings.HasPrefix(s.ask("mg k v")[0], "VA ")
}

// running is a watchdog that runs.
type running struct {
	t      testing.TB
	cancel context.CancelFunc
	done   chan struct{}

	mu     sync.Mutex
	events []Event
}

func (s *scene) watch(cfg Config) *running {
	s.t.Helper()
	if cfg.Addr == "" {
		cfg.Addr = s.mc.Addr
	}
	if cfg.Directory.Hosts == nil {
		cfg.Directory = s.options
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{t: s.t, cancel: cancel, done: make(chan struct{})}
	cfg.Report = func(e Event) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.events = append(r.events, e)
		s.t.Logf("%s %s", e.Time.Format("05.000"), e)
	}
	go func() {
		defer close(r.done)
		if err := Run(ctx, cfg); err != nil {
			s.t.Error(err)
		}
	}()
	s.t.Cleanup(r.end)
	return r
}

func (r *running) end() {
	r.cancel()
	<-r.done
}

func (r *running) count(k Kind) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, e := range r.events {
		if e.Kind == k {
			n++
		}
	}
	return n
}

// await waits for the nth event of the kind.
func (r *running) await(k Kind, n int) Event {
	r.t.Helper()
	cluster.Eventually(r.t, 20*time.Second, fmt.Sprintf("event %s number %d", k, n), func() error {
		if c := r.count(k); c < n {
			return fmt.Errorf("there are %d", c)
		}
		return nil
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if e.Kind == k {
			if n--; n == 0 {
				return e
			}
		}
	}
	panic("counted before")
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestMemcachedKilledAndStarted(t *testing.T) {
	s := newScene(t)
	s.put()
	w := s.watch(Config{})
	s.await(true)
	if s.holds() {
		t.Error("announced for the first time with what it held")
	}
	for range 3 {
		killed := time.Now()
		must(t, s.mc.Kill())
		s.within(300*time.Millisecond, "out after SIGKILL", killed, s.await(false))
		must(t, s.mc.Restart(t.Context()))
		started := time.Now() // it answers
		s.within(time.Second, "back after start", started, s.await(true))
	}
	ending := time.Now()
	w.end()
	s.within(300*time.Millisecond, "out after the watchdog's end", ending, s.await(false))
	if n := w.count(Withdrawn); n != 4 {
		t.Errorf("%d withdrawals, want 4", n)
	}
}

// TestTable puts the pieces together: a table opened by its URL, over a fleet
// whose server comes after it.
func TestTable(t *testing.T) {
	s := newScene(t)
	table, err := torc.Open(t.Context(), "zk://"+s.zk.Addr+"/torc")
	must(t, err)
	put := make(chan error, 1)
	go func() { put <- table.Put(t.Context(), "k", []byte("v")) }() // waits for a server
	s.watch(Config{})
	must(t, <-put)
	e, err := table.Get(t.Context(), "k")
	if err != nil || string(e.Value) != "v" {
		t.Errorf("%q, %v", e.Value, err)
	}
	for view, err := range table.Members(t.Context()) {
		must(t, err)
		if len(view.Members) != 1 || view.Members[0].Addr != s.mc.Addr || view.Generation != s.seen().Generation {
			t.Errorf("%+v", view)
		}
		break
	}
	must(t, table.Close())
}

func TestMemcachedFrozen(t *testing.T) {
	s := newScene(t)
	s.watch(Config{})
	s.await(true)
	s.put()
	for range 3 {
		frozen := time.Now()
		must(t, s.mc.Freeze())
		s.within(time.Second, "out after SIGSTOP", frozen, s.await(false))
		thawed := time.Now()
		must(t, s.mc.Thaw())
		s.within(time.Second, "back after SIGCONT", thawed, s.await(true))
		if s.holds() {
			t.Error("it was away, and still holds what it held")
		}
		s.put()
	}
}

// TestSecondWatchdog is what a watchdog finds that is started again soon after it
// was killed: the old announcement, with nobody behind it.
func TestSecondWatchdog(t *testing.T) {
	s := newScene(t)
	l, err := link.New(s.zk.Addr)
	must(t, err)
	defer l.Close()
	first := s.watch(Config{Directory: zookeeper.Options{Hosts: []string{l.Addr}}})
	s.await(true)
	s.put()
	before := s.seen()
	l.Cut() // as good as dead, to ZooKeeper
	cut := time.Now()
	second := s.watch(Config{Weight: 3})
	e := second.await(Announced, 1)
	if e.TookOver == "" || e.TookOver != first.await(Announced, 1).Znode {
		t.Errorf("took over from %q", e.TookOver)
	}
	s.within(2500*time.Millisecond, "the first's announcement gone", cut, s.awaitView("the first's announcement to go", func(m fleet.Membership) bool {
		return m.Version == before.Version+2
	}))
	if !s.holds() || second.count(Flushed) > 0 {
		t.Error("flushed, though it was never away")
	}
	l.Heal()
	first.await(Announced, 2)
	if !s.holds() || first.count(Flushed) > 1 {
		t.Error("flushed by the first, though it was never away")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.changed {
		if c.view.Version >= before.Version && len(c.view.Servers) != 1 {
			t.Errorf("view %+v: it was away", c.view)
		}
	}
}

func TestWatchdogCutOff(t *testing.T) {
	s := newScene(t)
	l, err := link.New(s.zk.Addr)
	must(t, err)
	defer l.Close()
	w := s.watch(Config{Directory: zookeeper.Options{Hosts: []string{l.Addr}}})
	s.await(true)
	s.put()
	l.Cut()
	cut := time.Now()
	s.within(2500*time.Millisecond, "out after its link to ZooKeeper was cut", cut, s.await(false))
	w.await(LostContact, 1)
	l.Heal()
	healed := time.Now()
	s.within(1500*time.Millisecond, "back after its link was whole", healed, s.await(true))
	if s.holds() {
		t.Error("it was away, and still holds what it held")
	}
	w.await(Expired, 1)
}

func TestWatchdogFrozenAndKilled(t *testing.T) {
	s := newScene(t)
	exe, err := os.Executable()
	must(t, err)
	w, err := s.cluster.Host("s1").Start(t.Context(), cluster.Spec{
		Name: "watchdog", Path: exe, Args: []string{s.mc.Addr, s.zk.Addr}, Env: []string{roleEnv + "=1"},
	})
	must(t, err)
	s.await(true)
	s.put()

	before := s.seen().Servers[0].Incarnation
	frozen := time.Now()
	must(t, w.Freeze())
	s.within(2500*time.Millisecond, "out after the watchdog was frozen", frozen, s.await(false))
	thawed := time.Now()
	must(t, w.Thaw())
	s.within(time.Second, "back after it was thawed", thawed, s.await(true))
	if s.holds() {
		t.Error("it was away, and still holds what it held")
	}
	if s.seen().Servers[0].Incarnation == before {
		t.Error("the same incarnation after an absence")
	}

	// Frozen for less than a session: nothing happens.
	s.put()
	before = s.seen().Servers[0].Incarnation
	must(t, w.Freeze())
	time.Sleep(700 * time.Millisecond)
	must(t, w.Thaw())
	time.Sleep(500 * time.Millisecond)
	if v := s.seen(); len(v.Servers) != 1 || v.Servers[0].Incarnation != before || !s.holds() {
		t.Errorf("%+v: something happened although the session lived", v)
	}

	killed := time.Now()
	must(t, w.Kill())
	s.within(2500*time.Millisecond, "out after the watchdog was killed", killed, s.await(false))
	must(t, w.Restart(t.Context()))
	s.within(time.Second, "back after it was started", time.Now(), s.await(true))

	ended := time.Now()
	must(t, w.Term())
	s.within(300*time.Millisecond, "out after SIGTERM", ended, s.await(false))
	if code, err := w.Wait(t.Context()); code != 0 || err != nil {
		t.Errorf("exit code %d, %v", code, err)
	}
}

func TestZooKeeperRestarted(t *testing.T) {
	s := newScene(t)
	// The longest that it grants: on a busy machine it may take longer than 2 s
	// to start.
	s.options.SessionTimeout = 4 * time.Second
	w := s.watch(Config{})
	s.await(true)
	s.put()
	before := s.seen()
	must(t, s.zk.Kill())
	w.await(LostContact, 1)
	time.Sleep(5 * time.Second) // longer than the session
	must(t, s.zk.Restart(t.Context()))
	back := time.Now()
	at := s.awaitView("contact", func(m fleet.Membership) bool { return m.LostContact.IsZero() })
	s.within(3*time.Second, "whole after ZooKeeper was back", back, at)
	w.await(BackInContact, 1)
	if after := s.seen(); after.Version != before.Version || !s.holds() {
		t.Errorf("%+v became %+v, though nobody was away", before, after)
	}
}

func TestZooKeeperWiped(t *testing.T) {
	s := newScene(t)
	w := s.watch(Config{})
	s.await(true)
	before := s.seen()
	must(t, s.zk.Kill())
	must(t, s.zk.WipeData())
	must(t, s.zk.Restart(t.Context()))
	back := time.Now()
	at := s.awaitView("a new generation", func(m fleet.Membership) bool {
		return m.Generation != before.Generation && m.LostContact.IsZero()
	})
	s.within(3*time.Second, "whole after ZooKeeper was back without its data", back, at)
	if len(s.seen().Servers) != 1 {
		t.Errorf("%+v", s.seen())
	}
	w.await(Announced, 2)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.changed {
		if c.view.Version >= before.Version && len(c.view.Servers) != 1 {
			t.Errorf("view %+v: the client took an empty list for the truth", c.view)
		}
	}
}

// With stamps a server keeps what it holds, and is another one to the clients
// each time it has been away.
func TestStamped(t *testing.T) {
	s := newSceneAs(t, fleet.Config{Stamps: fleet.StampsOn})
	s.put()
	w := s.watch(Config{})
	s.await(true)
	first := s.seen().Servers[0].Incarnation
	must(t, s.mc.Freeze())
	s.await(false)
	must(t, s.mc.Thaw())
	s.await(true)
	if !s.holds() || w.count(Flushed) > 0 {
		t.Error("flushed in spite of the stamps")
	}
	if s.seen().Servers[0].Incarnation == first {
		t.Error("the same incarnation after an absence")
	}
}

// A memcached that is restarted between two checks has lost what it held, and so
// is another one to the clients.
func TestRestartThatNobodySaw(t *testing.T) {
	s := newSceneAs(t, fleet.Config{Stamps: fleet.StampsOn})
	next, err := s.cluster.Host("s2").Memcached(t.Context())
	must(t, err)
	var target atomic.Value
	target.Store(s.mc.Addr)
	w := s.watch(Config{Probe: fleet.ProbeConfig{Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, target.Load().(string))
	}}})
	s.await(true)
	first := s.seen().Servers[0].Incarnation
	target.Store(next.Addr) // there already when the old one goes
	killed := time.Now()
	must(t, s.mc.Kill())
	e := w.await(Withdrawn, 1)
	if !strings.Contains(e.String(), "it was restarted") {
		t.Error(e)
	}
	s.within(300*time.Millisecond, "out after the restart", killed, e.Time)
	s.within(time.Second, "back", killed, s.awaitView("another incarnation", func(m fleet.Membership) bool {
		return len(m.Servers) == 1 && m.Servers[0].Incarnation != first
	}))
}

// The same while ZooKeeper is away: when it is back, the announcement of before
// does not stand for what the memcached holds now.
func TestRestartWhileZooKeeperIsAway(t *testing.T) {
	s := newSceneAs(t, fleet.Config{Stamps: fleet.StampsOn})
	s.options.SessionTimeout = 4 * time.Second
	w := s.watch(Config{})
	s.await(true)
	first := s.seen().Servers[0].Incarnation
	must(t, s.zk.Kill())
	w.await(LostContact, 1)
	must(t, s.mc.Kill())
	w.await(Down, 1)
	must(t, s.mc.Restart(t.Context()))
	w.await(Up, 2)
	must(t, s.zk.Restart(t.Context()))
	s.awaitView("another incarnation", func(m fleet.Membership) bool {
		return m.LostContact.IsZero() && len(m.Servers) == 1 && m.Servers[0].Incarnation != first
	})
}

func TestFlushForbidden(t *testing.T) {
	s := newScene(t, "-F")
	w := s.watch(Config{})
	if e := w.await(FlushFailed, 1); !strings.Contains(e.String(), "--no-flush") {
		t.Errorf("%s: does not say what to do", e)
	}
	s.put()
	if w.count(Announced) > 0 {
		t.Error("announced without the flush")
	}
	w.end()
	s.watch(Config{NoFlush: true}).await(Announced, 1)
	if !s.holds() {
		t.Error("flushed all the same")
	}
}

func TestGrantedLongerThanAsked(t *testing.T) {
	s := newScene(t)
	o := s.options
	o.SessionTimeout = 100 * time.Millisecond
	e := s.watch(Config{Directory: o}).await(Session, 1)
	if e.Granted != 400*time.Millisecond || e.Asked != 100*time.Millisecond || !strings.Contains(e.String(), "WARNING") {
		t.Errorf("%+v: %s", e, e)
	}
	if e := s.watch(Config{}).await(Session, 1); e.Granted != 2*time.Second || strings.Contains(e.String(), "WARNING") {
		t.Errorf("%+v: %s", e, e)
	}
}

func TestNothingThere(t *testing.T) {
	s := &scene{t: t}
	w := s.watch(Config{Addr: "127.0.0.1:1", Directory: zookeeper.Options{Hosts: []string{"127.0.0.1:2"}}})
	if e := w.await(Down, 1); !strings.Contains(e.String(), "refused") {
		t.Error(e)
	}
	if e := w.await(LostContact, 1); !strings.Contains(e.String(), "127.0.0.1:2: connect: connection refused") {
		t.Error(e)
	}
}
