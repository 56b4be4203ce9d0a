package memcache

import (
	"errors"
	"slices"
	"time"

	"github.com/torc-dht/torc/store"
)

// The marks that this package keeps with an item.
const (
	markBinaryKey uint8 = 1 << iota // its key came base64-encoded
	markStale                       // its value is out of date
	markSent                        // a client was told to recache it
)

// serverVersion is what a server says to version: the memcached whose commands
// and answers it has, first, since clients parse that as three numbers.
const serverVersion = "1.6.18-torc"

// itemsHandler serves items.
type itemsHandler struct {
	items Items
	// The same, or nil.
	walker  ItemWalker
	flusher ItemFlusher
	counter ItemCounter

	began time.Time
	stats handlerStats
}

// NewHandler makes a Handler that serves items as memcached serves its memory.
// They may be shared with other handlers and with the program.
//
// It answers as memcached 1.6.18 does, byte for byte, but has neither slabs, nor
// a crawler, nor watchers: commands that tune those do nothing, or are refused as
// a memcached refuses them that was told to. On purpose it differs in this:
//   - Times to live are exact, not counted in ticks of a second.
//   - A dump has every item that stays, and other commands may be pipelined with
//     it.
//   - A write that is refused because the store may not evict leaves the item
//     that was there.
//   - The key of an item stays base64 in answers after an append, an incr, or
//     when a get or ma made the item. memcached shows it raw from then on.
//   - The T flag of ma holds also when the number gets longer.
//   - A delayed flush_all does not bring back what an earlier one has flushed.
//   - An opaque that is too long is refused before anything is done.
//   - A line that is too long, and an HTTP request, get an error before their
//     connection ends.
//   - A get with a key too long loses its own answers, not those of requests
//     before it in the pipeline.
//   - Numbers are read up to the end of the value, not behind it.
func NewHandler(items Items) Handler {
	h := &itemsHandler{items: items, began: time.Unix(0, items.Now())}
	h.walker, _ = items.(ItemWalker)
	h.flusher, _ = items.(ItemFlusher)
	h.counter, _ = items.(ItemCounter)
	return h
}

func (h *itemsHandler) ServeMemcache(w *ResponseWriter, r *Request) {
	switch r.Op {
	case OpGet:
		for _, key := range r.Keys {
			h.get(w, r, key)
		}
	case OpSet:
		h.set(w, r)
	case OpDelete:
		h.delete(w, r)
	case OpIncr:
		h.incr(w, r)
	case OpTouch:
		h.touch(w, r)
	case OpInspect:
		h.inspect(w, r)
	case OpFlush:
		h.flush(w, r)
	case OpStats:
		h.writeStats(w, r)
	case OpDump:
		h.dump(w)
	case OpTune:
		w.Status(StatusDone, 0)
	case OpVersion:
		w.Line("VERSION " + serverVersion)
	default:
		w.Error(errNoCommand.Answer)
	}
}

// get looks up one key. A plain get takes the short way, which allocates nothing.
func (h *itemsHandler) get(w *ResponseWriter, r *Request, key []byte) {
	if r.Touch || r.Vivify || r.Recache || r.NoBump {
		h.getAndChange(w, r, key)
		return
	}
	it, ok := h.items.Get(key)
	if !ok {
		return
	}
	var hit Hit
	if r.form.meta() {
		now := h.items.Now()
		hit.fill(&it, now)
		if hit.Stale && !hit.Sent {
			hit.Won = h.win(w, key, it.CAS)
		}
	} else {
		hit.Value, hit.Flags, hit.CAS = it.Value, it.Flags, it.CAS
	}
	w.Item(key, &hit)
}

// fill takes over what it shows at the time now.
func (hit *Hit) fill(it *store.Item, now int64) {
	hit.Value, hit.Flags, hit.CAS = it.Value, it.Flags, it.CAS
	hit.TTL = secondsLeft(it.Expires, now)
	hit.OldTTL = hit.TTL
	hit.Idle = max(0, now-it.Accessed) / int64(time.Second)
	hit.Fetched = it.Fetched
	hit.BinaryKey = it.Marks&markBinaryKey != 0
	hit.Stale = it.Marks&markStale != 0
	hit.Sent = it.Marks&markSent != 0
	hit.Size = store.Size(len(it.Key), it.Value)
}

// win marks the item at key as being recached, unless it has changed since it
// was cas or somebody was quicker.
func (h *itemsHandler) win(w *ResponseWriter, key []byte, cas uint64) (won bool) {
	c := &w.change
	c.begin(w.req, (*change).win)
	c.cas = cas
	_, err := h.items.Update(key, c.run)
	return c.ok && err == nil
}

func (c *change) win(it *store.Item, found bool) store.Action {
	if !found || it.CAS != c.cas || it.Marks&markSent != 0 {
		return store.Keep
	}
	c.ok = true
	it.Marks |= markSent
	return store.Amend
}

// getAndChange is get with what may change the item on the way.
func (h *itemsHandler) getAndChange(w *ResponseWriter, r *Request, key []byte) {
	c := &w.change
	c.begin(r, (*change).get)
	c.now = h.items.Now()
	cas, err := h.items.Update(key, c.run)
	h.stats.countGet(c.ok && !c.hit.Created, r.Touch)
	switch {
	case err != nil:
		w.Error(updateError(err))
	case c.ok:
		if c.hit.Created {
			c.hit.CAS = cas
		}
		w.Item(key, &c.hit)
	}
	c.forget()
}

func (c *change) get(it *store.Item, found bool) store.Action {
	r, hit := c.r, &c.hit
	c.ok = found || r.Vivify
	if !c.ok {
		return store.Keep
	}
	if !found {
		*hit = Hit{Created: true, Won: true, OldTTL: -1, BinaryKey: r.BinaryKey}
		c.vivify(it)
		it.Marks = markSent | mark(r.BinaryKey, markBinaryKey)
		it.Fetched = !r.NoBump
		return store.Write
	}
	hit.fill(it, c.now)
	if r.Touch {
		it.Expires = ExpiresAt(r.Exptime, c.now)
		hit.TTL = secondsLeft(it.Expires, c.now)
	}
	low := r.Recache && it.Expires != 0 && hit.TTL < secondsLeft(ExpiresAt(r.RecacheExptime, c.now), c.now)
	if !hit.Sent && (low || hit.Stale && r.form.meta()) {
		hit.Won = true
		it.Marks |= markSent
	}
	if r.NoBump {
		return store.Amend
	}
	return store.Amend | store.Bump
}

// vivify gives the item that the request makes its time to live.
func (c *change) vivify(it *store.Item) {
	it.Expires = ExpiresAt(c.r.VivifyExptime, c.now)
	if c.r.Touch {
		it.Expires = ExpiresAt(c.r.Exptime, c.now)
	}
	c.hit.TTL = secondsLeft(it.Expires, c.now)
}

func mark(set bool, m uint8) uint8 {
	if set {
		return m
	}
	return 0
}

// updateError is the answer to a request whose Update has failed.
func updateError(err error) string {
	switch {
	case errors.Is(err, store.ErrTooLarge):
		return errTooLarge.Answer
	case errors.Is(err, store.ErrFull):
		return "SERVER_ERROR out of memory storing object"
	}
	return "SERVER_ERROR " + err.Error()
}

// expiresAt reads the clock only if it has to.
func (h *itemsHandler) expiresAt(exptime int32) int64 {
	if exptime == 0 {
		return 0
	}
	return ExpiresAt(exptime, h.items.Now())
}

func (h *itemsHandler) set(w *ResponseWriter, r *Request) {
	c := &w.change
	c.begin(r, (*change).set)
	c.expires = h.expiresAt(r.Exptime)
	c.status = StatusNotStored
	cas, err := h.items.Update(r.Key, c.run)
	h.stats.countSet(r.Mode, c.status)
	if err != nil {
		w.Error(updateError(err))
		return
	}
	w.Status(c.status, cas)
}

func (c *change) set(it *store.Item, found bool) store.Action {
	r := c.r
	switch r.Mode {
	case ModeAdd:
		if found {
			return store.Keep
		}
	case ModeReplace:
		if !found {
			return store.Keep
		}
	case ModeCAS:
		if !found {
			c.status = StatusNotFound
			return store.Keep
		}
		if r.Invalidate && r.CAS != 0 && r.CAS < it.CAS {
			// An older writer: its value will do, but keeps the time to
			// live and the marks of the one that it is older than.
			it.Value, it.Flags, it.Fetched = r.Value, r.Flags, false
			it.Marks |= markStale
			c.status = StatusDone
			return store.Write
		}
		if r.CAS != it.CAS {
			c.status = StatusExists
			return store.Keep
		}
	case ModeAppend, ModePrepend:
		if !found {
			return store.Keep
		}
		if r.HasCAS && r.CAS != 0 && r.CAS != it.CAS {
			c.status = StatusExists
			return store.Keep
		}
		if r.MaxValue > 0 && len(it.Value)+len(r.Value) > r.MaxValue {
			return store.Keep
		}
		if r.Mode == ModeAppend {
			it.Value = slices.Concat(it.Value, r.Value)
		} else {
			it.Value = slices.Concat(r.Value, it.Value)
		}
		it.Marks &= markBinaryKey
		it.Fetched = false
		c.status = StatusDone
		return store.Write
	}
	*it = store.Item{Value: r.Value, Flags: r.Flags, Expires: c.expires, Marks: mark(r.BinaryKey, markBinaryKey)}
	c.status = StatusDone
	return store.Write
}
