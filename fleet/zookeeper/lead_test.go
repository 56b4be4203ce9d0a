package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/cluster"
)

const work = "rebalance"

// electionSession is short, so that who is dead is known to be soon.
const electionSession = 800 * time.Millisecond

func TestCandidates(t *testing.T) {
	t.Parallel()
	got := candidates([]string{"b-0000000010", "junk", "a-0000000002", "c-1", "-0000000003", "d-000000000x"})
	if want := []string{"a-0000000002", "-0000000003", "b-0000000010"}; !slices.Equal(got, want) {
		t.Errorf("candidates %v, want %v", got, want)
	}
}

// TestOffice reads each step as: at this time things stand so with ZooKeeper,
// and a leader does that.
func TestOffice(t *testing.T) {
	t.Parallel()
	const timeout = 4 * time.Second
	first, second := new(connection), new(connection)
	o := office{session: 1, conn: first}
	for _, step := range []struct {
		at      string
		session int64
		conn    *connection
		since   string // of how things stand
		want    string
	}{
		{"0s", 1, first, "0s", "stays"},
		{"9s", 1, nil, "9s", "stays until 10s"},
		{"9.5s", 1, nil, "9s", "stays until 10s"},
		{"9.8s", 1, second, "9.7s", "stays, looks"},
		{"20.9s", 1, nil, "20s", "stays until 21s"},
		{"21s", 1, nil, "20s", "goes"},
		{"22s", 0, nil, "22s", "goes"},
		{"23s", 2, second, "23s", "goes"},
	} {
		after := func(d string) time.Time {
			took, err := time.ParseDuration(d)
			if err != nil {
				t.Fatal(err)
			}
			return start.Add(took)
		}
		at := contact{session: session{id: step.session, timeout: timeout}, conn: step.conn, since: after(step.since)}
		stays, looks, until := o.contact(at, after(step.at))
		got := "goes"
		if stays {
			got = "stays"
			if looks {
				got += ", looks"
			}
			if !until.IsZero() {
				got += fmt.Sprintf(" until %v", until.Sub(start))
			}
		}
		if got != step.want {
			t.Errorf("at %s: %s, want %s", step.at, got, step.want)
		}
	}
}

// offices counts who leads, and says if there are ever two.
type offices struct {
	t       *testing.T
	leading atomic.Int32
	terms   atomic.Int32
}

// stand makes a candidate that leads until its context is done.
func (s *offices) stand(o Options) (leads *atomic.Bool, stop func()) {
	s.t.Helper()
	d := mustNew(s.t, o)
	ctx, cancel := context.WithCancel(context.Background())
	leads = new(atomic.Bool)
	done := make(chan struct{})
	go func() {
		defer close(done)
		err := d.Lead(ctx, work, func(ctx context.Context) {
			if n := s.leading.Add(1); n != 1 {
				s.t.Errorf("%d lead at a time", n)
			}
			s.terms.Add(1)
			leads.Store(true)
			<-ctx.Done()
			leads.Store(false)
			s.leading.Add(-1)
		})
		if err != nil {
			s.t.Error(err)
		}
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		<-done
	})
	s.t.Cleanup(stop)
	return leads, stop
}

func await(t *testing.T, what string, is func() bool) {
	t.Helper()
	cluster.Eventually(t, 15*time.Second, what, func() error {
		if !is() {
			return errors.New("not yet")
		}
		return nil
	})
}

func TestOneOfManyLeads(t *testing.T) {
	t.Parallel()
	o := sharedZooKeeper(t)
	s := offices{t: t}
	type one struct {
		leads *atomic.Bool
		stop  func()
	}
	var all []one
	for range 8 {
		leads, stop := s.stand(o)
		all = append(all, one{leads, stop})
	}
	for len(all) > 0 {
		await(t, "a leader", func() bool { return s.leading.Load() == 1 })
		i := slices.IndexFunc(all, func(c one) bool { return c.leads.Load() })
		if i < 0 {
			continue // about to say so
		}
		all[i].stop()
		all = slices.Delete(all, i, i+1)
	}
	if n := s.terms.Load(); n != 8 {
		t.Errorf("8 candidates led %d times", n)
	}
	names, _, err := rawConn(t, o).Children(o.Path + "/" + work)
	if err != nil || len(names) != 0 {
		t.Errorf("%v are left, %v", names, err)
	}
}

func TestLeaderResigns(t *testing.T) {
	t.Parallel()
	o := sharedZooKeeper(t)
	s := offices{t: t}
	d := mustNew(t, o)
	for range 2 {
		if err := d.Lead(t.Context(), work, func(ctx context.Context) {
			if ctx.Err() != nil {
				t.Error("elected, and over")
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	leads, _ := s.stand(o)
	await(t, "the next leader", leads.Load)
}

// Somebody deletes what stands there: somebody leads again.
func TestLeaderDeleted(t *testing.T) {
	t.Parallel()
	o := sharedZooKeeper(t)
	s := offices{t: t}
	leads, _ := s.stand(o)
	await(t, "a leader", leads.Load)
	conn := rawConn(t, o)
	names, _, err := conn.Children(o.Path + "/" + work)
	if err != nil || len(names) != 1 {
		t.Fatal(names, err)
	}
	deleteAll(t, conn, o.Path+"/"+work+"/"+names[0])
	await(t, "another znode", func() bool {
		again, _, err := conn.Children(o.Path + "/" + work)
		return err == nil && len(again) == 1 && again[0] != names[0]
	})
	await(t, "a leader again", leads.Load)
}

func awaitCandidates(t *testing.T, o Options, n int) {
	t.Helper()
	conn := rawConn(t, o)
	await(t, fmt.Sprintf("%d candidates", n), func() bool {
		names, _, err := conn.Children(mustNew(t, o).layout.root + "/" + work)
		return err == nil && len(names) == n
	})
}

func TestLeaderCutOff(t *testing.T) {
	t.Parallel()
	o := sharedZooKeeper(t)
	o.SessionTimeout = electionSession
	l, cut := linked(t, o)
	s := offices{t: t}
	first, _ := s.stand(cut)
	await(t, "a leader", first.Load)
	second, stop := s.stand(o)
	awaitCandidates(t, o, 2)
	l.Cut()
	await(t, "the one that is not cut off", func() bool { return second.Load() && !first.Load() })
	l.Heal()
	awaitCandidates(t, o, 2) // it stands in line again
	if first.Load() || !second.Load() {
		t.Error("who comes back takes over from who leads")
	}
	stop()
	await(t, "the one that was cut off", first.Load)
}

// A connection that breaks and is back at once changes nothing.
func TestLeaderStaysThroughABrokenConnection(t *testing.T) {
	t.Parallel()
	o := sharedZooKeeper(t)
	l, frail := linked(t, o)
	s := offices{t: t}
	leads, _ := s.stand(frail)
	await(t, "a leader", leads.Load)
	second, _ := s.stand(o)
	awaitCandidates(t, o, 2)
	for range 3 {
		before := l.Relayed()
		l.Break()
		await(t, "a connection", func() bool { return l.Relayed() > before+200 })
	}
	if !leads.Load() || second.Load() || s.terms.Load() != 1 {
		t.Errorf("leads: %v, the other: %v, terms: %d", leads.Load(), second.Load(), s.terms.Load())
	}
}

func TestLeaderThroughARestartOfZooKeeper(t *testing.T) {
	t.Parallel()
	for _, wipe := range []bool{false, true} {
		z, o := ownZooKeeper(t)
		o.SessionTimeout = electionSession
		s := offices{t: t}
		for range 3 {
			s.stand(o)
		}
		await(t, "a leader", func() bool { return s.leading.Load() == 1 })
		if err := z.Kill(); err != nil {
			t.Fatal(err)
		}
		await(t, "no leader", func() bool { return s.leading.Load() == 0 })
		if wipe {
			if err := z.WipeData(); err != nil {
				t.Fatal(err)
			}
		}
		if err := z.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		await(t, "a leader again", func() bool { return s.leading.Load() == 1 })
	}
}

func TestLeadRefuses(t *testing.T) {
	t.Parallel()
	for _, what := range []string{"", "members", "views", "a/b", "Rebalance"} {
		err := mustNew(t, Options{Hosts: []string{"127.0.0.1:1"}}).Lead(t.Context(), what, nil)
		if !errors.Is(err, torc.ErrInvalid) {
			t.Errorf("to lead %q: %v", what, err)
		}
	}
	o := sharedZooKeeper(t)
	d := mustNew(t, o)
	if err := d.Drain(t.Context(), "a:1"); err != nil {
		t.Fatal(err)
	}
	if _, err := rawConn(t, o).SetACL(o.Path, zk.WorldACL(zk.PermRead|zk.PermAdmin), -1); err != nil {
		t.Fatal(err)
	}
	err := d.Lead(t.Context(), work, func(context.Context) { t.Error("leads") })
	if err == nil || !strings.Contains(err.Error(), "access rules") {
		t.Errorf("without rights: %v", err)
	}
}

// beCandidate is a process that leads when it can, and says so.
func beCandidate(o Options) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	d, err := New(o)
	if err == nil {
		err = d.Lead(ctx, work, func(ctx context.Context) {
			fmt.Println("leads")
			<-ctx.Done()
			fmt.Println("led")
		})
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// TestLeaderKilledAndFrozen has real processes for candidates.
func TestLeaderKilledAndFrozen(t *testing.T) {
	t.Parallel()
	cluster.Need(t, "zookeeper")
	c := cluster.ForTest(t, cluster.Options{})
	z, err := c.Host("zk").ZooKeeper(t.Context(), cluster.ZooKeeperOptions{})
	if err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	start := func(name string) *cluster.Proc {
		p, err := c.Host(name).Start(t.Context(), cluster.Spec{Name: name, Path: exe, Args: []string{z.Addr}, Env: []string{roleEnv + "=1"}})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	says := func(p *cluster.Proc, what string, since time.Time) time.Time {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
		defer cancel()
		line, err := p.WaitLine(ctx, since, func(text string) bool { return text == what })
		if err != nil {
			t.Fatal(err)
		}
		return line.At
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	a := start("a")
	says(a, "leads", began)
	b := start("b")
	o := Options{Hosts: []string{z.Addr}}
	awaitCandidates(t, o, 2)
	fault := time.Now()
	must(a.Freeze())
	t.Logf("frozen: the other leads after %v", says(b, "leads", fault).Sub(fault))
	thawed := time.Now()
	must(a.Thaw())
	t.Logf("thawed: it knows after %v", says(a, "led", thawed).Sub(thawed))
	awaitCandidates(t, o, 2)
	fault = time.Now()
	must(b.Kill())
	t.Logf("killed: the other leads after %v", says(a, "leads", fault).Sub(fault))
	fault = time.Now()
	must(a.Term())
	says(a, "led", fault)
}
