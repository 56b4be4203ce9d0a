package state

import (
	"bytes"
	"container/heap"

	"github.com/tidwall/btree"

	"github.com/torc-dht/torc/replica/internal/msg"
)

// What a state holds unless it is told otherwise.
const (
	// DefaultBytes is for ten times what is asked for at least.
	DefaultBytes = 64 << 20
	// DefaultRecords is for ten minutes of a thousand clients a second that come
	// once and never again; those that stay take one record each.
	DefaultRecords = 1 << 20
	// DefaultRecordBytes keeps the old values of the last second of swaps of
	// values of 400 bytes; only what is sent again after longer than that is
	// answered without.
	DefaultRecordBytes = 16 << 20
)

// Limits are how much a state may hold. All states of one history have to have the
// same ones: what is refused and what is forgotten depends on them.
type Limits struct {
	// Bytes bounds keys and values of entries, with 128 bytes more for each entry;
	// 0 is DefaultBytes.
	Bytes uint64
	// Records bounds how many results of operations are remembered; 0 is
	// DefaultRecords.
	Records int
	// RecordBytes bounds the old values that are kept for results alone, and apart
	// from them the keys that were removed, with 128 bytes more for each; 0 is
	// DefaultRecordBytes.
	RecordBytes uint64
}

func (l Limits) orDefaults() Limits {
	if l.Bytes == 0 {
		l.Bytes = DefaultBytes
	}
	if l.Records <= 0 {
		l.Records = DefaultRecords
	}
	if l.RecordBytes == 0 {
		l.RecordBytes = DefaultRecordBytes
	}
	return l
}

// State is the table. It is for one goroutine.
//
// What is in it is a function of the operations that were applied, in order, with
// their epochs and times, and nothing else; two states that have applied the same
// have the same image. The items and the records in order of application are all
// that there is, with a few numbers: the rest is found from these.
type State struct {
	limits Limits

	now             uint64 // the log's time
	seq             uint64 // writes so far
	merged, dropped uint64

	items   *btree.Map[string, *item] // entries and graves
	records records

	// Found from the items. To look one up takes a quarter of the time that it
	// takes in the tree, which is for images. Nothing depends on the index's order.
	index    map[string]*item
	live     int    // entries
	bytes    uint64 // theirs
	buried   uint64 // the graves' bytes
	expiring timeline
	graves   timeline
}

// New returns an empty state.
func New(l Limits) *State {
	return &State{
		limits:   l.orDefaults(),
		items:    btree.NewMap[string, *item](0),
		records:  newRecords(),
		index:    make(map[string]*item),
		expiring: timeline{at: func(it *item) uint64 { return it.expires }},
		graves:   timeline{at: (*item).removedAt},
	}
}

// Get reads the entry at key: OK or NotFound. The value must not be changed.
func (s *State) Get(key string) msg.Result {
	it := s.index[key].entry()
	if it == nil {
		return msg.Result{Status: msg.NotFound}
	}
	return msg.Result{Status: msg.OK, Found: true, Old: it.value, OldVersion: it.version}
}

// Apply carries op out at the log's time now, in microseconds, in the epoch of that
// number. If now is before that of an operation applied earlier, the earlier one's
// counts. What is due by then is removed first.
//
// A Put or a Delete whose ID is known changes nothing and gets the result that it
// got before: or Repeated, if only that it was there is still known. The result of
// a Put or Delete that was refused has the version of what was there, not the
// value. A Get only reads; an Expire does nothing but bring the time.
//
// The state keeps copies of values; keys it keeps as they are.
func (s *State) Apply(epoch, now uint64, op *msg.Op) msg.Result {
	s.now = max(s.now, now)
	s.clear()
	switch op.Kind {
	case msg.Get:
		return s.Get(op.Key)
	case msg.Put, msg.Delete:
		if known, ok := s.records.find(op.ID); ok {
			return known
		}
		res := s.write(epoch, op)
		s.records.add(&record{id: op.ID, time: s.now, result: res}, s.limits)
		return res
	case msg.Merge:
		return s.merge(epoch, op)
	default:
		return msg.Result{Status: msg.OK}
	}
}

// write does what op says if its condition holds.
func (s *State) write(epoch uint64, op *msg.Op) msg.Result {
	was := s.index[op.Key]
	old := was.entry()
	var res msg.Result
	if old != nil {
		res.Found, res.OldVersion = true, old.version
	}
	if res.Status = check(op, old); res.Status != msg.OK {
		return res
	}
	it := &item{key: op.Key, time: s.now, removed: op.Kind == msg.Delete, by: name(op.ID), mayBe: op.Cond != msg.Always}
	if was != nil {
		// What was taken over may be of a faster clock. A write is later than what it
		// replaces, or a third lineage that has that, too, would bring it back.
		it.time = max(s.now, was.time+1)
	}
	if !it.removed {
		it.value, it.expires = own(op.Value), op.Expires
		if !s.room(old, it) {
			res.Status = msg.Full
			return res
		}
	}
	if old != nil {
		res.Old = old.value
	}
	res.Version = s.put(epoch, was, it)
	return res
}

// own returns a copy to keep; no bytes are nil.
func own(value []byte) []byte {
	if len(value) == 0 {
		return nil
	}
	return bytes.Clone(value)
}

// check tells whether op may be carried out where old, or nothing, is.
func check(op *msg.Op, old *item) msg.Status {
	if op.Kind == msg.Delete {
		if old == nil {
			return msg.NotFound
		}
		return msg.OK
	}
	switch {
	case op.Cond == msg.IfAbsent && old != nil:
		return msg.Exists
	case (op.Cond == msg.IfPresent || op.Cond == msg.IfVersion) && old == nil:
		return msg.NotFound
	case op.Cond == msg.IfVersion && old.version != op.Version:
		return msg.Conflict
	}
	return msg.OK
}

// room tells whether it can stand where old, or nothing, stands. What takes no
// more room than before always can.
func (s *State) room(old, it *item) bool {
	used := s.bytes
	if old != nil {
		used -= old.size()
	}
	return used+it.size() <= s.limits.Bytes
}

// put makes it the last write of its key, where was, or nothing, is now, and
// returns its version.
func (s *State) put(epoch uint64, was, it *item) msg.Version {
	s.seq++
	it.version = msg.Version{Epoch: epoch, Seq: s.seq}
	if was != nil {
		it.key = was.key // so that one of the two strings is in use
	}
	s.replace(was, it)
	return it.version
}

// replace puts it where was, or nothing, is now. What has expired is buried.
func (s *State) replace(was, it *item) {
	if was != nil {
		s.drop(was)
	}
	if it.over(s.now) {
		it = it.grave()
	}
	s.items.Set(it.key, it)
	s.reckon(it)
	for s.buried > s.limits.RecordBytes {
		s.dig()
	}
}

// reckon takes an item that is in the tree into account.
func (s *State) reckon(it *item) {
	s.index[it.key] = it
	if it.removed {
		s.buried += it.size()
		heap.Push(&s.graves, it)
		return
	}
	s.live++
	s.bytes += it.size()
	if it.expires != 0 {
		heap.Push(&s.expiring, it)
	}
}

// drop undoes reckon, but for the index.
func (s *State) drop(it *item) {
	if it.removed {
		s.buried -= it.size()
		heap.Remove(&s.graves, it.place)
		return
	}
	s.live--
	s.bytes -= it.size()
	if it.expires != 0 {
		heap.Remove(&s.expiring, it.place)
	}
}

// dig removes the oldest grave.
func (s *State) dig() {
	it := s.graves.first()
	s.drop(it)
	s.items.Delete(it.key)
	delete(s.index, it.key)
}

// clear removes what is due: entries that have expired, old graves, old records.
func (s *State) clear() {
	for it := s.expiring.first(); it != nil && it.over(s.now); it = s.expiring.first() {
		s.replace(it, it.grave())
	}
	for it := s.graves.first(); it != nil && it.removedAt()+graveTime <= s.now; it = s.graves.first() {
		s.dig()
	}
	s.records.forget(s.now)
}

// Due returns the log's time at which the next entry expires, false if none does.
// It is removed by the first operation, an Expire if there is no other, that is
// applied at that time or later.
func (s *State) Due() (uint64, bool) {
	if it := s.expiring.first(); it != nil {
		return it.expires, true
	}
	return 0, false
}

// Seq returns how many writes were applied in all of its history. The next one's
// Version.Seq is one more.
func (s *State) Seq() uint64 { return s.seq }

// Now returns the log's time: that of the last operation that was applied.
func (s *State) Now() uint64 { return s.now }

// Len returns how many entries there are.
func (s *State) Len() int { return s.live }

// Bytes returns how many bytes they take, as Limits.Bytes counts them.
func (s *State) Bytes() uint64 { return s.bytes }

// Dropped returns how many writes of lineages that were given up have been taken
// over by Merge, and how many lost against what was there, or found no room.
func (s *State) Dropped() (merged, dropped uint64) { return s.merged, s.dropped }
