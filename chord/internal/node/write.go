package node

import (
	"slices"
	"time"

	"github.com/torc-dht/torc/chord/internal/data"
	"github.com/torc-dht/torc/chord/internal/msg"
	"github.com/torc-dht/torc/chord/internal/place"
	"github.com/torc-dht/torc/store"
)

// write is a write that has no answer yet.
type write struct {
	at      place.Place
	key     string // "": it was refused
	op      msg.OpID
	waiting int     // holders that it waits for
	calls   []*Call // held back until it is answered
	done    bool    // answered, or lost with the span
}

func (w *write) knows(c *Call) bool { return slices.Contains(w.calls, c) }

// Now is the wall clock of the step under way, in Unix nanoseconds.
func (n *Node) Now() int64 { return n.now.Wall }

// Get returns what is at key. It is for an Executor, at the keys of its call.
func (n *Node) Get(key []byte) (store.Item, bool) {
	e := n.data.Get(key)
	if !n.there(e) {
		return store.Item{}, false
	}
	return item(e), true
}

// there tells whether e is an entry, and not the trace of one.
func (n *Node) there(e *msg.Entry) bool {
	return e != nil && !e.Removed && (e.Expires == 0 || e.Expires > n.micros())
}

func item(e *msg.Entry) store.Item {
	return store.Item{Key: e.Key, Value: e.Value, Flags: e.Flags, Marks: e.Marks, CAS: e.Stamp, Expires: int64(e.Expires) * 1000}
}

// Update calls f with the item at key and does what f returns, as store.Store.Update
// does, except that there is no order of use. It is for an Executor, at the keys of
// its call, which is answered when the holders have what Update did. It fails with
// store.ErrFull where this node, or one that holds a copy, has no room for more.
func (n *Node) Update(key []byte, f func(it *store.Item, found bool) store.Action) (stamp uint64, err error) {
	e := n.data.Get(key)
	found := n.there(e)
	var it store.Item
	if found {
		it = item(e)
	}
	act := f(&it, found)
	at := n.c.Circle.OfKey(string(key))
	switch {
	case act&store.Write != 0:
		next := msg.Entry{Key: string(key), Value: it.Value, Flags: it.Flags, Marks: it.Marks, Expires: micros(it.Expires), By: n.call.Op}
		var old uint64
		if e != nil {
			old = data.Size(e)
		}
		if now := data.Size(&next); now > old && !n.hasRoom(now-old) {
			return 0, store.ErrFull
		}
		next.Stamp = n.nextStamp()
		n.number(at, next, 0)
		return next.Stamp, nil
	case !found:
	case act&store.Remove != 0:
		n.number(at, msg.Entry{Key: e.Key, Removed: true, Stamp: n.nextStamp(), By: n.call.Op}, 0)
	case act&store.Amend != 0 && (it.Marks != e.Marks || micros(it.Expires) != e.Expires):
		next := *e
		next.Marks, next.Expires = it.Marks, micros(it.Expires)
		n.number(at, next, 0)
	}
	return 0, nil
}

// micros turns a time in nanoseconds into microseconds, no earlier.
func micros(ns int64) uint64 { return uint64(max(ns, 0)+999) / 1000 }

// hasRoom says whether this node and the holders take more bytes.
func (n *Node) hasRoom(more uint64) bool {
	if n.data.Bytes()+more > n.c.Limit {
		return false
	}
	return !slices.ContainsFunc(n.own.holders, func(h *holder) bool { return h.peer.full })
}

// full says that this node takes no copies of larger entries. What was on its way when
// that was said is taken all the same.
func (n *Node) full() bool { return n.data.Bytes() >= n.c.Limit }

// number carries a write out: e, unless it has no key, since the call was refused. It
// is sent to the holders, and returned unless there are none.
func (n *Node) number(at place.Place, e msg.Entry, refusal uint8) *write {
	op := e.By
	if n.call != nil {
		n.call.wrote = true
		op = n.call.Op
	}
	return n.carryOut(e, msg.Record{Op: op, Place: at, Stamp: e.Stamp, Refusal: refusal})
}

// carryOut makes e what is at its key, if it has one, and notes r.
func (n *Node) carryOut(e msg.Entry, r msg.Record) *write {
	n.own.seq++
	if e.Removed {
		e.Expires = max(n.own.claim.Graves, n.micros()+uint64(trace.Microseconds()))
	}
	it := msg.Item{Kind: msg.Write, Term: n.own.claim.Term, Seq: n.own.seq, Entry: e, Record: r}
	n.apply(&it)
	w := &write{at: r.Place, key: e.Key, op: r.Op}
	for _, h := range n.own.holders {
		if g := n.own.handing; n.c.Bugs.NoFreeze && g != nil && g.frozen && g.to == h.peer && covers(g.span, w.at) {
			continue
		}
		if covers(h.span, w.at) {
			w.waiting++
			h.peer.push(queued{item: it, w: w})
		}
	}
	if w.waiting == 0 || n.c.Bugs.AnswerEarly {
		w.done = true
		return nil
	}
	n.writes.push(w)
	if w.key != "" {
		n.pending[w.key] = w
	}
	return w
}

// apply does what a write says with what is stored.
func (n *Node) apply(it *msg.Item) {
	n.saw(it.Entry.Stamp)
	switch e := &it.Entry; {
	case e.Key == "":
	case e.Removed && e.Expires == 0:
		n.data.Remove(e.Key)
	default:
		n.data.Put(*e)
	}
	if it.Record.Op.Client != 0 {
		n.record(it.Record)
	}
}

// record notes what came of a write. When is a matter of this node's own running: clocks
// of the day differ, and jump.
func (n *Node) record(r msg.Record) {
	r.At = uint64(n.runs.Microseconds())
	n.data.Record(r)
}

// confirmed: one holder more has w.
func (n *Node) confirmed(w *write) {
	if w.done {
		return
	}
	if w.waiting--; w.waiting > 0 {
		return
	}
	if n.woken != nil && !n.c.Bugs.NoAsking {
		// The span may have been copied, for somebody else to own, before w went out.
		n.unsure = append(n.unsure, w)
		return
	}
	n.answer(w)
}

// answer lets the calls go that waited for w.
func (n *Node) answer(w *write) {
	n.end(w)
	for _, c := range w.calls {
		n.release(c)
	}
	w.calls = nil
}

// lose: nobody knows what comes of w.
func (n *Node) lose(w *write) {
	if w.done {
		return
	}
	n.end(w)
	for _, c := range w.calls {
		n.unknown(c)
	}
	w.calls = nil
}

func (n *Node) end(w *write) {
	w.done = true
	if n.pending[w.key] == w {
		delete(n.pending, w.key)
	}
	for n.writes.len() > 0 && (*n.writes.at(0)).done {
		n.writes.pop()
	}
	n.ended = true
}

// expire forgets what has expired, a little at a time.
func (n *Node) expire() {
	if n.runs < n.expireAt {
		return
	}
	n.expireAt = n.runs + n.c.PingEvery
	n.data.Expire(n.micros(), 128)
	if old := n.runs - n.c.Remember; old > 0 {
		n.data.ExpireRecords(uint64(old.Microseconds()), 128)
	}
	n.digGraves()
}

// digGraves has removed keys leave tombstones if a node is lost that may live: nobody
// refused a connection in its name.
func (n *Node) digGraves() {
	if n.own == nil {
		return
	}
	until := n.micros() + uint64(tombstone.Microseconds())
	if n.own.claim.Graves > until-uint64(time.Hour.Microseconds()) {
		return
	}
	for _, r := range n.ring.Remembered() {
		if p := n.peers[r]; p == nil || !p.dead {
			n.own.claim.Graves = until
			return
		}
	}
}
