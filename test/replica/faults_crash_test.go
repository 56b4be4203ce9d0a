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

// noDowntime is how long there may be no answer where there is to be no downtime:
// what lies between two answers when nothing is wrong, and a little.
const noDowntime = 10 * time.Millisecond

// aftermath is how long the load goes on after a fault: longer than any is to take.
const aftermath = 1500 * time.Millisecond

// TestKilledFollower kills a server that doesn't lead: the others go on.
func TestKilledFollower(t *testing.T) {
	l := start(t, cluster.Options{}, 3)
	for i := range times() {
		_, others := l.leader()
		l.crash("follower killed, 3 servers", noDowntime, others[i%2])
	}
}

// TestKilledLeader kills the server that leads.
func TestKilledLeader(t *testing.T) {
	for _, n := range []int{3, 4} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			l := start(t, cluster.Options{}, n)
			for range times() {
				leader, _ := l.leader()
				l.crash(fmt.Sprintf("leader killed, %d servers", n), 30*time.Millisecond, leader)
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
		d.onlyCrashes = true
		at := d.now()
		l.must(leader.Term())
		code, err := leader.Wait(t.Context())
		l.must(err)
		if code != 0 {
			t.Errorf("a server that was told to end exited with %d", code)
		}
		<-time.After(aftermath)
		l.joined(others...)
		back := d.now()
		l.must(restart(leader))
		l.settled(l.servers...)
		seen.judged(t, d, step{what: "leader told to end, 3 servers", reach: 30 * time.Millisecond, at: at}, step{what: "leader told to end, 3 servers: started again", reach: noDowntime, at: back})
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
		d.onlyCrashes = true
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
		seen.judged(t, d, step{what: "one of 4, alone from the start", labels: true},
			step{what: "one of 4, alone from the start: the others join", reach: noDowntime, labels: true, at: at})
	}
}

// crash kills a server under load and starts it again.
func (l *lab) crash(what string, reach time.Duration, victim *server) {
	l.t.Helper()
	d := l.load()
	d.onlyCrashes = true
	at := d.now()
	l.must(victim.Kill())
	<-time.After(aftermath)
	back := d.now()
	l.must(restart(victim))
	l.settled(l.servers...)
	<-time.After(aftermath / 3)
	seen.judged(l.t, d, step{what: what, reach: reach, at: at}, step{what: what + ": started again", reach: noDowntime, at: back})
}

// TestKilledAtOnce kills three of four servers in the same instant: the last goes
// on alone, says so, and has every answered write. Then the others come back.
func TestKilledAtOnce(t *testing.T) {
	l := start(t, cluster.Options{}, 4)
	for i := range times() {
		d := l.load()
		d.onlyCrashes = true
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
		seen.judged(t, d, step{what: "4 to 1 at once", reach: 300 * time.Millisecond, labels: true, at: at},
			step{what: "4 to 1 at once: 3 started again", reach: noDowntime, labels: true, at: back})
	}
}

// TestKilledOneAfterAnother kills the server that leads until one is left, and
// starts the others again, one after another.
func TestKilledOneAfterAnother(t *testing.T) {
	l := start(t, cluster.Options{}, 4)
	for range times() {
		d := l.load()
		d.onlyCrashes = true
		var steps []step
		var killed []*server
		left := l.servers
		for len(left) > 1 {
			var leader *server
			leader, left = l.leaderOf(left)
			steps = append(steps, step{
				what:  fmt.Sprintf("one after another: leader killed, %d to %d", len(left)+1, len(left)),
				reach: 30 * time.Millisecond, labels: len(left) == 1, at: d.now(),
			})
			l.must(leader.Kill())
			killed = append(killed, leader)
			<-time.After(aftermath / 2)
			if len(left) > 1 {
				l.joined(left...)
			}
		}
		for _, s := range killed {
			steps = append(steps, step{
				what:  fmt.Sprintf("one after another: started again, %d to %d", len(left), len(left)+1),
				reach: noDowntime, labels: true, at: d.now(),
			})
			l.must(restart(s))
			left = append(left, s)
			l.joined(left...)
		}
		l.settled(l.servers...)
		seen.judged(t, d, steps...)
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
		leader, others := l.leader()
		l.must(others[0].Kill())
		l.joined(leader, others[1])
		d := l.load()
		d.onlyCrashes = true
		at := d.now()
		l.must(restart(others[0]))
		l.settled(l.servers...)
		<-time.After(aftermath)
		seen.judged(t, d, step{what: "follower started again, 10 MB to fetch", reach: noDowntime, at: at})
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
	d.onlyCrashes = true
	at := d.now()
	r := rand.New(rand.NewPCG(rand.Uint64(), 0))
	for i, end := 0, time.Now().Add(lasts); time.Now().Before(end); i++ {
		l.must(l.servers[i%4].Restart(context.Background()))
		<-time.After(time.Duration(100+r.IntN(800)) * time.Millisecond)
	}
	l.settled(l.servers...)
	seen.judged(t, d, step{what: "one of 4 killed and started again, every 100 to 900 ms", labels: true, at: at})
}
