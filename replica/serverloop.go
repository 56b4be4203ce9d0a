package replica

import (
	crand "crypto/rand"
	"encoding/binary"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/torc-dht/torc/replica/internal/mesh"
	"github.com/torc-dht/torc/replica/internal/msg"
	"github.com/torc-dht/torc/replica/internal/node"
	"github.com/torc-dht/torc/replica/internal/numbers"
	"github.com/torc-dht/torc/replica/internal/web"
)

// serverLoop is the goroutine that a server's node belongs to. What clients and
// other servers want comes by the inbox, and is taken in as it has gathered: under
// load one turn serves many.
type serverLoop struct {
	inbox  *inbox
	self   int
	addrs  []string // of all servers, by slot
	mesh   *mesh.Mesh
	log    *slog.Logger
	leader atomic.Int64 // the slot of who leads; -1: none is known

	// What follows is the loop's own.
	clock   clock
	core    *node.Node
	in      batch
	out     node.Output
	sends   [msg.MaxNodes][]*msg.Message // scratch, by slot
	waiting waiting
	client  uint64          // what this process is called as a client
	numbers numbers.Numbers // of the operations that are called by it
	counts  counts
	told    string // the last event that was logged
	toldAt  time.Duration
}

// newServerLoop makes the loop of the server at the slot of a table. The mesh is set
// before it runs.
func newServerLoop(s *Server, self int, addrs []string, logger *slog.Logger) *serverLoop {
	l := &serverLoop{inbox: newInbox(), self: self, addrs: addrs, log: logger, client: randomClient()}
	l.leader.Store(-1)
	l.clock.adjust()
	start, wall := l.clock.now(), time.Now().UnixMicro()
	l.core = node.New(node.Config{
		Slot: self, Slots: len(addrs), Name: func(slot int) string { return addrs[slot] },
		Rand: rand.New(rand.NewChaCha8(randomSeed())),
		// Clocks that somebody sets while a server runs move nothing.
		Wall:           func(now time.Duration) uint64 { return uint64(wall + (now - start).Microseconds()) },
		Tick:           s.Tick,
		Limits:         s.limits(),
		RefuseMinority: s.RefuseMinority,
	}, start)
	return l
}

func randomSeed() (seed [32]byte) {
	_, _ = crand.Read(seed[:]) // never fails
	return seed
}

// randomClient names a client: never 0, which is none.
func randomClient() uint64 {
	var b [8]byte
	_, _ = crand.Read(b[:])
	return max(binary.BigEndian.Uint64(b[:]), 1)
}

var calls = sync.Pool{New: func() any { return &call{done: make(chan struct{}, 1)} }}

// Do implements [web.Backend].
func (l *serverLoop) Do(op *msg.Op) (msg.Result, error) {
	c := calls.Get().(*call)
	c.op = op
	if l.inbox.addCall(c) {
		<-c.done
	} else {
		c.err = web.ErrUnavailable
	}
	result, err := c.result, c.err
	*c = call{done: c.done}
	calls.Put(c)
	return result, err
}

// on runs f on the loop, and says whether it did.
func (l *serverLoop) on(f func()) bool {
	done := make(chan struct{})
	if !l.inbox.addVisit(func() { defer close(done); f() }) {
		return false
	}
	<-done
	return true
}

// run serves until the inbox is closed and empty.
func (l *serverLoop) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	now := l.clock.now()
	for {
		open := l.inbox.take(&l.in)
		if l.in.empty() {
			if !open {
				l.abandon()
				return
			}
			timer.Reset(l.core.Next() - now)
			select {
			case <-l.inbox.wake:
				// Who else is about to leave something gets to do so: a turn for
				// many costs little more than a turn for one.
				runtime.Gosched()
				continue
			case <-timer.C:
				l.clock.adjust()
			}
		}
		now = l.clock.now()
		l.deliver(now)
		if l.core.Next() <= now {
			l.core.Tick(now)
		}
		l.carryOut()
	}
}

// deliver gives the core what has come in.
func (l *serverLoop) deliver(now time.Duration) {
	for _, e := range l.in.events {
		switch e := e.(type) {
		case mesh.Connected:
			l.core.Connected(now, e.Slot)
		case mesh.Disconnected:
			l.core.Disconnected(now, e.Slot, e.Refused)
		case mesh.Received:
			for _, m := range e.Messages {
				l.core.Receive(now, e.Slot, m)
			}
		}
	}
	for _, c := range l.in.calls {
		number := uint64(0)
		if op := c.op; op.Kind != msg.Get && op.ID.Client == 0 {
			// This server may have to send it twice, if its client doesn't.
			var acked uint64
			number, acked = l.numbers.Next()
			op.ID = msg.OpID{Client: l.client, Seq: number, Acked: acked}
		}
		l.core.Do(now, l.waiting.add(c, number), c.op)
	}
	for _, f := range l.in.visits {
		f()
	}
}

// carryOut does what the core wants done.
func (l *serverLoop) carryOut() {
	l.core.Drain(&l.out)
	l.leader.Store(int64(l.core.Leader()))
	for _, o := range l.out.Send {
		l.sends[o.Slot] = append(l.sends[o.Slot], o.M)
	}
	for slot, ms := range l.sends {
		if len(ms) > 0 {
			l.mesh.Send(slot, ms)
			clear(ms)
			l.sends[slot] = ms[:0]
		}
	}
	for i := range l.out.Replies {
		a := &l.out.Replies[i]
		if c, number := l.waiting.remove(a.Ref); c != nil {
			l.end(c, number, a.Result, webError(a.Err))
		}
	}
	for _, e := range l.out.Events {
		l.tell(e)
	}
	clear(l.out.Send)
	clear(l.out.Replies)
	clear(l.out.Events)
	l.out.Send, l.out.Replies, l.out.Events = l.out.Send[:0], l.out.Replies[:0], l.out.Events[:0]
}

// end lets who waits for a call go on.
func (l *serverLoop) end(c *call, number uint64, r msg.Result, err error) {
	if number != 0 {
		l.numbers.End(number)
	}
	l.counts.note(c.op.Kind, r.Status, err)
	c.result, c.err = r, err
	c.done <- struct{}{}
}

// abandon ends the calls that the core has not answered.
func (l *serverLoop) abandon() {
	for c, number := range l.waiting.all() {
		err := web.ErrUnavailable
		if c.op.Kind != msg.Get {
			err = web.ErrUnknown
		}
		l.end(c, number, msg.Result{}, err)
	}
}

// webError is the core's error as who speaks HTTP has it.
func webError(err error) error {
	switch err {
	case nil:
		return nil
	case node.ErrUnavailable:
		return web.ErrUnavailable
	case node.ErrBusy:
		return errBusy
	}
	return web.ErrUnknown
}

// errBusy is an ErrUnavailable of web's with a text of its own.
var errBusy error = busyError{node.ErrBusy}

type busyError struct{ error }

func (busyError) Is(target error) bool { return target == web.ErrUnavailable }

// toldApart is how long what was told last is not told again.
const toldApart = 10 * time.Second

// tell logs an event; one that follows itself again and again, as where a server can't
// join since it was given other limits, now and then.
func (l *serverLoop) tell(e node.Event) {
	now := l.clock.now()
	if e.Text == l.told && now-l.toldAt < toldApart {
		return
	}
	l.told, l.toldAt = e.Text, now
	if e.Warn {
		l.log.Warn(e.Text)
	} else {
		l.log.Info(e.Text)
	}
}
