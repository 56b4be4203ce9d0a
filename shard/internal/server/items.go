package server

import (
	"github.com/torc-dht/torc/shard/internal/msg"
	"github.com/torc-dht/torc/shard/slots"
	"github.com/torc-dht/torc/store"
)

// Now is the wall clock of the step under way, in Unix nanoseconds.
func (s *Server) Now() int64 { return s.now.Wall }

// Get returns what is at key. It is for an Executor, at the keys of its call.
func (s *Server) Get(key []byte) (store.Item, bool) {
	e := s.slots[slots.Of(key)].entries[string(key)]
	if e == nil || e.Gone || expired(&e.Entry, s.now.Wall) {
		return store.Item{}, false
	}
	return item(&e.Entry), true
}

func item(e *msg.Entry) store.Item {
	return store.Item{Key: e.Key, Value: e.Value, Flags: e.Flags, Marks: e.Marks, CAS: e.Version, Expires: e.Expires}
}

// Update calls f with the item at key and does what f returns, as
// [store.Store.Update] does, except that there is no order of use. It is for an
// Executor, at the keys of its call, which is answered when the copies have what
// Update did. It fails with store.ErrFull where this server, or one that has a copy
// of the key, has no room for more.
func (s *Server) Update(key []byte, f func(it *store.Item, found bool) store.Action) (version uint64, err error) {
	sl := &s.slots[slots.Of(key)]
	e := sl.entries[string(key)]
	found := e != nil && !e.Gone && !expired(&e.Entry, s.now.Wall)
	var it store.Item
	if found {
		it = item(&e.Entry)
	}
	act := f(&it, found)
	switch {
	case act&store.Write != 0:
		next := msg.Entry{Value: it.Value, Flags: it.Flags, Marks: it.Marks, Expires: it.Expires, Version: sl.seq + 1}
		var old uint64
		if e != nil {
			next.Key, old = e.Key, size(&e.Entry)
		} else {
			next.Key = string(key)
		}
		if now := size(&next); now > old && !s.hasRoom(sl, now-old) {
			return 0, store.ErrFull
		}
		s.write(sl, next)
		return next.Version, nil
	case !found:
	case act&store.Remove != 0:
		s.write(sl, msg.Entry{Key: e.Key, Gone: true, Version: sl.seq + 1})
	case act&store.Amend != 0 && (it.Marks != e.Marks || it.Expires != e.Expires):
		next := e.Entry
		next.Marks, next.Expires = it.Marks, it.Expires
		s.write(sl, next)
	}
	return 0, nil
}

// hasRoom says whether the slot's servers take more bytes.
func (s *Server) hasRoom(sl *slot, more uint64) bool {
	if s.bytes+more > s.cfg.Limit {
		return false
	}
	for i := range sl.copies {
		if c := &sl.copies[i]; c.begun && c.peer.full {
			return false
		}
	}
	return true
}

// full says that this server takes no copies of larger entries. Copies of what
// was on its way when that was said are taken all the same.
func (s *Server) full() bool { return s.bytes >= s.cfg.Limit }
