package memcache

import (
	"strconv"
	"time"

	"github.com/torc-dht/torc/store"
)

// delete removes an item, or marks it as stale if r.Invalidate.
func (h *storeHandler) delete(w *ResponseWriter, r *Request) {
	now := h.store.Now()
	status := StatusNotFound
	_, err := h.store.Update(r.Key, func(it *store.Item, found bool) store.Action {
		switch {
		case !found:
			return store.Keep
		case r.HasCAS && r.CAS != it.CAS:
			status = StatusExists
			return store.Keep
		}
		status = StatusDone
		if !r.Invalidate {
			return store.Remove
		}
		if r.Touch {
			it.Expires = ExpiresAt(r.Exptime, now)
		}
		it.Marks = it.Marks&^markSent | markStale
		return store.Write
	})
	h.stats.count(status == StatusDone, &h.stats.deleteHits, &h.stats.deleteMisses)
	if err != nil {
		w.Error(storeError(err))
		return
	}
	w.Status(status, 0)
}

func (h *storeHandler) touch(w *ResponseWriter, r *Request) {
	expires := h.expiresAt(r.Exptime)
	status := StatusNotFound
	_, _ = h.store.Update(r.Key, func(it *store.Item, found bool) store.Action {
		if !found {
			return store.Keep
		}
		status = StatusDone
		it.Expires = expires
		return store.Amend | store.Bump
	})
	h.stats.countGet(status == StatusDone, true)
	w.Status(status, 0)
}

const notANumber = "CLIENT_ERROR cannot increment or decrement non-numeric value"

// incr adds or subtracts. As in memcached a sum wraps at 64 bits, a difference
// ends at 0, and a number that gets shorter is followed by spaces up to the
// length that it had.
func (h *storeHandler) incr(w *ResponseWriter, r *Request) {
	now := h.store.Now()
	var (
		hit    Hit
		n      uint64
		status = StatusNotFound
		bad    bool
	)
	cas, err := h.store.Update(r.Key, func(it *store.Item, found bool) store.Action {
		if !found {
			if !r.Vivify {
				return store.Keep
			}
			n, status = r.Initial, StatusDone
			hit = Hit{Created: true, OldTTL: -1, BinaryKey: r.BinaryKey}
			it.Expires = ExpiresAt(r.VivifyExptime, now)
			if r.Touch {
				it.Expires = ExpiresAt(r.Exptime, now)
			}
			hit.TTL = secondsLeft(it.Expires, now)
			it.Value = strconv.AppendUint(nil, n, 10)
			it.Marks = mark(r.BinaryKey, markBinaryKey)
			return store.Write
		}
		var ok bool
		if n, ok = cUint64(it.Value); len(it.Value) == 0 {
			bad = true
			return store.Keep
		} else if r.HasCAS && r.CAS != 0 && r.CAS != it.CAS {
			status = StatusExists
			return store.Keep
		} else if !ok {
			bad = true
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
		hit.fill(it, now)
		status = StatusDone
		length := len(it.Value)
		it.Value = strconv.AppendUint(make([]byte, 0, max(length, 20)), n, 10)
		it.Fetched = it.Fetched && len(it.Value) <= length
		for len(it.Value) < length {
			it.Value = append(it.Value, ' ')
		}
		if r.Touch && r.form.meta() {
			it.Expires = ExpiresAt(r.Exptime, now)
			hit.TTL = secondsLeft(it.Expires, now)
		}
		return store.Write
	})
	h.stats.countIncr(r.Decr, status)
	hit.CAS = cas
	switch {
	case bad:
		w.Error(notANumber)
	case err != nil:
		w.Error(storeError(err))
	case status == StatusDone:
		w.Number(n, &hit)
	default:
		w.Status(status, 0)
	}
}

func (h *storeHandler) inspect(w *ResponseWriter, r *Request) {
	now := h.store.Now()
	var hit Hit
	var ok bool
	_, _ = h.store.Update(r.Key, func(it *store.Item, found bool) store.Action {
		if ok = found; found {
			hit.fill(it, now)
		}
		return store.Keep
	})
	if ok {
		w.Inspect(&hit)
	}
}

func (h *storeHandler) flush(w *ResponseWriter, r *Request) {
	h.stats.flushes.Add(1)
	at := h.store.Now()
	if r.Exptime > 0 {
		at = ExpiresAt(r.Exptime, at)
	}
	h.store.Flush(time.Unix(0, at))
	w.Status(StatusDone, 0)
}
