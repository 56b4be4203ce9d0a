package link

import (
	"context"
	"sync"
	"time"

	"github.com/torc-dht/torc/shard/internal/msg"
)

// outbox has the messages that wait for one stream.
type outbox struct {
	limit int           // bytes
	wake  chan struct{} // has room for one

	mu struct {
		sync.Mutex
		queue []waiting
		bytes int    // of queue, and of what is being written
		end   error  // why it takes nothing more
		last  func() // called when the queue is empty
	}
}

type waiting struct {
	m     msg.Message
	bytes int
}

func newOutbox(limit int) *outbox {
	return &outbox{limit: limit, wake: make(chan struct{}, 1)}
}

// put takes a message, or fails with ErrQueueFull: from then on for good, since
// what follows a lost message mustn't arrive. After close and finish it fails, too.
func (o *outbox) put(m msg.Message) error {
	n := weight(m)
	o.mu.Lock()
	if o.mu.end == nil && o.mu.bytes > 0 && o.mu.bytes+n > o.limit {
		o.mu.end = ErrQueueFull
		o.mu.queue = nil
	}
	if err := o.mu.end; err != nil {
		o.mu.Unlock()
		return err
	}
	o.mu.bytes += n
	if batch, ok := m.(*msg.Batch); ok && n > batchBytes {
		o.mu.queue = appendParts(o.mu.queue, batch)
	} else {
		o.mu.queue = append(o.mu.queue, waiting{m, n})
	}
	o.mu.Unlock()
	o.signal()
	return nil
}

// appendParts appends a long batch as several: a receiver takes frames up to a
// length that has room for one value.
func appendParts(queue []waiting, m *msg.Batch) []waiting {
	for first := 0; first < len(m.Items); {
		last, bytes := first, 0
		for last < len(m.Items) && (last == first || bytes < batchBytes/2) {
			bytes += boundItem(&m.Items[last])
			last++
		}
		part := *m
		part.First, part.Items = m.First+uint64(first), m.Items[first:last:last]
		queue = append(queue, waiting{&part, weight(&part)})
		first = last
	}
	return queue
}

// close takes nothing any more and throws away what waits.
func (o *outbox) close(why error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mu.end = why
	o.mu.queue = nil
}

// finish takes nothing any more and calls last when the rest is written. A stream
// that takes nothing either has until openTimeout.
func (o *outbox) finish(last func()) {
	o.mu.Lock()
	if o.mu.end == nil {
		o.mu.end = ErrClosed
	}
	o.mu.last = last
	o.mu.Unlock()
	o.signal()
	time.AfterFunc(openTimeout, last)
}

func (o *outbox) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// queued is how many bytes wait.
func (o *outbox) queued() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.mu.bytes
}

// take waits for messages and removes as many as make a frame. The bytes count
// until they are done.
func (o *outbox) take(ctx context.Context) (msgs []msg.Message, bytes int) {
	for {
		if msgs, bytes = o.takeNow(); len(msgs) > 0 {
			return msgs, bytes
		}
		select {
		case <-o.wake:
		case <-ctx.Done():
			return nil, 0
		}
	}
}

func (o *outbox) takeNow() (msgs []msg.Message, bytes int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := 0
	for ; n < len(o.mu.queue) && (n == 0 || bytes+o.mu.queue[n].bytes <= frameBytes); n++ {
		bytes += o.mu.queue[n].bytes
	}
	if n == 0 {
		if o.mu.last != nil {
			o.mu.last()
			o.mu.last = nil
		}
		return nil, 0
	}
	msgs = make([]msg.Message, n)
	for i := range msgs {
		msgs[i] = o.mu.queue[i].m
		o.mu.queue[i] = waiting{}
	}
	if n == len(o.mu.queue) {
		o.mu.queue = o.mu.queue[:0]
	} else {
		o.mu.queue = o.mu.queue[n:]
	}
	return msgs, bytes
}

func (o *outbox) done(bytes int) {
	o.mu.Lock()
	o.mu.bytes -= bytes
	o.mu.Unlock()
}

// write sends what comes into the box until the stream or ctx ends.
func (o *outbox) write(ctx context.Context, stream interface{ SendMsg(any) error }) error {
	for {
		msgs, n := o.take(ctx)
		if msgs == nil {
			return context.Cause(ctx)
		}
		if err := stream.SendMsg(&frame{msgs: msgs}); err != nil {
			return err
		}
		o.done(n)
	}
}
