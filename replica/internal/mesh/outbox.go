package mesh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"

	"github.com/torc-dht/torc/replica/internal/msg"
)

// pieceSize is about how many bytes are encoded before they are written: large
// enough that a piece costs little beside its bytes, and small enough that those
// are still in the cache.
const pieceSize = 256 << 10

// directSize is up to how many bytes are written by who sends them, if nobody else
// is writing: it takes less than to wake another goroutine, which would only then
// begin. What doesn't fit into the socket's buffer is left to that goroutine.
const directSize = 64 << 10

var errBehind = errors.New("it takes less than it is sent")

// outbox is what waits to go over one connection.
type outbox struct {
	limit int                     // of waiting
	fail  context.CancelCauseFunc // ends the connection
	wake  chan struct{}           // there is something for run to do

	// direct writes without waiting, and says how much it has written; nil where
	// there is no such way. Whoever has set writing uses it, and buf.
	direct func([]byte) (int, error)
	buf    []byte

	mu struct {
		sync.Mutex
		queue   []queued
		rest    []byte // goes before queue: what a direct write has left over
		waiting int    // bytes that were added and not written, estimated
		writing bool   // somebody writes: run, or a sender
	}
}

type queued struct {
	m      *msg.Message
	weight int
}

func newOutbox(limit int, fail context.CancelCauseFunc, c net.Conn) *outbox {
	return &outbox{limit: limit, fail: fail, wake: make(chan struct{}, 1), direct: directWriter(c)}
}

func (o *outbox) add(ms []*msg.Message) {
	if len(ms) == 0 {
		return
	}
	o.mu.Lock()
	idle := len(o.mu.queue) == 0 && len(o.mu.rest) == 0 && !o.mu.writing
	for _, m := range ms {
		w := weight(m)
		o.mu.waiting += w
		o.mu.queue = append(o.mu.queue, queued{m, w})
	}
	over := o.mu.waiting > o.limit
	if over {
		o.mu.queue = nil
	}
	if !over && idle && o.direct != nil && o.mu.waiting <= directSize {
		o.writeDirect() // unlocks
		return
	}
	o.mu.Unlock()
	if over {
		o.fail(errBehind)
		return
	}
	if idle {
		o.rouse()
	}
}

func (o *outbox) rouse() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// writeDirect writes what waits, as far as that goes at once. It is called with the
// lock, and gives it back.
func (o *outbox) writeDirect() {
	o.mu.writing = true
	batch := o.mu.queue
	o.mu.queue = nil
	o.mu.Unlock()
	o.buf = o.buf[:0]
	bytes := 0
	for _, q := range batch {
		at := len(o.buf)
		o.buf = msg.Append(beginFrame(o.buf), q.m)
		endFrame(o.buf, at)
		bytes += q.weight
	}
	n, err := o.direct(o.buf)
	clear(batch)
	o.mu.Lock()
	o.mu.writing = false
	o.mu.waiting -= bytes
	if n < len(o.buf) {
		o.mu.rest = append(o.mu.rest, o.buf[n:]...)
	}
	more := len(o.mu.queue) > 0 || len(o.mu.rest) > 0
	if len(o.mu.queue) == 0 {
		o.mu.queue = batch[:0]
	}
	o.mu.Unlock()
	switch {
	case err != nil:
		o.fail(fmt.Errorf("sending: %w", err))
	case more:
		o.rouse()
	}
}

// take returns all that waits and leaves spare, emptied, for what comes. Nothing
// while a sender writes, who rouses run if there is more.
func (o *outbox) take(spare []queued) (rest []byte, all []queued, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.mu.queue) == 0 && len(o.mu.rest) == 0 || o.mu.writing {
		return nil, spare, false
	}
	o.mu.writing = true
	rest, all = o.mu.rest, o.mu.queue
	o.mu.rest, o.mu.queue = nil, spare[:0]
	return rest, all, true
}

// pause ends run's turn at writing.
func (o *outbox) pause() {
	o.mu.Lock()
	o.mu.writing = false
	o.mu.Unlock()
}

func (o *outbox) written(bytes int) {
	o.mu.Lock()
	o.mu.waiting -= bytes
	o.mu.Unlock()
}

// run writes what is added to c, all that waits in one go, until ctx is done or c
// breaks. tooLarge is told of messages that are left out.
func (o *outbox) run(ctx context.Context, c net.Conn, tooLarge func(size int)) error {
	var (
		batch []queued
		buf   []byte
	)
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-o.wake:
		}
		for {
			var rest []byte
			var ok bool
			if rest, batch, ok = o.take(batch); !ok {
				break
			}
			if len(rest) > 0 {
				if _, err := c.Write(rest); err != nil {
					return fmt.Errorf("sending: %w", err)
				}
			}
			var err error
			if buf, err = o.write(c, batch, buf, tooLarge); err != nil {
				return err
			}
			o.pause()
			clear(batch)
			if cap(batch) > 4096 {
				batch = nil
			}
			if cap(buf) > largeBuffer {
				buf = nil
			}
		}
	}
}

// write writes a batch by way of buf, and returns that for the next one.
func (o *outbox) write(c net.Conn, batch []queued, buf []byte, tooLarge func(size int)) ([]byte, error) {
	buf = buf[:0]
	bytes := 0
	for i, q := range batch {
		at := len(buf)
		buf = msg.Append(beginFrame(buf), q.m)
		if size := len(buf) - at - frameHead; size > msg.MaxMessage {
			buf = buf[:at]
			tooLarge(size)
		} else {
			endFrame(buf, at)
		}
		bytes += q.weight
		if len(buf) < pieceSize && i < len(batch)-1 {
			continue
		}
		if len(buf) > 0 {
			if _, err := c.Write(buf); err != nil {
				return nil, fmt.Errorf("sending: %w", err)
			}
		}
		o.written(bytes)
		buf, bytes = buf[:0], 0
	}
	return buf, nil
}

// weight is about how many bytes m is in memory and on the wire.
func weight(m *msg.Message) int {
	const each = 100 // beside keys and values
	n := each + len(m.Data)
	for _, r := range m.Raft {
		n += each
		for _, e := range r.GetEntries() {
			n += each + len(e.GetData())
		}
		if s := r.GetSnapshot(); s != nil {
			n += len(s.GetData())
		}
	}
	for i := range m.Ops {
		n += each + len(m.Ops[i].Op.Key) + len(m.Ops[i].Op.Value)
	}
	for i := range m.Replies {
		n += each + len(m.Replies[i].Result.Old)
	}
	return n
}
