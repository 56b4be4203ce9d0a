package shard

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/torc-dht/torc/internal/cluster"
)

// TestJoinAndLeave has a server join and leave, again and again, under load.
func TestJoinAndLeave(t *testing.T) {
	l := start(t, cluster.Options{}, 3)
	d := l.load()
	for range times(4) {
		began := time.Now()
		s := l.server()
		l.joined(s, time.Time{})
		seen.Add(t, "server joins: has its share", 0, time.Since(began))
		l.settled()
		began = time.Now()
		l.must(s.Term())
		l.without(s)
		code, err := s.Wait(l.within(settleWithin))
		l.must(err)
		if code != 0 {
			t.Errorf("a server that was told to go exited with %d", code)
		}
		seen.Add(t, "server leaves: all handed over", 0, time.Since(began))
		l.settled()
	}
	d.answered(d.finish())
}

// TestFiveJoinAtOnce has five servers join in the same instant, and then all but
// one leave.
func TestFiveJoinAtOnce(t *testing.T) {
	for range times(1) {
		l := start(t, cluster.Options{}, 1)
		d := l.load()
		began := time.Now()
		var joining sync.WaitGroup
		for range 5 {
			s := l.server()
			joining.Go(func() { l.joined(s, time.Time{}) })
		}
		joining.Wait()
		seen.Add(t, "5 servers join at once: all have their share", 0, time.Since(began))
		l.settled()
		for _, s := range slices.Clone(l.servers[1:]) {
			l.must(s.Term())
			l.without(s)
		}
		l.settled()
		d.answered(d.finish())
		l.whole()
		l.must(l.cluster.Close())
	}
}
