package replica

import (
	"sync"
	"testing"
	"testing/synctest"

	"github.com/torc-dht/torc/replica/internal/mesh"
)

// What is left while the loop works is taken at once, and wakes nobody.
func TestInboxWakesOnceForMany(t *testing.T) {
	t.Parallel()
	b := newInbox()
	var in batch
	if !b.take(&in) || !in.empty() {
		t.Fatal("a new inbox has something, or is closed")
	}
	for range 3 {
		b.addCall(new(call))
	}
	b.addEvent(nil)
	<-b.wake
	select {
	case <-b.wake:
		t.Error("it woke twice")
	default:
	}
	b.take(&in)
	if len(in.calls) != 3 || len(in.events) != 1 {
		t.Errorf("taken are %d calls and %d events, want 3 and 1", len(in.calls), len(in.events))
	}
	b.addVisit(func() {}) // the loop is at work
	select {
	case <-b.wake:
		t.Error("it woke a loop that is at work")
	default:
	}
	if b.take(&in); len(in.visits) != 1 || len(in.calls) != 0 {
		t.Errorf("taken are %d visits and %d calls, want 1 and 0", len(in.visits), len(in.calls))
	}
}

func TestClosedInboxTakesNothing(t *testing.T) {
	t.Parallel()
	b := newInbox()
	b.addCall(new(call))
	b.close()
	if b.addCall(new(call)) || b.addVisit(func() {}) {
		t.Error("a closed inbox took something")
	}
	b.addEvent(nil)
	var in batch
	if b.take(&in) || len(in.calls) != 1 || len(in.events) != 0 {
		t.Errorf("taken are %d calls and %d events, want the one from before", len(in.calls), len(in.events))
	}
}

// Nothing that is left lies there while the loop sleeps.
func TestInboxLosesNoWakeUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newInbox()
		const callers, each = 8, 200
		var left sync.WaitGroup
		for range callers {
			left.Go(func() {
				for range each {
					c := &call{done: make(chan struct{}, 1)}
					b.addCall(c)
					<-c.done // which deadlocks, and synctest tells, if nobody wakes
				}
			})
		}
		go func() { left.Wait(); b.close() }()
		taken := 0
		var in batch
		for open := true; open || !in.empty(); {
			open = b.take(&in)
			taken += len(in.calls)
			for _, c := range in.calls {
				c.done <- struct{}{}
			}
			if in.empty() && open {
				<-b.wake
			}
		}
		if taken != callers*each {
			t.Errorf("%d calls were taken, want %d", taken, callers*each)
		}
	})
}

// A server that sends faster than the loop works waits, and the others don't. That
// the inbox is closed lets it go.
func TestInboxHoldsSoMuchOfEachServer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newInbox()
		var in batch
		var sending sync.WaitGroup
		sending.Go(func() {
			for range 5 {
				b.addEvent(mesh.Received{Slot: 1, Size: maxHeld})
			}
		})
		synctest.Wait()
		b.addEvent(mesh.Received{Slot: 2, Size: 1})
		b.addEvent(mesh.Connected{Slot: 1})
		for _, want := range []int{3, 1, 1} {
			b.take(&in)
			if len(in.events) != want {
				t.Errorf("taken are %d events, want %d", len(in.events), want)
			}
			synctest.Wait()
		}
		b.close() // with one in it, and one that waits
		sending.Wait()
		if b.take(&in); len(in.events) != 1 {
			t.Errorf("a closed inbox has %d events, want the one from before", len(in.events))
		}
	})
}
