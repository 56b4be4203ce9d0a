package replica

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/torc-dht/torc/internal/cluster"
	"github.com/torc-dht/torc/replica"
)

// aftermath is how long the load goes on after a fault: longer than any is to take.
const aftermath = 1500 * time.Millisecond

// TestKilledFollower kills a server that doesn't lead: the others go on.
func TestKilledFollower(t *testing.T) {
	l := start(t, cluster.Options{}, 3)
	for i := range times() {
		_, others := l.leader()
		l.crash(fault{name: "follower killed, 3 servers", reach: 10 * time.Millisecond, crashes: true}, others[i%2])
	}
}

// TestKilledLeader kills the server that leads.
func TestKilledLeader(t *testing.T) {
	for _, n := range []int{3, 4} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			l := start(t, cluster.Options{}, n)
			for range times() {
				leader, _ := l.leader()
				l.crash(fault{name: fmt.Sprintf("leader killed, %d servers", n), reach: 30 * time.Millisecond, crashes: true}, leader)
			}
		})
	}
}

// TestStoppedLeader tells the leader to end: it leaves before it goes.
func TestStoppedLeader(t *testing.T) {
	l := start(t, cluster.Options{}, 3)
	for range times() {
		leader, others := l.leader()
		d := l.load()
		at := d.now()
		l.must(leader.Term())
		code, err := leader.Wait(t.Context())
		l.must(err)
		if code != 0 {
			t.Errorf("a server that was told to end exited with %d", code)
		}
		<-time.After(aftermath)
		l.settled(others...)
		l.must(restart(leader))
		l.settled(l.servers...)
		seen.judged(t, fault{name: "leader told to end, 3 servers", reach: 30 * time.Millisecond, crashes: true}, d, at)
	}
}

// TestAlone starts one of four servers: it serves by itself after a while, and says
// so; those that come later join it, and nothing is lost.
func TestAlone(t *testing.T) {
	l := start(t, cluster.Options{}, 4)
	for i := range times() {
		l.together(l.servers, kill)
		first := l.servers[i%4]
		began := time.Now()
		l.must(restart(first))
		l.joined(first)
		t.Logf("one of four serves %v after its start", time.Since(began).Round(time.Millisecond))
		d := l.load()
		at := d.now()
		var others []*server
		for _, s := range l.servers {
			if s != first {
				others = append(others, s)
			}
		}
		l.together(others, restart)
		l.settled(l.servers...)
		<-time.After(aftermath / 2)
		seen.judged(t, fault{name: "the first of 4 is joined by the others", labels: -1, crashes: true}, d, at)
	}
}

// crash kills a server under load and starts it again.
func (l *lab) crash(f fault, victim *server) {
	l.t.Helper()
	d := l.load()
	at := d.now()
	l.must(victim.Kill())
	<-time.After(aftermath)
	back := d.now()
	l.must(restart(victim))
	l.settled(l.servers...)
	seen.judged(l.t, f, d, at, back)
}

// TestKilledAtOnce kills three of four servers in the same instant: the last goes
// on alone, says so, and has every answered write. Then the others come back.
func TestKilledAtOnce(t *testing.T) {
	l := start(t, cluster.Options{}, 4)
	for i := range times() {
		d := l.load()
		last := l.servers[i%4]
		var victims []*server
		for _, s := range l.servers {
			if s != last {
				victims = append(victims, s)
			}
		}
		at := d.now()
		l.together(victims, kill)
		<-time.After(aftermath)
		back := d.now()
		l.together(victims, restart)
		l.settled(l.servers...)
		seen.judged(t, fault{name: "4 to 1 at once", reach: 300 * time.Millisecond, labels: 1, crashes: true}, d, at, back)
	}
}

// TestKilledOneAfterAnother kills the server that leads until one is left, and
// starts the others again, one after another.
func TestKilledOneAfterAnother(t *testing.T) {
	l := start(t, cluster.Options{}, 4)
	for range times() {
		d := l.load()
		var at []time.Duration
		var killed []*server
		left := l.servers
		for len(left) > 1 {
			var leader *server
			leader, left = l.leaderOf(left)
			at = append(at, d.now())
			l.must(leader.Kill())
			killed = append(killed, leader)
			<-time.After(aftermath / 2)
			if len(left) > 1 {
				l.settled(left...)
			}
		}
		for _, s := range killed {
			at = append(at, d.now())
			l.must(restart(s))
			left = append(left, s)
			l.joined(left...)
		}
		l.settled(l.servers...)
		seen.judged(t, fault{name: "4 to 1, the leader each time, and back", reach: 30 * time.Millisecond, labels: 3, crashes: true}, d, at...)
	}
}

// TestRejoin starts a server again that has 10 MB to fetch.
func TestRejoin(t *testing.T) {
	l := start(t, cluster.Options{}, 3)
	table, err := replica.New(t.Context(), l.addrs(), replica.TableOptions{Dialer: l.dial})
	l.must(err)
	defer func() { _ = table.Close() }()
	value := bytes.Repeat([]byte("0123456789"), 1000)
	for i := range 1000 {
		l.must(table.Put(t.Context(), fmt.Sprint("bulk-", i), value))
	}
	for range times() {
		_, others := l.leader()
		l.must(others[0].Kill())
		d := l.load()
		at := d.now()
		l.must(restart(others[0]))
		l.settled(l.servers...)
		<-time.After(aftermath)
		seen.judged(t, fault{name: "a server comes back, 10 MB", reach: 10 * time.Millisecond, crashes: true}, d, at)
	}
}

// TestRollingRestarts kills one server after another, every 100 to 900 ms, and
// starts it again at once.
func TestRollingRestarts(t *testing.T) {
	lasts := 10 * time.Second
	if soak() || *faults > 0 {
		lasts = time.Minute
	}
	l := start(t, cluster.Options{}, 4)
	d := l.load()
	at := d.now()
	r := rand.New(rand.NewPCG(rand.Uint64(), 0))
	for i, end := 0, time.Now().Add(lasts); time.Now().Before(end); i++ {
		l.must(l.servers[i%4].Restart(context.Background()))
		<-time.After(time.Duration(100+r.IntN(800)) * time.Millisecond)
	}
	l.settled(l.servers...)
	seen.judged(t, fault{name: "restarts every 100 to 900 ms", labels: 1, crashes: true}, d, at)
}
