package server

import (
	"cmp"
	"slices"
	"unsafe"

	"github.com/torc-dht/torc/shard/internal/msg"
	"github.com/torc-dht/torc/shard/slots"
)

// role is what a server does with a slot.
type role uint8

const (
	none    role = iota // it has nothing of it
	copying             // it is a copy
	serving             // it is the primary
	waiting             // the primary, once promises have ended
	handing             // the primary, giving it up
	gone                // given up, and nobody's until a map says whose
)

// primary says that writes are its to order.
func (r role) primary() bool { return r == serving || r == waiting || r == handing }

// mine says that what there is of the slot is this server's to send.
func (sl *slot) mine() bool { return sl.role.primary() || sl.role == gone }

// slot is what a server holds of one slot.
type slot struct {
	// What each call looks at comes first: there are many slots, and few of them in
	// a processor's cache.
	id      slots.Slot
	role    role
	starved bool // it is among Server.starved
	// whole says that a copy has everything of the slot, so that a map may
	// make it primary.
	whole   bool
	begun   bool        // of a copy: a fill has begun
	state   slots.State // as a copy
	seq     uint64
	entries map[string]*entry
	copies  []copyOf            // of a primary
	writes  fifo[*write]        // of a primary: unanswered, in order
	ops     map[uint64]*pastOps // by client

	list    []*entry // the entries, in an order that is good for walking
	clients []uint64 // of ops, in the order in which they came

	// reign numbers the times in which this server was the primary of a slot.
	// What of an earlier one is still in a queue is void.
	reign uint64
	// since is from when on a copy knows its primary's reign to have gone on
	// without a break: what that one sent under an earlier epoch is not taken.
	since slots.Epoch
	// serveAt is when a waiting slot is served, by Mono.
	serveAt int64

	primary slots.Boot // whose copy it is
	handTo  *peer      // whom the primary gives it up to
	// tail are the writes of its last primary that may have had no answer, in
	// order, once it has another: that one sends them again, or undoes them by its
	// Resync.
	tail []undone
	// logged counts its writes in the undo logs of peers.
	logged int
}

// copyOf is a copy, as the primary has it.
type copyOf struct {
	peer  *peer
	state slots.State
	begun bool // it gets the slot's writes
	sent  bool // all of a fill
}

// counts says whether the primary answers nothing without the copy: not for as long
// as it is to be filled, nor while a fill that had been reported has begun again.
func (c *copyOf) counts() bool { return c.state != slots.Filling && c.begun }

// entry is what is at a key.
type entry struct {
	msg.Entry
	pending *write // the last write of it, while that is not answered
	index   int    // in slot.list
}

// overhead is what an entry takes besides its key and value, in bytes: itself, its
// places in the map and the list.
const overhead = uint64(unsafe.Sizeof(entry{}) + 6*unsafe.Sizeof(uintptr(0)))

func size(e *msg.Entry) uint64 { return overhead + uint64(len(e.Key)) + uint64(len(e.Value)) }

func expired(e *msg.Entry, wall int64) bool { return e.Expires != 0 && e.Expires <= wall }

// put makes e what is at its key, and returns what was before, nil if nothing.
func (s *Server) put(sl *slot, e msg.Entry) (at *entry, was *msg.Entry) {
	at = sl.entries[e.Key]
	if at == nil {
		at = &entry{Entry: e, index: len(sl.list)}
		if sl.entries == nil {
			sl.entries = make(map[string]*entry)
		}
		sl.entries[e.Key] = at
		sl.list = append(sl.list, at)
		s.keys++
		s.bytes += size(&e)
		return at, nil
	}
	old := at.Entry
	s.bytes += size(&e) - size(&old)
	e.Key = old.Key
	at.Entry = e
	return at, &old
}

// drop removes what is at e's key.
func (s *Server) drop(sl *slot, e *entry) {
	last := len(sl.list) - 1
	sl.list[e.index] = sl.list[last]
	sl.list[e.index].index = e.index
	sl.list[last] = nil
	sl.list = sl.list[:last]
	delete(sl.entries, e.Key)
	s.keys--
	s.bytes -= size(&e.Entry)
}

// empty forgets all that is in a slot, as nobody's.
func (s *Server) empty(sl *slot) {
	for _, e := range sl.list {
		s.bytes -= size(&e.Entry)
	}
	s.keys -= uint64(len(sl.list))
	*sl = slot{id: sl.id, logged: sl.logged}
}

// unanswered returns the write with a number, if it has no answer yet.
func (sl *slot) unanswered(seq uint64) *write {
	for i := range sl.writes.len() {
		if w := *sl.writes.at(i); w.seq == seq {
			return w
		}
	}
	return nil
}

// pastOps are the writes of a client that have been carried out in a slot.
type pastOps struct {
	oldest uint64   // those before it have been answered
	list   []pastOp // by number
}

type pastOp = msg.Op

func (p *pastOps) search(number uint64) (int, bool) {
	return slices.BinarySearchFunc(p.list, number, func(o pastOp, number uint64) int { return cmp.Compare(o.Number, number) })
}

func (p *pastOps) find(number uint64) *pastOp {
	if i, ok := p.search(number); ok {
		return &p.list[i]
	}
	return nil
}

// remember notes that op was carried out.
func (sl *slot) remember(op msg.Op) {
	if op.Client == 0 {
		return
	}
	past := sl.ops[op.Client]
	if past == nil {
		past = new(pastOps)
		if sl.ops == nil {
			sl.ops = make(map[uint64]*pastOps)
		}
		sl.ops[op.Client] = past
		sl.clients = append(sl.clients, op.Client)
	}
	if op.Oldest > past.oldest {
		past.oldest = op.Oldest
		past.list = slices.DeleteFunc(past.list, func(o pastOp) bool { return o.Number < op.Oldest })
	}
	if i, ok := past.search(op.Number); ok {
		past.list[i] = op
	} else {
		past.list = slices.Insert(past.list, i, op)
	}
}

// disremember undoes remember.
func (sl *slot) disremember(op msg.Op) {
	if past := sl.ops[op.Client]; past != nil {
		past.list = slices.DeleteFunc(past.list, func(o pastOp) bool { return o.Number == op.Number })
	}
}

// forgetOps forgets what clients wrote before a time.
func (sl *slot) forgetOps(since int64) {
	sl.clients = slices.DeleteFunc(sl.clients, func(c uint64) bool {
		past := sl.ops[c]
		past.list = slices.DeleteFunc(past.list, func(o pastOp) bool { return o.At < since })
		if len(past.list) > 0 {
			return false
		}
		delete(sl.ops, c)
		return true
	})
}

// past are all the writes that are remembered.
func (sl *slot) past() []msg.Op {
	var all []msg.Op
	for _, c := range sl.clients {
		past := sl.ops[c]
		for _, op := range past.list {
			op.Oldest = past.oldest
			all = append(all, op)
		}
	}
	return all
}
