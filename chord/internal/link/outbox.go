package link

import (
	"sync"

	"github.com/torc-dht/torc/chord/internal/msg"
)

const (
	// frameBytes is how much is put in one frame, if there is that much: enough to
	// make the cost of a frame, some microseconds, small, and no more than gRPC takes
	// before a write blocks, so that the next is encoded meanwhile.
	frameBytes = 64 << 10
	// batchBytes is above which a batch goes in parts.
	batchBytes = 1 << 20
)

// outbox has the messages that wait for one peer.
type outbox struct {
	limit int           // bytes
	wake  chan struct{} // of one: there is something to take

	mu struct {
		sync.Mutex
		queue []waiting
		bytes int // of queue, and of what is being written
	}
}

type waiting struct {
	m     msg.Message
	bytes int
}

func newOutbox(limit int) *outbox {
	return &outbox{limit: limit, wake: make(chan struct{}, 1)}
}

// put takes messages and says whether they fit: if not, all that waits is thrown away,
// since what follows a lost message would be of no use.
func (o *outbox) put(ms []msg.Message) (fits bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, m := range ms {
		n := weight(m)
		if o.mu.bytes > 0 && o.mu.bytes+n > o.limit {
			o.dropLocked()
			return false
		}
		o.mu.bytes += n
		if batch, ok := m.(*msg.Batch); ok && n > batchBytes {
			o.mu.queue = appendParts(o.mu.queue, batch)
		} else {
			o.mu.queue = append(o.mu.queue, waiting{m, n})
		}
	}
	o.signal()
	return true
}

// appendParts appends a long batch as several: a receiver takes frames up to a length.
func appendParts(queue []waiting, m *msg.Batch) []waiting {
	for first := 0; first < len(m.Items); {
		last, bytes := first, 0
		for last < len(m.Items) && (last == first || bytes < batchBytes/2) {
			bytes += weightOfItem(&m.Items[last])
			last++
		}
		part := *m
		part.First, part.Items = m.First+uint64(first), m.Items[first:last:last]
		queue = append(queue, waiting{&part, bytes})
		first = last
	}
	return queue
}

func (o *outbox) signal() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// take removes as many messages as make a frame. Their bytes count until they are
// done.
func (o *outbox) take() (msgs []msg.Message, bytes int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := 0
	for ; n < len(o.mu.queue) && (n == 0 || bytes+o.mu.queue[n].bytes <= frameBytes); n++ {
		bytes += o.mu.queue[n].bytes
	}
	if n == 0 {
		return nil, 0
	}
	msgs = make([]msg.Message, n)
	for i := range msgs {
		msgs[i] = o.mu.queue[i].m
	}
	clear(o.mu.queue[:n])
	if n == len(o.mu.queue) {
		o.mu.queue = o.mu.queue[:0]
	} else {
		o.mu.queue = o.mu.queue[n:]
	}
	return msgs, bytes
}

// done says that what was taken is written.
func (o *outbox) done(bytes int) {
	o.mu.Lock()
	o.mu.bytes = max(o.mu.bytes-bytes, 0)
	o.mu.Unlock()
}

// drop throws away what waits.
func (o *outbox) drop() {
	o.mu.Lock()
	o.dropLocked()
	o.mu.Unlock()
}

func (o *outbox) dropLocked() { o.mu.queue, o.mu.bytes = nil, 0 }

func (o *outbox) isEmpty() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.mu.queue) == 0
}
