package state

import (
	"cmp"
	"slices"

	"github.com/torc-dht/torc/replica/internal/msg"
)

// recordTime is for how long an operation is remembered, in microseconds of the
// log's time.
const recordTime = 10 * 60 * 1_000_000

// record is what became of an operation that has an ID. It is never changed.
type record struct {
	id   msg.OpID // Acked is the highest of its client's up to then
	time uint64   // of the log, when it was applied
	// result has an old value only if the operation replaced or removed it: so
	// nobody else has it any more.
	result msg.Result

	order uint64 // its place in the ledger
}

func (r *record) bytes() uint64 { return uint64(len(r.result.Old)) }

// records remembers operations, in the order in which they were applied. It is
// them and their order that an image has; all else is found from these.
type records struct {
	ledger ledger
	next   uint64 // order of the next one
	shed   uint64 // no record before this order has an old value
	bytes  uint64 // of old values

	// sessions are the clients that have records. Nothing depends on their order.
	sessions map[uint64]*session
}

// session is what is known of a client's operations.
type session struct {
	acked uint64    // that of its newest record
	known []*record // by number
}

func newRecords() records {
	return records{sessions: make(map[uint64]*session)}
}

func (s *session) search(seq uint64) (int, bool) {
	return slices.BinarySearchFunc(s.known, seq, func(r *record, seq uint64) int { return cmp.Compare(r.id.Seq, seq) })
}

// cut removes the first n.
func (s *session) cut(n int) {
	clear(s.known[:n])
	if n == len(s.known) {
		s.known = s.known[:0] // the usual case: nothing to move, and room to use again
		return
	}
	s.known = s.known[n:]
}

// remembered tells whether an operation of that ID is to be remembered at all.
func remembered(id msg.OpID) bool { return id.Client != 0 && id.Seq != 0 }

// repeated is the result of a write that is known, when what it found isn't.
func repeated(v msg.Version) msg.Result { return msg.Result{Status: msg.Repeated, Version: v} }

// find returns the result of an operation that was carried out before.
func (rs *records) find(id msg.OpID) (msg.Result, bool) {
	if !remembered(id) {
		return msg.Result{}, false
	}
	s := rs.sessions[id.Client]
	if s == nil {
		return msg.Result{}, false
	}
	if id.Seq <= s.acked {
		return repeated(msg.Version{}), true
	}
	i, ok := s.search(id.Seq)
	if !ok {
		return msg.Result{}, false
	}
	return s.known[i].result, true
}

// past tells whether the client of an operation has said that it got the result.
func (rs *records) past(id msg.OpID) bool {
	s := rs.sessions[id.Client]
	return s != nil && remembered(id) && id.Seq <= s.acked
}

// has tells whether there is a record of that very operation.
func (rs *records) has(id msg.OpID) bool {
	s := rs.sessions[id.Client]
	if s == nil || !remembered(id) {
		return false
	}
	_, ok := s.search(id.Seq)
	return ok
}

// add remembers r, forgets what its client has got the results of, and what there
// is no room for.
func (rs *records) add(r *record, l Limits) {
	if !remembered(r.id) {
		return
	}
	s := rs.sessions[r.id.Client]
	if s == nil {
		s = new(session)
		rs.sessions[r.id.Client] = s
	}
	// A client can't have the result of what it asks for.
	r.id.Acked = max(s.acked, min(r.id.Acked, r.id.Seq-1))
	n, _ := s.search(r.id.Acked + 1)
	for _, got := range s.known[:n] {
		rs.unlink(got)
	}
	s.cut(n)
	rs.link(s, r)
	for rs.ledger.n > l.Records {
		rs.removeOldest()
	}
	for rs.bytes > l.RecordBytes {
		rs.shedOldest()
	}
}

// link puts r, which is newer than all the others, where it belongs.
func (rs *records) link(s *session, r *record) {
	r.order = rs.next
	rs.next++
	rs.ledger.add(r)
	rs.bytes += r.bytes()
	s.acked = r.id.Acked
	i, _ := s.search(r.id.Seq)
	s.known = slices.Insert(s.known, i, r)
}

func (rs *records) unlink(r *record) {
	rs.ledger.remove(r.order)
	rs.bytes -= r.bytes()
}

func (rs *records) removeOldest() {
	r := rs.ledger.oldest()
	rs.unlink(r)
	s := rs.sessions[r.id.Client]
	if len(s.known) == 1 {
		delete(rs.sessions, r.id.Client)
		return
	}
	i, _ := s.search(r.id.Seq)
	if i == 0 {
		s.cut(1)
		return
	}
	s.known = slices.Delete(s.known, i, i+1)
}

// shedOldest makes the oldest record that has an old value forget its result.
func (rs *records) shedOldest() {
	var r *record
	for r = range rs.ledger.from(rs.shed) {
		if r.bytes() > 0 {
			break
		}
	}
	rs.shed = r.order
	bare := &record{id: r.id, time: r.time, order: r.order, result: repeated(r.result.Version)}
	rs.bytes -= r.bytes()
	rs.ledger.replace(bare)
	s := rs.sessions[r.id.Client]
	i, _ := s.search(r.id.Seq)
	s.known[i] = bare
}

// forget removes the records that are too old by now.
func (rs *records) forget(now uint64) {
	for r := rs.ledger.oldest(); r != nil && r.time+recordTime <= now; r = rs.ledger.oldest() {
		rs.removeOldest()
	}
}
