package chord

import (
	"testing"
	"time"

	"github.com/torc-dht/torc/internal/cluster"
)

// frozenFor is longer than every time-out of the ring: by then the others take a
// frozen node for dead, and have taken over what it had.
const frozenFor = 2500 * time.Millisecond

// TestOneAtATime has nodes join, and go in each of the ways there are, one at a time:
// nobody who calls the table notices more than that it takes a little longer, and
// there are all copies afterwards.
func TestOneAtATime(t *testing.T) {
	for _, fault := range []struct {
		name string
		do   func(l *lab, m *member)
	}{
		{"join", func(l *lab, _ *member) { l.join() }},
		{"leave", (*lab).leave},
		{"fail", (*lab).fail},
		{"SIGINT", (*lab).interrupt},
		{"SIGKILL", (*lab).kill},
		{"SIGSTOP", func(l *lab, m *member) {
			l.must(m.Freeze())
			var others []*member
			for _, other := range l.nodes {
				if other != m {
					others = append(others, other)
				}
			}
			frozen := time.Now()
			l.ringOf(others)
			seen.Add(l.t, "SIGSTOP: the others are one ring, all copies", 0, time.Since(frozen))
			<-time.After(time.Until(frozen.Add(frozenFor))) // the fault itself
			l.must(m.Thaw())
		}},
	} {
		t.Run(fault.name, func(t *testing.T) {
			beside(t)
			l := start(t, cluster.Options{}, 4, 1, 500)
			for i := range times(1) {
				d := l.load()
				<-time.After(200 * time.Millisecond) // of load before the fault
				victim := l.nodes[i%len(l.nodes)]
				began := time.Now()
				fault.do(l, victim)
				l.settled()
				took := time.Since(began)
				if fault.name == "SIGSTOP" {
					took -= frozenFor
				}
				seen.Add(t, fault.name+": one ring, all copies", 0, took)
				d.judged()
				if len(l.nodes) < 4 {
					l.join()
					l.settled()
				}
				for len(l.nodes) > 6 {
					l.leave(l.nodes[0])
					l.settled()
				}
			}
		})
	}
}

// TestTwoNeighbours kills two nodes that follow each other at once, where each pair
// lies on three: nothing is lost.
func TestTwoNeighbours(t *testing.T) {
	beside(t)
	l := start(t, cluster.Options{}, 5, 2, 500)
	for i := range times(1) {
		d := l.load()
		first := l.nodes[i%len(l.nodes)]
		second := l.after(first, 1)
		keys := append(l.keysOf(first, 32), l.keysOf(second, 32)...)
		<-time.After(200 * time.Millisecond) // of load before the fault
		began := time.Now()
		killed := make(chan error, 1)
		go func() { killed <- first.Kill() }()
		l.must(second.Kill())
		l.must(<-killed)
		l.without(first)
		l.without(second)
		seen.Add(t, "two neighbours killed at once, r = 2: answered again", 0, l.servedAgain(keys, began))
		l.settled()
		seen.Add(t, "two neighbours killed at once, r = 2: one ring, all copies", 0, time.Since(began))
		d.judged()
		l.again(first)
		l.joined(l.again(second))
		l.settled()
	}
}
