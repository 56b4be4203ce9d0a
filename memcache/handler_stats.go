package memcache

import (
	"strconv"
	"sync/atomic"
	"time"
)

// handlerStats are the counts that stats shows and that the store does not keep.
// Plain gets, which are the many, the store counts under its locks.
type handlerStats struct {
	gets, getHits                    atomic.Uint64 // that changed something on the way
	sets                             atomic.Uint64
	touches, touchHits               atomic.Uint64
	deleteHits, deleteMisses         atomic.Uint64
	incrHits, incrMisses             atomic.Uint64
	decrHits, decrMisses             atomic.Uint64
	casHits, casMisses, casBadValues atomic.Uint64
	flushes                          atomic.Uint64
}

func (s *handlerStats) count(hit bool, hits, misses *atomic.Uint64) {
	if hit {
		hits.Add(1)
	} else {
		misses.Add(1)
	}
}

func (s *handlerStats) countGet(hit, touch bool) {
	all, hits := &s.gets, &s.getHits
	if touch {
		all, hits = &s.touches, &s.touchHits
	}
	all.Add(1)
	if hit {
		hits.Add(1)
	}
}

func (s *handlerStats) countSet(mode Mode, status Status) {
	s.sets.Add(1)
	if mode != ModeCAS {
		return
	}
	switch status {
	case StatusDone:
		s.casHits.Add(1)
	case StatusNotFound:
		s.casMisses.Add(1)
	case StatusExists:
		s.casBadValues.Add(1)
	}
}

func (s *handlerStats) countIncr(decr bool, status Status) {
	hits, misses := &s.incrHits, &s.incrMisses
	if decr {
		hits, misses = &s.decrHits, &s.decrMisses
	}
	switch status {
	case StatusDone:
		hits.Add(1)
	case StatusNotFound:
		misses.Add(1)
	}
}

func (s *handlerStats) reset() {
	for _, c := range []*atomic.Uint64{
		&s.gets, &s.getHits, &s.sets, &s.touches, &s.touchHits, &s.deleteHits, &s.deleteMisses, &s.incrHits,
		&s.incrMisses, &s.decrHits, &s.decrMisses, &s.casHits, &s.casMisses, &s.casBadValues, &s.flushes,
	} {
		c.Store(0)
	}
}

// writeStats writes the figures that have a meaning here, under memcached's names.
func (h *itemsHandler) writeStats(w *ResponseWriter, r *Request) {
	if h.counter == nil {
		w.Error("SERVER_ERROR there are no statistics of items here")
		return
	}
	var which string
	if len(r.Args) > 0 {
		which = string(r.Args[0])
	}
	stat := func(name string, n uint64) { w.Stat(name, strconv.FormatUint(n, 10)) }
	switch which {
	case "":
		h.writeGeneralStats(stat)
	case "reset":
		h.counter.ResetStats()
		h.stats.reset()
		w.Line("RESET")
	case "settings":
		stat("maxbytes", h.counter.Stats().MaxBytes)
		is := func(yes bool, names [2]string) string {
			if yes {
				return names[0]
			}
			return names[1]
		}
		yesNo := [2]string{"yes", "no"}
		w.Stat("evictions", is(h.counter.Evicts(), [2]string{"on", "off"}))
		w.Stat("cas_enabled", "yes")
		w.Stat("flush_enabled", is(h.flusher != nil, yesNo))
		w.Stat("dump_enabled", is(h.walker != nil, yesNo))
	case "items", "slabs":
		// memcached has a class for each size of items. Here all are of one.
		st := h.counter.Stats()
		if st.Items == 0 {
			break
		}
		if which == "items" {
			stat("items:1:number", st.Items)
			stat("items:1:mem_requested", st.Bytes)
			stat("items:1:evicted", st.Evictions)
			stat("items:1:outofmemory", st.Refused)
			stat("items:1:reclaimed", st.Expired)
			break
		}
		stat("1:used_chunks", st.Items)
		stat("1:mem_requested", st.Bytes)
		stat("active_slabs", 1)
		stat("total_malloced", st.Bytes)
	default:
		w.Error(errNoCommand.Answer)
	}
}

func (h *itemsHandler) writeGeneralStats(stat func(name string, n uint64)) {
	st, c := h.counter.Stats(), &h.stats
	now := h.items.Now()
	gets, getHits := st.Hits+st.Misses+c.gets.Load(), st.Hits+c.getHits.Load()
	touches, touchHits := c.touches.Load(), c.touchHits.Load()
	stat("uptime", uint64(max(0, now-h.began.UnixNano())/int64(time.Second)))
	stat("time", uint64(now/int64(time.Second)))
	stat("cmd_get", gets)
	stat("cmd_set", c.sets.Load())
	stat("cmd_flush", c.flushes.Load())
	stat("cmd_touch", touches)
	stat("get_hits", getHits)
	stat("get_misses", gets-min(gets, getHits))
	stat("delete_misses", c.deleteMisses.Load())
	stat("delete_hits", c.deleteHits.Load())
	stat("incr_misses", c.incrMisses.Load())
	stat("incr_hits", c.incrHits.Load())
	stat("decr_misses", c.decrMisses.Load())
	stat("decr_hits", c.decrHits.Load())
	stat("cas_misses", c.casMisses.Load())
	stat("cas_hits", c.casHits.Load())
	stat("cas_badval", c.casBadValues.Load())
	stat("touch_hits", touchHits)
	stat("touch_misses", touches-min(touches, touchHits))
	stat("store_no_memory", st.Refused)
	stat("limit_maxbytes", st.MaxBytes)
	stat("bytes", st.Bytes)
	stat("curr_items", st.Items)
	stat("total_items", st.Writes)
	stat("evictions", st.Evictions)
	stat("reclaimed", st.Expired)
}
