package store

import (
	"errors"
	"hash/maphash"
	"iter"
	"math/bits"
	"sync/atomic"
	"time"
)

// DefaultMaxBytes is the budget of a store that is not told another. It is
// memcached's.
const DefaultMaxBytes = 64 << 20

const (
	// maxShards is far more than there are cores to fight for the locks.
	maxShards = 256
	// minShare keeps a shard's share at eight of memcached's largest items, so
	// that an uneven spread of large values over the shards wastes little.
	minShare = 8 << 20
)

var (
	// ErrFull: no room, and the store does not evict. Nothing was changed.
	ErrFull = errors.New("store: full, and told not to evict")
	// ErrTooLarge: the item alone is larger than a shard's share of the budget,
	// see [Store.MaxItemBytes]. Nothing was changed.
	ErrTooLarge = errors.New("store: item larger than a shard's share of the budget")
)

// Config says how a store is. The zero value is usable.
type Config struct {
	// MaxBytes is the budget for keys, values and what it takes to keep them;
	// 0 means DefaultMaxBytes.
	MaxBytes int64
	// NoEvict makes writes that find no room fail with ErrFull instead of
	// evicting what was least recently used. Reads, and writes that take no
	// more room than there is, go on.
	NoEvict bool
	// Shards is the number of locks, rounded up to a power of two; 0 chooses by
	// MaxBytes. One shard keeps exact order of use over the whole store, but
	// lets one core at a time in.
	Shards int
	// Now is the clock; nil means time.Now. It has to be safe for concurrent use.
	Now func() time.Time
}

// Item is one version of what is at a key.
type Item struct {
	// Key is set by the store; what a caller writes to it is passed over.
	Key string
	// Value is not to be changed by anybody.
	Value []byte
	// Flags and Marks are the callers' own bits.
	Flags uint32
	Marks uint8
	// Fetched says that a Get or a Bump has met this version, or an earlier one
	// of which it is an amendment.
	Fetched bool
	// CAS is the number of the write that made this version. Numbers grow with
	// each write of the store and begin at 1.
	CAS uint64
	// Expires is when the item ceases to be, in Unix nanoseconds; 0 is never.
	Expires int64
	// Accessed is when the item was last written, fetched or bumped, in Unix
	// nanoseconds.
	Accessed int64
}

// Action is what [Store.Update] shall do with an item. Write and Remove exclude
// Amend and each other; Bump goes with Amend or alone.
type Action uint8

// Keep leaves the item as it was.
const Keep Action = 0

// The actions that do something.
const (
	// Bump makes the item the most recently used, and marks it as fetched.
	Bump Action = 1 << iota
	// Amend takes over Expires and Marks, without a new CAS number.
	Amend
	// Write stores the item as the function left it, with a new CAS number.
	Write
	// Remove removes it.
	Remove
)

// Store is a map from keys to items. All methods are safe for concurrent use.
type Store struct {
	seed    maphash.Seed
	shards  []shard
	now     func() time.Time
	noEvict bool
	share   int64 // each shard's budget

	cas     atomic.Uint64 // the last number given out
	flushAt atomic.Int64  // when a delayed flush is due, Unix nanoseconds; 0: none was asked for
}

// New makes an empty store.
func New(cfg Config) *Store {
	if cfg.MaxBytes <= 0 {
		cfg.MaxBytes = DefaultMaxBytes
	}
	if cfg.Shards <= 0 {
		cfg.Shards = int(min(max(cfg.MaxBytes/minShare, 1), maxShards))
		cfg.Shards = 1 << (bits.Len(uint(cfg.Shards)) - 1)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	n := 1 << bits.Len(uint(cfg.Shards-1))
	s := &Store{
		seed:    maphash.MakeSeed(),
		shards:  make([]shard, n),
		now:     cfg.Now,
		noEvict: cfg.NoEvict,
		share:   cfg.MaxBytes / int64(n),
	}
	for i := range s.shards {
		s.shards[i].init()
	}
	return s
}

// Now reads the store's clock, in Unix nanoseconds.
func (s *Store) Now() int64 { return s.now().UnixNano() }

// MaxBytes is the budget.
func (s *Store) MaxBytes() int64 { return s.share * int64(len(s.shards)) }

// MaxItemBytes is the size, as [Size] counts it, of the largest item that the
// store takes.
func (s *Store) MaxItemBytes() int64 { return s.share }

// Evicts says whether the store evicts to make room.
func (s *Store) Evicts() bool { return !s.noEvict }

func (s *Store) shard(key []byte) *shard {
	return &s.shards[maphash.Bytes(s.seed, key)&uint64(len(s.shards)-1)]
}

// lock locks sh, and carries out first the flush that is due, if any.
func (s *Store) lock(sh *shard, now int64) {
	sh.mu.Lock()
	if at := s.flushAt.Load(); at != 0 && at != sh.flushed && now >= at {
		sh.flushLocked()
		sh.flushed = at
	}
}

// Get returns the item at key and makes it the most recently used. The item
// that is returned is as it was before that: Fetched says whether there was an
// earlier Get. It allocates nothing.
func (s *Store) Get(key []byte) (Item, bool) {
	now := s.Now()
	sh := s.shard(key)
	s.lock(sh, now)
	e := sh.findLocked(key, now)
	if e == nil {
		sh.stats.Misses++
		sh.mu.Unlock()
		return Item{}, false
	}
	sh.stats.Hits++
	it := e.Item
	sh.bumpLocked(e, now)
	sh.mu.Unlock()
	return it, true
}

// Update calls f with the item at key and does what f returns. No other call
// sees or changes the item meanwhile, nor any other item of its shard: f must be
// quick and must not call the store.
//
// The item that f gets is its own to change, until it returns; if there is none
// at the key (or it has expired), found is false and the item is zero.
//
// Update returns the CAS number of the version that it wrote, or 0 if it wrote
// none. It fails with ErrFull or ErrTooLarge, if f said Write and there is no
// room, and has then changed nothing.
func (s *Store) Update(key []byte, f func(it *Item, found bool) Action) (cas uint64, err error) {
	now := s.Now()
	sh := s.shard(key)
	s.lock(sh, now)
	defer sh.mu.Unlock()
	e := sh.findLocked(key, now)
	it := &sh.scratch // not a local variable: f would make that escape to the heap
	*it = Item{}
	if e != nil {
		*it = e.Item
	}
	defer func() { it.Value = nil }() // so that the scratch item keeps no value alive
	act := f(it, e != nil)
	switch {
	case act&Write != 0:
		return s.writeLocked(sh, e, key, it, now)
	case e == nil:
	case act&Remove != 0:
		sh.removeLocked(e)
	default:
		if act&Amend != 0 {
			e.Marks = it.Marks
			sh.expireAtLocked(e, it.Expires)
		}
		if act&Bump != 0 {
			sh.bumpLocked(e, now)
		}
	}
	return 0, nil
}

// writeLocked puts it where e is, or makes a new entry if e is nil.
func (s *Store) writeLocked(sh *shard, e *entry, key []byte, it *Item, now int64) (uint64, error) {
	var old int64
	if e != nil {
		old = e.size()
	}
	size := Size(len(key), it.Value)
	if size > s.share {
		return 0, ErrTooLarge
	}
	if !sh.makeRoomLocked(size-old, s.share, e, now, !s.noEvict) {
		return 0, ErrFull
	}
	it.CAS = s.cas.Add(1)
	it.Accessed = now
	if e == nil {
		e = sh.insertLocked(string(key))
	} else {
		sh.order.moveToFront(e)
	}
	sh.used += size - old
	sh.stats.Writes++
	expires := it.Expires
	it.Key, it.Expires = e.Key, e.Expires
	e.Item = *it
	it.Expires = expires
	sh.expireAtLocked(e, expires)
	return it.CAS, nil
}

// Set stores it at key, whatever is there. See Update for the errors.
func (s *Store) Set(key []byte, it Item) error {
	_, err := s.Update(key, func(scratch *Item, _ bool) Action {
		*scratch = it
		return Write
	})
	return err
}

// Delete removes the item at key and says whether there was one.
func (s *Store) Delete(key []byte) bool {
	var was bool
	_, _ = s.Update(key, func(_ *Item, found bool) Action {
		was = found
		return Remove
	})
	return was
}

// Flush removes every item that was written before at, as soon as it is that
// time by the store's clock; at once, if it has been already. A later call takes
// the place of an earlier one that is not due yet.
func (s *Store) Flush(at time.Time) {
	ns := at.UnixNano()
	now := s.Now()
	if ns > now {
		// A flush that is due already, but that some shard has not got round
		// to, has to be carried out before it is forgotten.
		s.each(now, func(*shard) {})
		s.flushAt.Store(ns)
		return
	}
	s.flushAt.Store(0)
	s.each(now, func(sh *shard) { sh.flushLocked() })
}

// each calls f with each shard, locked.
func (s *Store) each(now int64, f func(*shard)) {
	for i := range s.shards {
		sh := &s.shards[i]
		s.lock(sh, now)
		f(sh)
		sh.mu.Unlock()
	}
}

// walkBatch is how many items a walk copies while it holds a lock.
const walkBatch = 64

// All yields every item that is in the store from the beginning to the end of
// the walk, once. Items that are written meanwhile may or may not be among them;
// an item may have changed, or gone, since it was copied. The order is no order.
//
// The walk copies walkBatch items at a time and holds no lock while it yields:
// the consumer may take its time and may call the store, and the memory that the
// walk takes does not depend on the number of items. It counts as no access.
func (s *Store) All() iter.Seq[Item] {
	return func(yield func(Item) bool) {
		batch := make([]Item, 0, walkBatch)
		for i := range s.shards {
			if !s.walk(&s.shards[i], batch, yield) {
				return
			}
		}
	}
}

func (s *Store) walk(sh *shard, batch []Item, yield func(Item) bool) bool {
	emit := func() bool {
		for i := range batch {
			if !yield(batch[i]) {
				return false
			}
		}
		clear(batch)
		batch = batch[:0]
		return true
	}
	now := s.Now()
	s.lock(sh, now)
	flushes := sh.flushes
	// Others change the map while it is unlocked in mid-range. That is within
	// the rules: entries that stay are produced once each, removed ones are not.
	for _, e := range sh.entries {
		if e.expired(now) {
			continue
		}
		batch = append(batch, e.Item)
		if len(batch) < cap(batch) {
			continue
		}
		sh.mu.Unlock()
		if !emit() {
			return false
		}
		now = s.Now()
		s.lock(sh, now)
		if sh.flushes != flushes {
			break // it is another map now, and nothing stayed
		}
	}
	sh.mu.Unlock()
	return emit()
}

// Stats are counts since the store was made, or since [Store.ResetStats], and
// Items, Bytes and MaxBytes as they are.
type Stats struct {
	Items    uint64 // items that have not expired
	Bytes    uint64 // what they take of the budget
	MaxBytes uint64

	Hits, Misses uint64 // of Get
	Writes       uint64 // versions written
	Evictions    uint64 // items removed before their time, to make room
	Expired      uint64 // items removed because their time was over
	Refused      uint64 // writes that failed with ErrFull
}

// Stats sums up all shards, one after the other.
func (s *Store) Stats() Stats {
	sum := Stats{MaxBytes: uint64(s.MaxBytes())}
	now := s.Now()
	s.each(now, func(sh *shard) {
		sh.reapLocked(now)
		sum.Items += uint64(len(sh.entries))
		sum.Bytes += uint64(sh.used)
		sum.Hits += sh.stats.Hits
		sum.Misses += sh.stats.Misses
		sum.Writes += sh.stats.Writes
		sum.Evictions += sh.stats.Evictions
		sum.Expired += sh.stats.Expired
		sum.Refused += sh.stats.Refused
	})
	return sum
}

// ResetStats begins the counts again.
func (s *Store) ResetStats() {
	s.each(s.Now(), func(sh *shard) { sh.stats = Stats{} })
}
