package fleet_test

import (
	"fmt"
	"slices"
	"time"

	"github.com/torc-dht/torc/internal/check"
)

// judge finds a read that breaks the promise, by [check.FreshUnless]: a client is
// behind if another one had been told of a newer view when its call returned. Of
// the writes that are known to a read, those bind
//
//   - with one copy and rejoin=drop: all;
//   - with one copy and rejoin=check: those since which the key was evicted
//     nowhere;
//   - with more copies: those that were answered, and one of whose owners has been
//     announced from then until the read ended; with rejoin=check, if the key was
//     evicted nowhere since, and with rejoin=drop, if it was evicted nowhere while
//     it was being written. (Where the first owner evicts a value that the second
//     has not been given yet, a reader may find the older one there and copy it to
//     the first, and then the first one's word counts.)
//
// Nor does a read return what has expired, but for the second that memcached
// counts in and one for the answer, or what was never written.
func (w *world) judge() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var plain check.History
	for i := range w.mu.history {
		plain = append(plain, w.mu.history[i].Operation)
	}
	if err := check.Values(plain); err != nil {
		return err
	}
	return check.FreshUnless(w.mu.history, 2*time.Second, w.bindsLocked)
}

// bindsLocked says whether read must not be older than newer.
func (w *world) bindsLocked(newer, read *check.Seen) bool {
	evicted := func(until time.Duration) bool {
		return slices.ContainsFunc(w.mu.evictions, func(e eviction) bool {
			return e.key == string(read.Key) && e.at >= newer.Call && e.at <= until
		})
	}
	if w.setup.Rejoin == "check" && evicted(read.Return) {
		return false
	}
	if w.setup.Copies == 1 {
		return true
	}
	if evicted(newer.Return + 100*time.Millisecond) { // until its copies are known to be the same
		return false
	}
	return newer.Outcome == check.OK && slices.ContainsFunc(newer.Takers, func(name string) bool {
		s := w.mu.stays[name]
		return s != nil && s.to >= read.Return
	})
}

// alike says whether the copies of each key have come to be the same. Everything
// has to be quiet. A key of which a write failed is not looked at: nobody mends
// what a writer left half done before it is read.
func (w *world) alike(c *simClient) error {
	for i := range w.setup.Keys {
		key := keyName(i)
		w.mu.Lock()
		torn := slices.ContainsFunc(w.mu.history, func(o check.Seen) bool {
			return string(o.Key) == key && o.Op != check.Get && (o.Outcome == check.Unknown || o.Outcome == check.Failed || o.Behind)
		})
		w.mu.Unlock()
		p, err := c.table.Locate(c.life, key)
		if torn || err != nil {
			continue
		}
		var first string
		for n, owner := range p.Owners {
			it, found := w.machine(owner.Addr).holds(key)
			if !found || uint64(it.Flags&(1<<20-1)) != p.Version {
				continue
			}
			if n > 0 && first != "" && first != string(it.Value) {
				return fmt.Errorf("the copies of %s stay different: %q at %s, %q at %s", key, first, p.Owners[0].Addr, it.Value, owner.Addr)
			}
			if n == 0 {
				first = string(it.Value)
			}
		}
	}
	return nil
}
