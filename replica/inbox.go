package replica

import (
	"sync"

	"github.com/torc-dht/torc/replica/internal/mesh"
	"github.com/torc-dht/torc/replica/internal/msg"
)

// maxHeld is how many bytes of one server's messages may be in the inbox before it
// takes more: some milliseconds' work for the loop, and little beside the table. What
// comes above that waits in the connection and at its other end, which bounds it.
const maxHeld = 8 << 20

// inbox is where other goroutines leave what is for the loop. The loop takes all
// that is there at once, and is woken once for however much that is. What can be
// there is bounded: by how many clients there may be, and by maxHeld.
type inbox struct {
	wake  chan struct{} // has room for one
	taken sync.Cond     // on mu: what was there is taken, or closed is set

	mu struct {
		sync.Mutex
		batch  batch
		held   [msg.MaxNodes]int // bytes in batch.events, by the slot they are from
		asleep bool              // the loop waits for wake
		closed bool
	}
}

// batch is what came in since the last one.
type batch struct {
	calls  []*call
	events []mesh.Event
	visits []func() // to be run on the loop
}

// call is a client's operation, whose goroutine waits for done.
type call struct {
	op     *msg.Op
	result msg.Result
	err    error
	done   chan struct{} // has room for one
}

func newInbox() *inbox {
	b := &inbox{wake: make(chan struct{}, 1)}
	b.taken.L = &b.mu
	return b
}

// addCall leaves a client's operation for the loop, and says whether the loop will
// see it.
func (b *inbox) addCall(c *call) bool {
	if !b.lockOpen() {
		return false
	}
	b.mu.batch.calls = append(b.mu.batch.calls, c)
	b.unlockAndWake()
	return true
}

// addEvent leaves what other servers sent, or what became of connections to them. It
// waits while too much of what the same server sent is there.
func (b *inbox) addEvent(e mesh.Event) {
	b.mu.Lock()
	if r, ok := e.(mesh.Received); ok {
		for b.mu.held[r.Slot] >= maxHeld && !b.mu.closed {
			b.taken.Wait()
		}
		b.mu.held[r.Slot] += r.Size
	}
	if b.mu.closed {
		b.mu.Unlock()
		return
	}
	b.mu.batch.events = append(b.mu.batch.events, e)
	b.unlockAndWake()
}

// addVisit leaves what shall be run on the loop, and says whether it will be.
func (b *inbox) addVisit(f func()) bool {
	if !b.lockOpen() {
		return false
	}
	b.mu.batch.visits = append(b.mu.batch.visits, f)
	b.unlockAndWake()
	return true
}

// lockOpen locks, unless the inbox is closed.
func (b *inbox) lockOpen() bool {
	b.mu.Lock()
	if b.mu.closed {
		b.mu.Unlock()
		return false
	}
	return true
}

func (b *inbox) unlockAndWake() {
	wake := b.mu.asleep
	b.mu.asleep = false
	b.mu.Unlock()
	if wake {
		b.signal()
	}
}

func (b *inbox) signal() {
	select {
	case b.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// take puts all that has come in the place of what was in into, whose memory is
// used again. When nothing has, the next that comes makes wake ready. It says
// whether more may come.
func (b *inbox) take(into *batch) (open bool) {
	into.reset()
	b.mu.Lock()
	defer b.mu.Unlock()
	*into, b.mu.batch = b.mu.batch, *into
	b.mu.held = [msg.MaxNodes]int{}
	b.taken.Broadcast()
	b.mu.asleep = into.empty()
	return !b.mu.closed
}

// close lets nothing in any more. What is there can still be taken.
func (b *inbox) close() {
	b.mu.Lock()
	b.mu.closed = true
	b.taken.Broadcast()
	b.mu.Unlock()
	b.signal()
}

func (b *batch) empty() bool { return len(b.calls)+len(b.events)+len(b.visits) == 0 }

// reset empties b, and holds on to nothing that was in it.
func (b *batch) reset() {
	clear(b.calls)
	clear(b.events)
	clear(b.visits)
	b.calls, b.events, b.visits = b.calls[:0], b.events[:0], b.visits[:0]
}
