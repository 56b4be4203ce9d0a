package memcache

import (
	"sync"
	"sync/atomic"
)

// BatchHandler is a Handler that takes requests many at a time, and may answer
// them later: one whose state belongs to another goroutine, say, to which it
// then hands a batch and not each request.
//
// A Server whose Handler is a BatchHandler calls ServeMemcache for OpStats and
// OpDump alone, whose answers are too long to wait in memory, and ServeBatch for
// every other request.
type BatchHandler interface {
	Handler
	// ServeBatch carries out the calls of b, in their order as far as the
	// outside can tell, or sees to it that somebody does. Each call is answered
	// as [Handler] says and then ended by its Done, in any order and from any
	// goroutine. ServeBatch may return before: the connection goes on when it
	// has returned and all calls are done, and until then takes no further
	// request. A panic of ServeBatch ends the connection.
	//
	// It is called from many goroutines at once, but never for two batches of
	// one connection.
	ServeBatch(b *Batch)
}

// Batch is requests that had all arrived from one client before the first of
// them is carried out, at least one and at most MaxBatch. It is the connection's
// again when ServeBatch has returned and the last call is done.
type Batch struct {
	// Of calls the first n are the batch, and the next is where the connection
	// parses what may become part of it. The others are room.
	calls []*Call
	n     int
	keys  int           // what the n count for MaxBatch
	left  atomic.Int32  // calls to be done, and ServeBatch to return
	done  chan struct{} // has room for one token, which comes when none are left
}

// MaxBatch is the most calls of a Batch. A get counts as many as it has keys, and
// one with more than MaxBatch comes as several calls, one to a batch: so what an
// answer takes of memory is bounded.
const MaxBatch = 128

// Call is one request of a [Batch] and the writer of its answer, which waits
// apart from those of others. It is for one goroutine at a time.
type Call struct {
	// Request is good until Done; its Value is the handler's to keep.
	Request Request
	// Answer never blocks. It refers to the larger values that are written to
	// it, which therefore must not change any more: those of a store never do.
	Answer ResponseWriter

	batch *Batch
}

// Reset takes back what was answered so far, so that something else can be.
func (c *Call) Reset() { c.Answer.begin(&c.Request) }

// Done says that the request is answered. The call, and after the last one's Done
// the batch, are no longer the handler's. A second Done of a call is a mistake
// that ends in a panic here or in a wrong answer.
func (c *Call) Done() {
	b := c.batch
	switch left := b.left.Add(-1); {
	case left == 0:
		b.done <- struct{}{}
	case left < 0:
		panic("memcache: Done of a call that is done")
	}
}

// Calls are the calls of the batch, in the order in which they came.
func (b *Batch) Calls() []*Call { return b.calls[:b.n] }

// batchPool keeps batches for connections that have requests.
var batchPool = sync.Pool{New: func() any { return newBatch() }}

func newBatch() *Batch { return &Batch{done: make(chan struct{}, 1)} }

// next is a call that is not part of b yet.
func (b *Batch) next() *Call {
	if b.n == len(b.calls) {
		c := &Call{batch: b}
		c.Answer.apart = true
		b.calls = append(b.calls, c)
	}
	return b.calls[b.n]
}

// add makes the next call part of b.
func (b *Batch) add() {
	c := b.next()
	c.Answer.begin(&c.Request)
	b.keys += max(1, len(c.Request.Keys))
	b.n++
}

func (b *Batch) full() bool { return b.keys >= MaxBatch }

// serve has h serve b, and returns when all is done.
func (b *Batch) serve(h BatchHandler) {
	b.left.Store(int32(b.n + 1))
	h.ServeBatch(b)
	if b.left.Add(-1) > 0 {
		<-b.done
	}
}

// empty takes the calls out of b and forgets their values.
func (b *Batch) empty() {
	for _, c := range b.Calls() {
		c.Request.Value = nil
		c.Answer.empty()
	}
	b.n, b.keys = 0, 0
}
