package chord

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/memcache"
	"github.com/torc-dht/torc/store"
)

// forwards carries out requests of plain clients at the nodes that own their keys. It
// is a table's client to them: what fails is tried again where it may be, and a write
// is carried out once.
//
// A batch's requests go one after the other, since a client may write to a key and read
// it in one; batches go beside each other.
type forwards struct {
	table *Table

	mu struct {
		sync.Mutex
		closed bool
		// queues are what is left of batches; who empties one removes it.
		queues map[*memcache.Batch][]*memcache.Call
	}
	running sync.WaitGroup
}

func newForwards(s *Server, m membership) *forwards {
	f := &forwards{table: newUnconnected([]string{m.self.Addr}, TableOptions{TLS: s.TLS})}
	f.table.ring, f.table.circle, f.table.replicas = m.ring, m.circle, m.replicas
	f.mu.queues = make(map[*memcache.Batch][]*memcache.Call)
	return f
}

// add has the call carried out, which is of the batch.
func (f *forwards) add(b *memcache.Batch, c *memcache.Call) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.mu.closed {
		refuse(c)
		return
	}
	queue, running := f.mu.queues[b]
	f.mu.queues[b] = append(queue, c)
	if !running {
		f.running.Go(func() { f.run(b) })
	}
}

// run carries out what is in a batch's queue until nothing is.
func (f *forwards) run(b *memcache.Batch) {
	for c := f.next(b); c != nil; c = f.next(b) {
		c.Reset()
		if line := f.carryOut(c); line != "" {
			c.Reset()
			c.Answer.Error(line)
		}
		c.Done()
	}
}

func (f *forwards) next(b *memcache.Batch) *memcache.Call {
	f.mu.Lock()
	defer f.mu.Unlock()
	queue := f.mu.queues[b]
	if len(queue) == 0 {
		delete(f.mu.queues, b)
		return nil
	}
	f.mu.queues[b] = queue[1:]
	return queue[0]
}

// close has all that is under way fail, and returns when nothing is any more.
func (f *forwards) close() {
	f.mu.Lock()
	f.mu.closed = true
	f.mu.Unlock()
	_ = f.table.Close() // returns nil
	f.running.Wait()
}

// canForward says whether a request can be asked of another node in its client's stead.
// What only meta commands can ask for beside getting, setting and deleting can't: its
// client is told where the key is.
func canForward(r *memcache.Request) bool {
	if r.Vivify || r.Recache || r.Invalidate {
		return false
	}
	switch r.Op {
	case memcache.OpGet, memcache.OpTouch:
		return true
	case memcache.OpSet:
		return r.Mode == memcache.ModeCAS || !r.HasCAS
	case memcache.OpDelete:
		return !r.HasCAS || r.CAS != 0 // a client's 0 is none
	case memcache.OpIncr:
		return !r.Meta() && r.Delta <= math.MaxInt64
	}
	return false
}

// carryOut carries out a call and answers it, or returns the line that says why not.
func (f *forwards) carryOut(c *memcache.Call) (line string) {
	r, w := &c.Request, &c.Answer
	switch r.Op {
	case memcache.OpGet:
		for _, key := range r.Keys {
			if line := f.get(w, r, key); line != "" {
				return line
			}
		}
		return ""
	case memcache.OpIncr:
		return f.incr(w, r)
	}
	var cas uint64
	said, err := f.ask(opPut, r.Key, true, func(ctx context.Context, at *memcache.Client, key string, id memcache.OpID) (err error) {
		switch r.Op {
		case memcache.OpSet:
			item := memcache.Item{Key: key, Value: r.Value, Flags: r.Flags, CAS: r.CAS, TTL: ttlOf(r.Exptime)}
			cas, err = at.SetOp(ctx, item, r.Mode, id)
		case memcache.OpDelete:
			err = at.DeleteOp(ctx, key, r.CAS, id)
		default:
			err = at.Touch(ctx, key, ttlOf(r.Exptime))
		}
		return err
	})
	switch {
	case err == nil:
		w.Status(memcache.StatusDone, cas)
	case said == memcache.ErrNotFound:
		w.Status(memcache.StatusNotFound, 0)
	case said == memcache.ErrNotStored:
		w.Status(memcache.StatusNotStored, 0)
	case said == memcache.ErrExists:
		w.Status(memcache.StatusExists, 0)
	default:
		return forwardedLine(said, err)
	}
	return ""
}

// get shows what is at a key, if anything is.
func (f *forwards) get(w *memcache.ResponseWriter, r *memcache.Request, key []byte) (line string) {
	var item memcache.Item
	said, err := f.ask(opGet, key, false, func(ctx context.Context, at *memcache.Client, key string, _ memcache.OpID) (err error) {
		if r.Touch {
			item, err = at.GetAndTouch(ctx, key, ttlOf(r.Exptime))
		} else {
			item, err = at.Get(ctx, key)
		}
		return err
	})
	switch {
	case err != nil && said == memcache.ErrNotFound:
	case err != nil:
		return forwardedLine(said, err)
	default:
		ttl := int64(-1)
		if item.TTL > 0 {
			ttl = int64(item.TTL / time.Second)
		}
		w.Item(key, &memcache.Hit{
			Value: item.Value, Flags: item.Flags, CAS: item.CAS, TTL: ttl, OldTTL: ttl,
			BinaryKey: r.BinaryKey, Size: store.Size(len(key), item.Value),
		})
	}
	return ""
}

// incr carries out an incr or decr of text, which has no name to be known again by: if
// its answer is lost nobody knows what came of it.
func (f *forwards) incr(w *memcache.ResponseWriter, r *memcache.Request) (line string) {
	delta := int64(r.Delta)
	if r.Decr {
		delta = -delta
	}
	var sum uint64
	said, err := f.ask(opPut, r.Key, false, func(ctx context.Context, at *memcache.Client, key string, _ memcache.OpID) (err error) {
		sum, err = at.Incr(ctx, key, delta)
		if j := judgeTry(err); err != nil && j.verdict == unheard && j.sent {
			return torc.ErrUnknownOutcome
		}
		return err
	})
	switch {
	case err != nil && said == memcache.ErrNotFound:
		w.Status(memcache.StatusNotFound, 0)
	case err != nil:
		return forwardedLine(said, err)
	default:
		w.Number(sum, &memcache.Hit{})
	}
	return ""
}

// ask has do ask the owner of the key, once or until there is an answer. It returns
// what do said last, and what came of the whole. A write may be repeated: it gets a
// name.
func (f *forwards) ask(verb string, key []byte, write bool,
	do func(ctx context.Context, at *memcache.Client, key string, id memcache.OpID) error,
) (said, err error) {
	c := call{verb: verb, key: string(key), place: f.table.circle.OfKey(string(key))}
	if write {
		c.id = f.table.ops.begin(c.place)
		defer f.table.ops.end(c.id)
	}
	c.ask = func(ctx context.Context, at *memcache.Client) error {
		said = do(ctx, at, c.key, c.id)
		return said
	}
	_, err = f.table.carryOut(context.Background(), &c)
	return said, err
}

// forwardedLine says why a request was not carried out: in the owner's words if these
// are what came of it.
func forwardedLine(said, err error) string {
	var complaint *memcache.ServerError
	switch {
	case errors.Is(err, torc.ErrUnknownOutcome):
		return "SERVER_ERROR outcome unknown: the key's owner was asked and did not answer"
	case errors.Is(err, torc.ErrClosed):
		return goingLine
	case errors.As(said, &complaint) && judgeLine(complaint.Line).verdict == final:
		return complaint.Line
	}
	return "SERVER_ERROR unavailable: the key's owner could not be asked in time"
}

// ttlOf is the time to live that an exptime of the protocol means now.
func ttlOf(exptime int32) time.Duration {
	now := time.Now().UnixNano()
	switch at := memcache.ExpiresAt(exptime, now); {
	case at == 0:
		return 0
	case at <= now:
		return -1
	default:
		return time.Duration(at - now)
	}
}
