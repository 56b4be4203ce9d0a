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

var errBehind = errors.New("it takes less than it is sent")

// outbox is what waits to go over one connection.
type outbox struct {
	limit int                     // of waiting
	fail  context.CancelCauseFunc // ends the connection
	wake  chan struct{}           // something was added to an empty queue

	mu struct {
		sync.Mutex
		queue   []queued
		waiting int // bytes that were added and not written, estimated
	}
}

type queued struct {
	m      *msg.Message
	weight int
}

func newOutbox(limit int, fail context.CancelCauseFunc) *outbox {
	return &outbox{limit: limit, fail: fail, wake: make(chan struct{}, 1)}
}

func (o *outbox) add(ms []*msg.Message) {
	if len(ms) == 0 {
		return
	}
	o.mu.Lock()
	idle := len(o.mu.queue) == 0
	for _, m := range ms {
		w := weight(m)
		o.mu.waiting += w
		o.mu.queue = append(o.mu.queue, queued{m, w})
	}
	over := o.mu.waiting > o.limit
	if over {
		o.mu.queue = nil
	}
	o.mu.Unlock()
	if over {
		o.fail(errBehind)
		return
	}
	if idle {
		select {
		case o.wake <- struct{}{}:
		default:
		}
	}
}

// take returns all that waits and leaves spare, emptied, for what comes.
func (o *outbox) take(spare []queued) []queued {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := o.mu.queue
	o.mu.queue = spare[:0]
	return all
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
			batch = o.take(batch)
			if len(batch) == 0 {
				break
			}
			var err error
			if buf, err = o.write(c, batch, buf, tooLarge); err != nil {
				return err
			}
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
