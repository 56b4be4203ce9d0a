package link

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/torc-dht/torc/chord/internal/msg"
	"github.com/torc-dht/torc/chord/internal/ring"
	"github.com/torc-dht/torc/internal/cluster"
)

const port = 7100

// process runs a node in a process of its own, and returns when it listens. It keeps
// sending to the others.
func process(t testing.TB, host *cluster.Host, id, boot uint64, others ...ring.Ref) (*cluster.Proc, ring.Ref) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	addr := host.Addr(port)
	args := []string{fmt.Sprint(id), fmt.Sprint(boot), addr}
	for _, o := range others {
		args = append(args, o.Place.String(), fmt.Sprint(o.Boot), o.Addr)
	}
	p, err := host.Start(t.Context(), cluster.Spec{
		Name: fmt.Sprintf("node%d", id), Path: exe, Args: args,
		Env: []string{nodeEnv + "=1"}, Addr: addr,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.WaitLine(t.Context(), time.Time{}, func(s string) bool { return s == "listening" }); err != nil {
		t.Fatal(err)
	}
	return p, refOf(int64(id), boot, addr)
}

// echo returns when a message has gone to a peer and back, so that both have dialed.
func echo(t testing.TB, s *station, peer ring.Ref) {
	t.Helper()
	s.Send(peer, &msg.Query{Nonce: peer.Boot})
	s.events.take(t, 1)
}

// killing kills a process again and again, and returns how long after the kill it
// was known to be dead, each time.
func killing(t testing.TB, s *station, host *cluster.Host, times int) (took []time.Duration) {
	t.Helper()
	for i := range times {
		p, ref := process(t, host, 2, uint64(100+i))
		echo(t, s, ref)
		await(t, s.events, func(u Up) bool { return u.Peer == ref })
		killed := time.Now()
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
		// The first word of it is the right one.
		if d := await[Down](t, s.events, nil); d.Peer != ref || !d.Refused {
			t.Errorf("got %+v", d)
		}
		took = append(took, s.events.last.Sub(killed))
	}
	slices.Sort(took)
	return took
}

// A process that is killed is known to be dead a moment later, by the first that is
// said of it.
func TestKilledProcess(t *testing.T) {
	t.Parallel()
	c := cluster.ForTest(t, cluster.Options{})
	took := killing(t, start(t, 1), c.Host("there"), 10)
	t.Logf("known to be dead %v after the kill (median), %v at most", took[len(took)/2], took[len(took)-1])
}

func BenchmarkKilled(b *testing.B) {
	c := cluster.ForTest(b, cluster.Options{})
	s, host := start(b, 1), c.Host("there")
	var took []time.Duration
	for b.Loop() {
		took = append(took, killing(b, s, host, 1)...)
	}
	slices.Sort(took)
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	b.ReportMetric(ms(took[len(took)/2]), "ms/median")
	b.ReportMetric(ms(took[len(took)-1]), "ms/worst")
}

// A process that has died unnoticed, and whose port another one has taken, is known to
// be dead as soon as that one answers, or calls.
func TestReplacedProcess(t *testing.T) {
	t.Parallel()
	c := cluster.ForTest(t, cluster.Options{})
	s, host := start(t, 1), c.Host("there")
	p, former := process(t, host, 2, 100)
	echo(t, s, former)
	await(t, s.events, func(u Up) bool { return u.Peer == former })
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	_, present := process(t, host, 3, 200)
	if d := await[Down](t, s.events, nil); d.Peer != former || !d.Refused {
		t.Errorf("got %+v", d)
	}
	s.Send(former, &msg.Ack{})
	if d := await[Down](t, s.events, nil); d.Peer != former || !d.Refused || !strings.Contains(d.Err.Error(), "another process") {
		t.Errorf("got %+v", d)
	}
	echo(t, s, present)
	await(t, s.events, func(u Up) bool { return u.Peer == present })
}

// A process that is stopped is never taken for dead, by who was connected with it and
// by who was not. When it goes on, so do they. Killed while it is stopped it is dead.
func TestStoppedProcess(t *testing.T) {
	t.Parallel()
	c := cluster.ForTest(t, cluster.Options{})
	s := start(t, 1, func(c *Config) { c.QueueBytes = 8 << 20 })
	p, ref := process(t, c.Host("there"), 2, 100)
	echo(t, s, ref)
	await[Up](t, s.events, nil)
	if err := p.Freeze(); err != nil {
		t.Fatal(err)
	}
	stranger := start(t, 3)
	stranger.Send(ref, acks(1, 1)...)
	if d := await[Down](t, stranger.events, nil); d.Refused {
		t.Errorf("got %+v", d)
	}
	large := batchOfWrites(1, 1<<20)
	for range 2 { // the connection that there was, and then calls
		eventually(t, "a connection that has broken", func() bool {
			s.Send(ref, large)
			return len(s.events.rest()) > 0
		})
		for _, e := range s.events.rest() {
			if d, ok := e.(Down); !ok || d.Refused {
				t.Errorf("got %+v", e)
			}
		}
		await[Down](t, s.events, nil)
	}
	if err := p.Thaw(); err != nil {
		t.Fatal(err)
	}
	for _, one := range []*station{s, stranger} {
		eventually(t, "a connection", func() bool {
			one.Send(ref, acks(1, 1)...)
			return slices.ContainsFunc(one.events.rest(), func(e Event) bool { _, up := e.(Up); return up })
		})
		for _, e := range one.events.rest() {
			if d, ok := e.(Down); ok && d.Refused {
				t.Errorf("got %+v", d)
			}
		}
		await[Up](t, one.events, nil)
	}
	if err := p.Freeze(); err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, one := range []*station{s, stranger} {
		await(t, one.events, func(d Down) bool { return d.Refused })
	}
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
		if !l.At.Before(since) && strings.HasPrefix(l.Text, "down") && strings.HasSuffix(l.Text, "true") {
			t.Errorf("%s at %s: %s", p.Name, l.At, l.Text)
		}
	}
}

// A cut line, and a machine that is gone, are no deaths. Connections end after
// lostAfter, and come back soon after the line.
func TestCutLine(t *testing.T) {
	cluster.NeedNamespaces(t)
	t.Parallel()
	c := cluster.ForTest(t, cluster.Options{Namespaces: true})
	ha, hb := c.Host("a"), c.Host("b")
	a, _ := process(t, ha, 1, 100, refOf(2, 200, hb.Addr(port)))
	b, _ := process(t, hb, 2, 200, refOf(1, 100, ha.Addr(port)))
	says(t, a, time.Time{}, "up 2")
	says(t, b, time.Time{}, "up 1")
	for what, f := range map[string]struct{ cut, heal func() error }{
		"the line":    {func() error { return c.Cut(ha, hb) }, func() error { return c.Heal(ha, hb) }},
		"the machine": {hb.InterfaceDown, hb.InterfaceUp},
	} {
		cut := time.Now()
		if err := f.cut(); err != nil {
			t.Fatal(err)
		}
		lost := says(t, a, cut, "down 2 false").Sub(cut)
		says(t, b, cut, "down 1 false")
		healed := time.Now()
		if err := f.heal(); err != nil {
			t.Fatal(err)
		}
		again := says(t, a, healed, "up 2").Sub(healed)
		says(t, b, healed, "up 1")
		t.Logf("%s: lost %v after the cut, and up %v after it came back", what, lost, again)
		neverRefused(t, a, cut)
		neverRefused(t, b, cut)
	}
}
