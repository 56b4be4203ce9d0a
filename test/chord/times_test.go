package chord

import (
	"testing"
	"time"

	"github.com/torc-dht/torc/internal/cluster"
)

const (
	// timedPairs is how many pairs there are where times are taken.
	timedPairs = 10000
	// answeredWithin and restoredWithin are after how long what a node owned that is
	// gone is answered for again, and has all its copies again.
	answeredWithin = time.Second
	restoredWithin = 2 * time.Second
	// joinWait is how long a request may wait while a node joins.
	joinWait = 100 * time.Millisecond
)

// TestRepairTimes kills a node, or tells it to fail, in a ring with 10,000 pairs and
// nothing else to do.
func TestRepairTimes(t *testing.T) {
	l := start(t, cluster.Options{}, 8, 1, timedPairs)
	for range times(1) {
		for _, name := range []string{"SIGKILL", "fail"} {
			victim := l.nodes[3]
			keys := l.keysOf(victim, 64)
			l.servedAgain(keys, time.Now()) // the table knows who is there
			began := time.Now()
			if name == "fail" { // by the message alone: to start a program takes longer
				l.must(l.admin.Fail(l.within(patience), victim.addr))
				l.ended(victim)
			} else {
				l.kill(victim)
			}
			answered := make(chan time.Duration, 1)
			go func() { answered <- l.servedAgain(keys, began) }()
			l.settled()
			restored := time.Since(began)
			seen.Add(t, name+", 10,000 pairs: answered again", allowed(answeredWithin), <-answered)
			seen.Add(t, name+", 10,000 pairs: all copies again", allowed(restoredWithin), restored)
			l.joined(l.again(victim))
			l.settled()
		}
	}
	l.present()
	l.counted()
}

// TestJoinUnderLoad has nodes join, one after another, while clients add, update,
// remove and read.
func TestJoinUnderLoad(t *testing.T) {
	l := start(t, cluster.Options{}, 4, 1, timedPairs)
	for range times(1) {
		d := l.load()
		<-time.After(200 * time.Millisecond) // of load before
		from := d.now()
		m := l.join()
		l.settled()
		to := d.now()
		h := d.judged()
		o := longest(h, from, to)
		t.Logf("the longest: %v; the machine stood still for %v meanwhile", o, d.stalled(from, to))
		seen.Add(t, "a node joins: it has its share and all copies are there", 0, to-from)
		seen.Add(t, "a node joins under load, 10,000 pairs: longest request", allowed(joinWait), o.Return-o.Call)
		l.leave(m)
		l.settled()
	}
}
