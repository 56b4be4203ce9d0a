//go:build fewslots

package sim

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/torc-dht/torc/internal/simnet"
	"github.com/torc-dht/torc/shard/internal/msg"
	"github.com/torc-dht/torc/shard/slots"
)

// step is a moment of a move: the n-th message of a kind that somebody has sent,
// or received.
type step struct {
	name string
	sent bool
	at   simnet.Addr
	is   func(w *world, m msg.Message) bool
}

// copyIs says whether a map has the joiner as a copy in a state, with s1 primary.
func copyIs(state slots.State) func(*world, msg.Message) bool {
	return func(w *world, m msg.Message) bool {
		u, ok := m.(*msg.MapUpdate)
		if !ok {
			return false
		}
		from, to := u.Map.Index(w.nodes["s1"].boot), slots.None
		if n := w.nodes["s4"]; n != nil {
			to = u.Map.Index(n.boot)
		}
		return to != slots.None && slices.ContainsFunc(u.Map.Rows, func(r slots.Row) bool {
			is, ok := r.Copy(to)
			return r.Primary == from && ok && is == state
		})
	}
}

// moved says whether a map has the joiner as a primary.
func moved(w *world, m msg.Message) bool {
	u, ok := m.(*msg.MapUpdate)
	if !ok || w.nodes["s4"] == nil {
		return false
	}
	to := u.Map.Index(w.nodes["s4"].boot)
	return to != slots.None && slices.ContainsFunc(u.Map.Rows, func(r slots.Row) bool { return r.Primary == to })
}

// steps are those of a move from s1 to s4, which joins, in their order.
var steps = []step{
	{"the map with the copy to be filled is sent", true, masterAddr, copyIs(slots.Filling)},
	{"the primary has that map", false, "s1", copyIs(slots.Filling)},
	{"the copy has that map", false, "s4", copyIs(slots.Filling)},
	{"a fill begins", true, "s1", item(msg.Begin)},
	{"the copy is told so", false, "s4", item(msg.Begin)},
	{"a part of it is sent", true, "s1", item(msg.Chunk)},
	{"a part of it is there", false, "s4", item(msg.Chunk)},
	{"a slot is through", false, "s4", item(msg.End)},
	{"the primary says that all is", true, "s1", message[*msg.Filled]},
	{"the master hears that", false, masterAddr, message[*msg.Filled]},
	{"the map with the copy that joins is sent", true, masterAddr, copyIs(slots.Joining)},
	{"the primary has that map", false, "s1", copyIs(slots.Joining)},
	{"the copy has that map", false, "s4", copyIs(slots.Joining)},
	{"the copy is in sync", false, "s1", copyIs(slots.InSync)},
	{"the slots are to be handed over", true, masterAddr, message[*msg.HandOver]},
	{"the primary hears that", false, "s1", message[*msg.HandOver]},
	{"it gives them up", true, "s1", message[*msg.GaveUp]},
	{"the master hears that", false, masterAddr, message[*msg.GaveUp]},
	{"the map with the new primary is sent", true, masterAddr, moved},
	{"the new primary has that map", false, "s4", moved},
	{"the former primary has that map", false, "s1", moved},
}

// TestMoveInterrupted ends a process at each step of a move, and brings it back.
func TestMoveInterrupted(t *testing.T) {
	t.Parallel()
	for i, s := range steps {
		for _, victim := range []simnet.Addr{"s1", "s4", masterAddr} {
			t.Run(fmt.Sprintf("%d %s, %s dies", i+1, s.name, victim), func(t *testing.T) {
				t.Parallel()
				for _, n := range []int{1, 2, 5} {
					interrupted(t, s, victim, n)
				}
			})
		}
	}
}

func interrupted(t *testing.T, s step, victim simnet.Addr, nth int) {
	w := settled(t, config{seed: uint64(nth)})
	count := 0
	sees := func(at simnet.Addr, m msg.Message) {
		if at != s.at || !s.is(w, m) {
			return
		}
		if count++; count != nth {
			return
		}
		w.net.At(w.net.Now(), func() {
			start := w.net.Kill(victim)
			w.net.At(w.net.Now()+time.Duration(w.cfg.seed)*400*time.Millisecond, start)
		})
	}
	if s.sent {
		w.onSent = append(w.onSent, sees)
	} else {
		w.onReceived = append(w.onReceived, sees)
	}
	w.join()
	w.run(6 * time.Second)
	if nth == 1 && count == 0 {
		t.Errorf("it never came to this step")
	}
	w.end(t)
}
