package master

import (
	"fmt"
	"testing"

	"github.com/torc-dht/torc/shard/slots"
)

// run lets time pass in steps of 2 ms until something holds.
func (w *world) until(limit int64, holds func() bool) bool {
	for end := w.now + limit; w.now < end; {
		w.step(2 * ms)
		if holds() {
			return true
		}
	}
	return false
}

func (w *world) isSettled(n int) bool {
	if w.down {
		return false
	}
	if n == 0 && w.m.Map() == nil {
		return true
	}
	st := w.m.Status(w.now)
	return st.Settled && len(st.Servers) == n && st.Failed == 0 && st.Held == 0
}

func TestJoins(t *testing.T) {
	t.Parallel()
	for _, p := range []slots.Placement{slots.Minimal, slots.Modulo} {
		w := newWorld(1, Config{Placement: p})
		if testing.Verbose() {
			w.log = t.Logf
		}
		for n := 1; n <= 5; n++ {
			w.start(fmt.Sprintf("10.0.0.%d:1", n))
			if !w.until(20*second, func() bool { return w.isSettled(n) }) {
				t.Fatalf("%v: %d servers: not settled: %s", p, n, summary(w.m.Map()))
			}
			if w.err != nil {
				t.Fatal(w.err)
			}
			t.Logf("%d ms, %d maps: %s", w.now/ms, w.maps, summary(w.m.Map()))
		}
	}
}
