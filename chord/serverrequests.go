package chord

import (
	"errors"
	"iter"
	"time"

	"github.com/torc-dht/torc/chord/internal/data"
	"github.com/torc-dht/torc/chord/internal/msg"
	"github.com/torc-dht/torc/chord/internal/node"
	"github.com/torc-dht/torc/chord/internal/ring"
	"github.com/torc-dht/torc/memcache"
	"github.com/torc-dht/torc/store"
)

// outcome is what came of a request.
type outcome int

const (
	outcomeDone outcome = iota
	outcomeMoved
	outcomeForwarded
	outcomeUnavailable
	outcomeUnknown
	outcomes
)

var outcomeNames = [outcomes]string{"done", "moved", "forwarded", "unavailable", "unknown"}

var outcomeOf = map[node.Kind]outcome{
	node.Moved: outcomeMoved, node.Unavailable: outcomeUnavailable, node.Unknown: outcomeUnknown, node.Answered: outcomeUnknown,
}

// request is one of memcached's, as the state machine has it.
type request struct {
	call    node.Call
	mc      *memcache.Call
	batch   *memcache.Batch // that it is of
	loop    *serverLoop
	key     [1][]byte
	failed  bool
	failure node.Failure // if it did
	next    *request
}

// ServeBatch hands requests to the loop.
func (l *serverLoop) ServeBatch(b *memcache.Batch) { l.batches <- b }

// ServeMemcache answers what is not for a batch: figures, and lists of keys.
func (l *serverLoop) ServeMemcache(w *memcache.ResponseWriter, r *memcache.Request) {
	memcache.NewHandler(nodeItems{l}).ServeMemcache(w, r)
}

// take takes in a batch. Its requests were all decoded before the clock is read.
func (l *serverLoop) take(b *memcache.Batch) {
	now := clock()
	for _, c := range b.Calls() {
		r := &c.Request
		if len(r.Keys) == 0 && len(r.Key) == 0 {
			l.handler.ServeMemcache(&c.Answer, r)
			c.Done()
			continue
		}
		q := l.free
		if q == nil {
			q = new(request)
		} else {
			l.free = q.next
		}
		q.mc, q.batch, q.loop = c, b, l
		if q.call = (node.Call{Keys: r.Keys, Exec: q}); len(r.Keys) == 0 {
			q.key[0] = r.Key
			q.call.Keys = q.key[:]
		}
		if id, ok := r.OpID(); ok && (r.Op == memcache.OpSet || r.Op == memcache.OpDelete) {
			q.call.Op = msg.OpID{Client: id.Client, Number: id.Number, Oldest: id.Oldest}
		}
		l.core.Do(now, &q.call)
	}
	l.answer()
}

// answer ends the calls that are done, those aside that are to be asked elsewhere, or
// whose key's owner has to be found first.
func (l *serverLoop) answer() {
	for _, c := range l.core.Done() {
		q := c.Exec.(*request)
		switch {
		case !q.failed:
			l.end(q, outcomeDone)
		case !l.ending && l.forwardable(q):
			l.counts[outcomeForwarded]++
			l.forwards.add(q.batch, q.mc)
			l.release(q)
		case !l.ending && q.failure.Kind == node.Moved && q.failure.Owner.Node.None():
			l.find(q)
		default:
			l.refuse(q)
		}
	}
}

func (l *serverLoop) end(q *request, o outcome) {
	l.counts[o]++
	mc := q.mc
	l.release(q)
	mc.Done()
}

func (l *serverLoop) release(q *request) {
	*q = request{next: l.free}
	l.free = q
}

// refuse answers why a call was not carried out.
func (l *serverLoop) refuse(q *request) {
	q.mc.Reset()
	q.mc.Answer.Error(failureLine(q.failure))
	l.end(q, outcomeOf[q.failure.Kind])
}

// forwardable says whether the owner of the key is asked in the client's stead.
func (l *serverLoop) forwardable(q *request) bool {
	r := &q.mc.Request
	return (q.failure.Kind == node.Moved || q.failure.Kind == node.Unavailable) && !r.Redirect && canForward(r)
}

// find looks for the owner of a call's key, which this node doesn't know, and answers
// who that is.
func (l *serverLoop) find(q *request) {
	key := q.call.Keys[0]
	l.lookup(l.circle.OfKey(string(key)), func(f *ring.Found) {
		q.failure = node.Failure{Kind: node.Unavailable}
		if f.Err == nil && f.Owner != l.self {
			q.failure = node.Failure{Kind: node.Moved, Owner: node.Owned{
				Span: msg.Span{From: f.Before.Place, To: f.Owner.Place}, Node: f.Owner,
			}}
		}
		l.refuse(q)
	})
}

// Execute carries the request out on the state machine.
func (q *request) Execute(*node.Node) (refusal uint8) {
	q.loop.handler.ServeMemcache(&q.mc.Answer, &q.mc.Request)
	if status, ok := q.mc.Answer.Outcome(); ok {
		return uint8(status)
	}
	return noRoom
}

// noRoom is the refusal of a write that has no status: there was no memory for it.
// memcache's Statuses are below it.
const noRoom = 255

// Repeat answers a write as it was answered before.
func (q *request) Repeat(version uint64, refusal uint8) {
	switch refusal {
	case 0:
		q.mc.Answer.Status(memcache.StatusDone, version)
	case noRoom:
		q.mc.Answer.Error("SERVER_ERROR out of memory storing object")
	default:
		q.mc.Answer.Status(memcache.Status(refusal), 0)
	}
}

// Fail notes why the request was not carried out.
func (q *request) Fail(f node.Failure) { q.failed, q.failure = true, f }

// nodeItems are the items of the state machine. Get and Update are for the loop, the
// others for other goroutines.
type nodeItems struct{ l *serverLoop }

func (i nodeItems) Get(key []byte) (store.Item, bool) { return i.l.core.Get(key) }

func (i nodeItems) Update(key []byte, f func(*store.Item, bool) store.Action) (uint64, error) {
	return i.l.core.Update(key, f)
}

func (i nodeItems) Now() int64 { return time.Now().UnixNano() }

// All yields what this node owns, some at a time.
func (i nodeItems) All() iter.Seq[store.Item] {
	return func(yield func(store.Item) bool) {
		var after data.Cursor
		for done := false; !done; {
			var items []store.Item
			if !i.l.on(func() { items, after, done = i.l.core.Items(nil, after) }) {
				return
			}
			for _, it := range items {
				if !yield(it) {
					return
				}
			}
		}
	}
}

// Stats are what the node holds, copies and all.
func (i nodeItems) Stats() (st store.Stats) {
	i.l.on(func() {
		st.Items, st.Bytes = i.l.core.Usage()
		st.MaxBytes = i.l.limit
	})
	return st
}

// ResetStats does nothing: what there is are no counts.
func (i nodeItems) ResetStats() {}

// Evicts says that the node never does.
func (i nodeItems) Evicts() bool { return false }

var errGoing = errors.New("this node is going")
