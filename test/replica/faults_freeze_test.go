package replica

import (
	"fmt"
	"testing"
	"time"

	"github.com/torc-dht/torc/internal/cluster"
)

// TestFrozenLeader stops the leader for a while and lets it go on: it answers
// nothing from the past.
func TestFrozenLeader(t *testing.T) {
	l := start(t, cluster.Options{}, 3)
	for _, lasts := range []time.Duration{100 * time.Millisecond, 500 * time.Millisecond, 2 * time.Second, 5 * time.Second} {
		for range times() {
			leader, _ := l.leader()
			d := l.load()
			at := d.now()
			l.must(leader.Freeze())
			<-time.After(lasts) // the fault itself
			l.must(leader.Thaw())
			l.settled(l.servers...)
			<-time.After(aftermath / 2)
			seen.judged(t, d, step{what: fmt.Sprintf("leader frozen for %v", lasts), reach: 600 * time.Millisecond, at: at})
		}
	}
}
