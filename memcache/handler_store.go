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

// storeHandler serves a store.
type storeHandler struct {
	store *store.Store
	began time.Time
	stats handlerStats
}

// NewHandler makes a Handler that serves s as memcached serves its memory. The
// store may be shared with other handlers and with the program.
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
func NewHandler(s *store.Store) Handler {
	return &storeHandler{store: s, began: time.Unix(0, s.Now())}
}

func (h *storeHandler) ServeMemcache(w *ResponseWriter, r *Request) {
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
		for it := range h.store.All() {
			if w.Dump(&it) != nil {
				return
			}
		}
	case OpTune:
		w.Status(StatusDone, 0)
	case OpVersion:
		w.Line("VERSION " + serverVersion)
	default:
		w.Error(errNoCommand.Answer)
	}
}

// get looks up one key. A plain get takes the short way, which allocates nothing.
func (h *storeHandler) get(w *ResponseWriter, r *Request, key []byte) {
	if r.Touch || r.Vivify || r.Recache || r.NoBump {
		h.getAndChange(w, r, key)
		return
	}
	it, ok := h.store.Get(key)
	if !ok {
		return
	}
	var hit Hit
	if r.form.meta() {
		now := h.store.Now()
		hit.fill(&it, now)
		if hit.Stale && !hit.Sent {
			hit.Won = h.win(key, it.CAS)
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
func (h *storeHandler) win(key []byte, cas uint64) (won bool) {
	_, _ = h.store.Update(key, func(it *store.Item, found bool) store.Action {
		if !found || it.CAS != cas || it.Marks&markSent != 0 {
			return store.Keep
		}
		won = true
		it.Marks |= markSent
		return store.Amend
	})
	return won
}

// getAndChange is get with what may change the item on the way.
func (h *storeHandler) getAndChange(w *ResponseWriter, r *Request, key []byte) {
	now := h.store.Now()
	var hit Hit
	var ok bool
	cas, err := h.store.Update(key, func(it *store.Item, found bool) store.Action {
		ok = found || r.Vivify
		if !ok {
			return store.Keep
		}
		if !found {
			hit = Hit{Created: true, Won: true, OldTTL: -1, BinaryKey: r.BinaryKey}
			it.Expires = ExpiresAt(r.VivifyExptime, now)
			if r.Touch {
				it.Expires = ExpiresAt(r.Exptime, now)
			}
			hit.TTL = secondsLeft(it.Expires, now)
			it.Marks = markSent | mark(r.BinaryKey, markBinaryKey)
			it.Fetched = !r.NoBump
			return store.Write
		}
		hit.fill(it, now)
		if r.Touch {
			it.Expires = ExpiresAt(r.Exptime, now)
			hit.TTL = secondsLeft(it.Expires, now)
		}
		low := r.Recache && it.Expires != 0 && hit.TTL < secondsLeft(ExpiresAt(r.RecacheExptime, now), now)
		if !hit.Sent && (low || hit.Stale && r.form.meta()) {
			hit.Won = true
			it.Marks |= markSent
		}
		if r.NoBump {
			return store.Amend
		}
		return store.Amend | store.Bump
	})
	h.stats.countGet(ok && !hit.Created, r.Touch)
	switch {
	case err != nil:
		w.Error(storeError(err))
	case ok:
		if hit.Created {
			hit.CAS = cas
		}
		w.Item(key, &hit)
	}
}

func mark(set bool, m uint8) uint8 {
	if set {
		return m
	}
	return 0
}

func storeError(err error) string {
	if errors.Is(err, store.ErrTooLarge) {
		return errTooLarge.Answer
	}
	return "SERVER_ERROR out of memory storing object"
}

// expiresAt reads the clock only if it has to.
func (h *storeHandler) expiresAt(exptime int32) int64 {
	if exptime == 0 {
		return 0
	}
	return ExpiresAt(exptime, h.store.Now())
}

func (h *storeHandler) set(w *ResponseWriter, r *Request) {
	expires := h.expiresAt(r.Exptime)
	status := StatusNotStored
	cas, err := h.store.Update(r.Key, func(it *store.Item, found bool) store.Action {
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
				status = StatusNotFound
				return store.Keep
			}
			if r.Invalidate && r.CAS != 0 && r.CAS < it.CAS {
				// An older writer: its value will do, but keeps the time to
				// live and the marks of the one that it is older than.
				it.Value, it.Flags, it.Fetched = r.Value, r.Flags, false
				it.Marks |= markStale
				status = StatusDone
				return store.Write
			}
			if r.CAS != it.CAS {
				status = StatusExists
				return store.Keep
			}
		case ModeAppend, ModePrepend:
			if !found {
				return store.Keep
			}
			if r.HasCAS && r.CAS != 0 && r.CAS != it.CAS {
				status = StatusExists
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
			status = StatusDone
			return store.Write
		}
		*it = store.Item{Value: r.Value, Flags: r.Flags, Expires: expires, Marks: mark(r.BinaryKey, markBinaryKey)}
		status = StatusDone
		return store.Write
	})
	h.stats.countSet(r.Mode, status)
	if err != nil {
		w.Error(storeError(err))
		return
	}
	w.Status(status, cas)
}
