package memcache

import (
	"strconv"
	"time"

	"github.com/torc-dht/torc/store"
)

// change is one Update of an item: what its step has to know, and what the step
// found. It belongs to a ResponseWriter because a closure that is given to an
// interface's method, and all that it captures, would be allocated each time.
type change struct {
	r       *Request
	step    func(c *change, it *store.Item, found bool) store.Action
	now     int64
	expires int64

	ok     bool // there is something to show
	bad    bool // what is there is no number
	status Status
	number uint64
	cas    uint64
	hit    Hit

	run func(it *store.Item, found bool) store.Action // calls step
}

// begin prepares c for an Update by step.
func (c *change) begin(r *Request, step func(*change, *store.Item, bool) store.Action) {
	if c.run == nil {
		c.run = func(it *store.Item, found bool) store.Action { return c.step(c, it, found) }
	}
	*c = change{r: r, step: step, run: c.run}
}

// forget keeps no value alive.
func (c *change) forget() { c.hit.Value = nil }

// delete removes an item, or marks it as stale if r.Invalidate.
func (h *itemsHandler) delete(w *ResponseWriter, r *Request) {
	c := &w.change
	c.begin(r, (*change).delete)
	c.now = h.items.Now()
	c.status = StatusNotFound
	_, err := h.items.Update(r.Key, c.run)
	h.stats.count(c.status == StatusDone, &h.stats.deleteHits, &h.stats.deleteMisses)
	if err != nil {
		w.Error(updateError(err))
		return
	}
	w.Status(c.status, 0)
}

func (c *change) delete(it *store.Item, found bool) store.Action {
	r := c.r
	switch {
	case !found:
		return store.Keep
	case r.HasCAS && r.CAS != it.CAS:
		c.status = StatusExists
		return store.Keep
	}
	c.status = StatusDone
	if !r.Invalidate {
		return store.Remove
	}
	if r.Touch {
		it.Expires = ExpiresAt(r.Exptime, c.now)
	}
	it.Marks = it.Marks&^markSent | markStale
	return store.Write
}

func (h *itemsHandler) touch(w *ResponseWriter, r *Request) {
	c := &w.change
	c.begin(r, (*change).touch)
	c.expires = h.expiresAt(r.Exptime)
	c.status = StatusNotFound
	_, err := h.items.Update(r.Key, c.run)
	h.stats.countGet(c.status == StatusDone, true)
	if err != nil {
		w.Error(updateError(err))
		return
	}
	w.Status(c.status, 0)
}

func (c *change) touch(it *store.Item, found bool) store.Action {
	if !found {
		return store.Keep
	}
	c.status = StatusDone
	it.Expires = c.expires
	return store.Amend | store.Bump
}

const notANumber = "CLIENT_ERROR cannot increment or decrement non-numeric value"

// incr adds or subtracts.
func (h *itemsHandler) incr(w *ResponseWriter, r *Request) {
	c := &w.change
	c.begin(r, (*change).incr)
	c.now = h.items.Now()
	c.status = StatusNotFound
	cas, err := h.items.Update(r.Key, c.run)
	h.stats.countIncr(r.Decr, c.status)
	c.hit.CAS = cas
	switch {
	case c.bad:
		w.Error(notANumber)
	case err != nil:
		w.Error(updateError(err))
	case c.status == StatusDone:
		w.Number(c.number, &c.hit)
	default:
		w.Status(c.status, 0)
	}
	c.forget()
}

// incr is as in memcached: a sum wraps at 64 bits, a difference ends at 0, and a
// number that gets shorter is followed by spaces up to the length that it had.
func (c *change) incr(it *store.Item, found bool) store.Action {
	r := c.r
	if !found {
		if !r.Vivify {
			return store.Keep
		}
		c.number, c.status = r.Initial, StatusDone
		c.hit = Hit{Created: true, OldTTL: -1, BinaryKey: r.BinaryKey}
		c.vivify(it)
		it.Value = strconv.AppendUint(nil, c.number, 10)
		it.Marks = mark(r.BinaryKey, markBinaryKey)
		return store.Write
	}
	n, ok := cUint64(it.Value)
	if len(it.Value) == 0 {
		c.bad = true
		return store.Keep
	} else if r.HasCAS && r.CAS != 0 && r.CAS != it.CAS {
		c.status = StatusExists
		return store.Keep
	} else if !ok {
		c.bad = true
		return store.Keep
	}
	switch {
	case !r.Decr:
		n += r.Delta
	case r.Delta > n:
		n = 0
	default:
		n -= r.Delta
	}
	c.hit.fill(it, c.now)
	c.number, c.status = n, StatusDone
	length := len(it.Value)
	it.Value = strconv.AppendUint(make([]byte, 0, max(length, 20)), n, 10)
	it.Fetched = it.Fetched && len(it.Value) <= length
	for len(it.Value) < length {
		it.Value = append(it.Value, ' ')
	}
	if r.Touch && r.form.meta() {
		it.Expires = ExpiresAt(r.Exptime, c.now)
		c.hit.TTL = secondsLeft(it.Expires, c.now)
	}
	return store.Write
}

func (h *itemsHandler) inspect(w *ResponseWriter, r *Request) {
	c := &w.change
	c.begin(r, (*change).inspect)
	c.now = h.items.Now()
	switch _, err := h.items.Update(r.Key, c.run); {
	case err != nil:
		w.Error(updateError(err))
	case c.ok:
		w.Inspect(&c.hit)
	}
	c.forget()
}

func (c *change) inspect(it *store.Item, found bool) store.Action {
	if c.ok = found; found {
		c.hit.fill(it, c.now)
	}
	return store.Keep
}

func (h *itemsHandler) flush(w *ResponseWriter, r *Request) {
	if h.flusher == nil {
		w.Error("SERVER_ERROR flush_all is not done here")
		return
	}
	h.stats.flushes.Add(1)
	at := h.items.Now()
	if r.Exptime > 0 {
		at = ExpiresAt(r.Exptime, at)
	}
	h.flusher.Flush(time.Unix(0, at))
	w.Status(StatusDone, 0)
}

func (h *itemsHandler) dump(w *ResponseWriter) {
	if h.walker == nil {
		w.Error("SERVER_ERROR items are not listed here")
		return
	}
	for it := range h.walker.All() {
		if w.Dump(&it) != nil {
			return
		}
	}
}
