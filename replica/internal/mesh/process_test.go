package mesh

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/torc-dht/torc/internal/cluster"
)

// withProcess is a station of this process, slot 0, that is connected with a node
// in a process of its own, slot 1.
func withProcess(t testing.TB, c *cluster.Cluster) (*station, *cluster.Proc) {
	t.Helper()
	here, there := c.Host("here"), c.Host("there")
	addrs := []string{here.Addr(7000), there.Addr(7000)}
	if !slices.IsSorted(addrs) {
		t.Fatalf("%q are not in order", addrs)
	}
	l, err := net.Listen("tcp", addrs[0])
	if err != nil {
		t.Fatal(err)
	}
	p := process(t, there, 1, addrs)
	s := open(t, l, 0, addrs)
	s.Start()
	s.events.await(t, Connected{1})
	return s, p
}

// echo returns when a message has gone to slot 1 and back.
func echo(t testing.TB, s *station) {
	t.Helper()
	// The way back is another connection, which may come later, so ask until there
	// is an answer.
	cluster.Eventually(t, patience, "an echo", func() error {
		s.Send(1, numbered(1, 1, 10))
		s.events.mu.Lock()
		defer s.events.mu.Unlock()
		if len(s.events.messages) == 0 {
			return errors.New("nothing")
		}
		return nil
	})
	s.events.mu.Lock()
	s.events.messages = nil
	s.events.mu.Unlock()
}

// A process that is killed is known to be dead a moment later, and one that is
// started again is connected at once, because it calls.
func TestKilledProcess(t *testing.T) {
	t.Parallel()
	s, p := withProcess(t, cluster.ForTest(t, cluster.Options{}))
	for range 5 {
		echo(t, s)
		s.events.forget()
		killed := time.Now()
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
		s.events.await(t, Disconnected{1, false})
		refused := s.events.await(t, Disconnected{1, true})
		began := time.Now()
		if err := p.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		up := s.events.await(t, Connected{1})
		t.Logf("known to be dead after %s; connected %s after the command to start", refused.Sub(killed), up.Sub(began))
	}
}

// BenchmarkKilled measures the time from a SIGKILL until the peer is reported as
// refused.
func BenchmarkKilled(b *testing.B) {
	s, p := withProcess(b, cluster.ForTest(b, cluster.Options{}))
	var took []time.Duration
	for b.Loop() {
		echo(b, s)
		s.events.forget()
		killed := time.Now()
		if err := p.Kill(); err != nil {
			b.Fatal(err)
		}
		s.events.await(b, Disconnected{1, false})
		took = append(took, s.events.await(b, Disconnected{1, true}).Sub(killed))
		if err := p.Restart(b.Context()); err != nil {
			b.Fatal(err)
		}
		s.events.await(b, Connected{1})
	}
	slices.Sort(took)
	b.ReportMetric(ms(took[len(took)/2]), "ms/median")
	b.ReportMetric(ms(took[len(took)-1]), "ms/worst")
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// A frozen process is not taken for dead: its connections stay, new calls to it get
// no answer, and when it goes on so do they, in order.
func TestFrozenProcess(t *testing.T) {
	t.Parallel()
	c := cluster.ForTest(t, cluster.Options{})
	s, p := withProcess(t, c)
	echo(t, s)
	if err := p.Freeze(); err != nil {
		t.Fatal(err)
	}
	s.Send(1, numbered(0, 10, 100))

	// Its machine takes calls in its name, those of a mesh that begins now: slot 0
	// has moved into another process, as it were.
	_ = s.listener.Close()
	s.serving.Wait()
	var l net.Listener
	cluster.Eventually(t, patience, "the address to be free", func() (err error) {
		l, err = net.Listen("tcp", s.cfg.Addrs[0]) // a child that is being started may still have it
		return err
	})
	other := open(t, l, 0, s.cfg.Addrs)
	other.Start()
	for range 2 {
		other.events.await(t, Disconnected{1, false})
	}
	other.events.none(t, Disconnected{1, true})
	s.events.none(t, Disconnected{1, false})
	s.shut()

	if err := p.Thaw(); err != nil {
		t.Fatal(err)
	}
	other.events.await(t, Connected{1})
	echo(t, other)

	// Killed while it is frozen it is dead.
	if err := p.Freeze(); err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	other.events.await(t, Disconnected{1, true})
}

// pair is two nodes in processes on hosts with a network between them.
func pair(t *testing.T) (c *cluster.Cluster, a, b *cluster.Proc) {
	t.Helper()
	c = cluster.ForTest(t, cluster.Options{Namespaces: true})
	ha, hb := c.Host("a"), c.Host("b")
	addrs := []string{ha.Addr(7000), hb.Addr(7000)}
	a, b = process(t, ha, 0, addrs), process(t, hb, 1, addrs)
	says(t, a, time.Time{}, "connected 1")
	says(t, b, time.Time{}, "connected 0")
	return c, a, b
}

// says waits until p says line, and returns when it did.
func says(t *testing.T, p *cluster.Proc, since time.Time, line string) time.Time {
	t.Helper()
	l, err := p.WaitLine(t.Context(), since, func(s string) bool { return s == line })
	if err != nil {
		t.Fatal(err)
	}
	return l.At
}

// neverRefused fails if p has taken a node for dead since then.
func neverRefused(t *testing.T, p *cluster.Proc, since time.Time) {
	t.Helper()
	for _, l := range p.Output() {
		if !l.At.Before(since) && strings.HasPrefix(l.Text, "disconnected") && strings.HasSuffix(l.Text, "true") {
			t.Errorf("%s at %s: %s", p.Name, l.At, l.Text)
		}
	}
}

// A cut line is not a death. The connections end after lostAfter, and come back at
// once when the line does.
func TestCutLine(t *testing.T) {
	cluster.NeedNamespaces(t)
	t.Parallel()
	c, a, b := pair(t)
	cut := time.Now()
	if err := c.Cut(a.Host(), b.Host()); err != nil {
		t.Fatal(err)
	}
	t.Logf("lost %s after the cut", says(t, a, cut, "disconnected 1 false").Sub(cut))
	says(t, b, cut, "disconnected 0 false")
	healed := time.Now()
	if err := c.Heal(a.Host(), b.Host()); err != nil {
		t.Fatal(err)
	}
	t.Logf("connected %s after the line came back", says(t, a, healed, "connected 1").Sub(healed))
	says(t, b, healed, "connected 0")
	neverRefused(t, a, cut)
	neverRefused(t, b, cut)
}

// A machine that is gone, or has no network, is not a dead process, neither for
// others nor for itself.
func TestLostMachine(t *testing.T) {
	cluster.NeedNamespaces(t)
	t.Parallel()
	_, a, b := pair(t)
	down := time.Now()
	if err := b.Host().InterfaceDown(); err != nil {
		t.Fatal(err)
	}
	// b is started again without a network: calls fail at once, with ENETUNREACH.
	if err := b.Restart(t.Context()); err != nil {
		// It can't listen on an address that its machine hasn't got, either.
		if !strings.Contains(fmt.Sprint(err), "assign requested address") {
			t.Fatal(err)
		}
	}
	says(t, a, down, "disconnected 1 false")
	neverRefused(t, a, down)
	up := time.Now()
	if err := b.Host().InterfaceUp(); err != nil {
		t.Fatal(err)
	}
	if !b.Running() {
		// Now the machine is there, and says that the process isn't.
		says(t, a, up, "disconnected 1 true")
		if err := b.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	says(t, a, up, "connected 1")
	says(t, b, up, "connected 0")
}
