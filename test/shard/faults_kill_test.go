package shard

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/cluster"
	"github.com/torc-dht/torc/shard"
)

// servedWithin is after how long, at the default lease, the slots of a server
// that is killed are served again.
const servedWithin = 3 * time.Second

// TestServerKilled kills servers under load while one more joins: sometimes when
// it has just been started, sometimes when it is being filled.
func TestServerKilled(t *testing.T) {
	l := start(t, cluster.Options{}, 3)
	for i := range times(3) {
		d := l.load()
		victim := l.servers[0]
		keys := l.keysOf(victim, 64)
		joiner := l.server()
		if i%2 == 1 {
			l.moving(joiner)
		}
		began := time.Now()
		l.must(victim.Kill())
		l.without(victim)
		seen.Add(t, "server killed, one more joins: served again", servedWithin, l.servedAgain(keys, began))
		l.settled()
		seen.Add(t, "server killed, one more joins: settled", 0, time.Since(began))
		d.answered(d.finish())
	}
}

// TestMoveInterrupted kills a server that joins, or one that gives it its share, a
// little later into the moves each time.
func TestMoveInterrupted(t *testing.T) {
	l := start(t, cluster.Options{}, 3)
	d := l.load()
	for i := range times(4) {
		joiner := l.server()
		l.moving(joiner)
		if step := time.Duration(i/2) * 20 * time.Millisecond; step > 0 {
			<-time.After(step) // the moves go on
		}
		victim := joiner
		if i%2 == 1 {
			victim = l.servers[0]
		}
		began := time.Now()
		l.must(victim.Kill())
		l.without(victim)
		l.settled()
		seen.Add(t, "moves interrupted by a kill: settled", 0, time.Since(began))
	}
	d.answered(d.finish())
}

// TestMasterKilled kills the master under load, while a server joins, and starts
// it again.
func TestMasterKilled(t *testing.T) {
	l := start(t, cluster.Options{}, 3)
	for i := range times(1) {
		away := 5 * time.Second
		if soak() && i < 3 {
			away = 30 * time.Second
		}
		d := l.load()
		joiner := l.server()
		l.moving(joiner)
		began := time.Now()
		l.must(l.master.Kill())
		l.servedAgain(l.someKeys(), began)
		<-time.After(time.Until(began.Add(away))) // the fault itself
		l.must(l.master.Restart(t.Context()))
		restarted := time.Now()
		l.settled()
		seen.Add(t, "master started again: settled", 0, time.Since(restarted))
		d.answered(d.finish())

		victim := l.servers[0] // the new master knows what to do
		l.must(victim.Kill())
		l.without(victim)
		l.settled()
		l.whole()
	}
}

// someKeys are keys all over the table.
func (l *lab) someKeys() []string {
	var keys []string
	for i := range 200 {
		keys = append(keys, "some-"+strconv.Itoa(i))
	}
	return keys
}

// TestMasterAndServerKilled kills both at the same time. The slots of the server
// wait until a person says that it won't come back; none is said to be empty.
func TestMasterAndServerKilled(t *testing.T) {
	l := start(t, cluster.Options{}, 3)
	for range times(1) {
		d := l.load()
		victim := l.servers[0]
		keys := l.keysOf(victim, 16)
		l.servedAgain(keys, time.Now())
		killBoth(l, victim)
		l.must(l.master.Restart(t.Context()))
		l.await("the master to miss it", func(st *shard.Status) string {
			if st.Held == 0 {
				return "no slot is held"
			}
			return ""
		})
		for _, key := range keys[:4] {
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			_, err := l.client.Get(ctx, key)
			cancel()
			if !errors.Is(err, torc.ErrUnavailable) || errors.Is(err, torc.ErrNotFound) {
				t.Errorf("GET of a key that waits for a server: %v", err)
			}
		}
		// The master doesn't forget a server while it might still answer.
		l.must(cluster.WaitFor(l.within(settleWithin), "forget", func() error {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			return l.admin.Forget(ctx, victim.addr)
		}))
		forgotten := time.Now()
		seen.Add(t, "master and server killed, server forgotten: served again", 0, l.servedAgain(keys, forgotten))
		l.server()
		l.settled()
		d.finish()
	}
}

// TestMasterWithStateAndServerKilled is the same with a master that keeps its map:
// it needs nobody's word.
func TestMasterWithStateAndServerKilled(t *testing.T) {
	l := start(t, cluster.Options{}, 3, "--state", t.TempDir()+"/map")
	for range times(1) {
		d := l.load()
		victim := l.servers[0]
		keys := l.keysOf(victim, 64)
		killBoth(l, victim)
		restarted := time.Now()
		l.must(l.master.Restart(t.Context()))
		seen.Add(t, "master with --state and server killed: served again after its start", 0, l.servedAgain(keys, restarted))
		l.server()
		l.settled()
		d.answered(d.finish())
	}
}

func killBoth(l *lab, victim *member) {
	l.t.Helper()
	killed := make(chan error)
	go func() { killed <- l.master.Kill() }()
	l.must(errors.Join(victim.Kill(), <-killed))
	l.without(victim)
}
