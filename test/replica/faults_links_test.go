package replica

import (
	"fmt"
	"testing"
	"time"

	"github.com/torc-dht/torc/internal/cluster"
)

// splitLasts is how long a network stays in parts.
const splitLasts = 5 * time.Second

// TestVanishedLeader pulls the leader's cable.
func TestVanishedLeader(t *testing.T) {
	l := start(t, cluster.Options{Namespaces: true}, 3)
	for range times() {
		leader, _ := l.leader()
		d := l.load()
		at := d.now()
		l.must(unplug(leader))
		<-time.After(2 * aftermath)
		// It has gone on alone by now, and what it was asked it answers with a label.
		back := d.now()
		l.must(plug(leader))
		l.settled(l.servers...)
		seen.judged(t, d, step{what: "leader vanished, 3 servers", reach: 600 * time.Millisecond, at: at},
			step{what: "leader vanished, 3 servers: it comes back", reach: noDowntime, labels: true, at: back})
	}
}

// TestVanishedMajority pulls the cables of three of four servers: the last one goes
// on and says that it is alone.
func TestVanishedMajority(t *testing.T) {
	l := start(t, cluster.Options{Namespaces: true}, 4)
	for range times() {
		_, others := l.leader()
		last := others[0]
		d := l.load()
		at := d.now()
		var gone []*server
		for _, s := range l.servers {
			if s != last {
				gone = append(gone, s)
			}
		}
		l.together(gone, unplug)
		<-time.After(3 * aftermath)
		back := d.now()
		l.together(gone, plug)
		l.settled(l.servers...)
		seen.judged(t, d, step{what: "3 of 4 vanished", reach: 2 * time.Second, labels: true, at: at},
			step{what: "3 of 4 vanished: they come back", reach: 600 * time.Millisecond, labels: true, at: back})
	}
}

// TestSplits takes the network of four servers apart in several ways. Clients reach
// all of them.
func TestSplits(t *testing.T) {
	l := start(t, cluster.Options{Namespaces: true}, 4)
	for _, split := range []struct {
		name string
		cut  func(s []*server) // s[0] leads
	}{
		{"split 2-2", func(s []*server) { l.cut(s[:2], s[2:]) }},
		{"split 1-3, the leader alone", func(s []*server) { l.cut(s[:1], s[1:]) }},
		{"split 3-1, another alone", func(s []*server) { l.cut(s[:3], s[3:]) }},
		{"the leader is not heard by any", func(s []*server) { l.pairs(s[:1], s[1:], l.cluster.CutOneWay) }},
		{"the leader is not heard by one", func(s []*server) { l.pairs(s[:1], s[1:2], l.cluster.CutOneWay) }},
		{"the leader hears none", func(s []*server) { l.pairs(s[1:], s[:1], l.cluster.CutOneWay) }},
		{"a ring of broken links", func(s []*server) {
			for i := range s {
				l.cut(s[i:i+1], []*server{s[(i+1)%len(s)]})
			}
		}},
	} {
		t.Run(split.name, func(t *testing.T) {
			for range times() {
				leader, others := l.leader()
				d := l.load()
				at := d.now()
				split.cut(append([]*server{leader}, others...))
				<-time.After(splitLasts) // the fault itself
				l.heal(l.servers, l.servers)
				healed := d.now()
				l.settled(l.servers...)
				seen.judged(t, d, step{what: split.name, reach: 600 * time.Millisecond, labels: true, at: at},
					step{what: split.name + ": healed", reach: 600 * time.Millisecond, labels: true, at: healed})
			}
		})
	}
}

// TestLoss has the network lose a part of what it carries.
func TestLoss(t *testing.T) {
	l := start(t, cluster.Options{Namespaces: true}, 4)
	for _, percent := range []int{1, 10, 30} {
		for range times() {
			d := l.load()
			at := d.now()
			l.together(l.servers, func(s *server) error { return s.Host().Lose(float64(percent) / 100) })
			<-time.After(splitLasts) // the fault itself
			l.together(l.servers, func(s *server) error { return s.Host().Lose(0) })
			l.settled(l.servers...)
			// With more than a little lost, TCP waits for seconds.
			seen.judged(t, d, step{what: fmt.Sprintf("%d %% of frames lost", percent), labels: percent >= 10, at: at})
		}
	}
}
