package msg

import "github.com/torc-dht/torc/shard/slots"

// Version is that of the protocol. A master refuses servers of another.
const Version = 1

// Message is one of the types of this package, by pointer.
type Message interface{ message() }

func (*Hello) message()     {}
func (*Prepare) message()   {}
func (*Report) message()    {}
func (*Refuse) message()    {}
func (*Beat) message()      {}
func (*Granted) message()   {}
func (*MapUpdate) message() {}
func (*Filled) message()    {}
func (*HandOver) message()  {}
func (*GaveUp) message()    {}
func (*DropCopy) message()  {}
func (*Leave) message()     {}
func (*Released) message()  {}
func (*Ask) message()       {}
func (*Batch) message()     {}
func (*Ack) message()       {}

// Hello is the first message of a server to a master, on each connection.
type Hello struct {
	Version uint32
	Addr    string // host:port, where it is reached
	Boot    slots.Boot
	// Promised is the highest epoch's term, and whose, that it has promised to
	// follow, or has a map of.
	Promised slots.Epoch
}

// Prepare asks a server to follow this master and refuse everyone of a lower
// term, or of the same term and another boot ID.
type Prepare struct {
	Term uint64
	Boot slots.Boot
}

// Report is a server's promise, and what it knew when it gave it.
type Report struct {
	Term uint64     // of the Prepare that it answers
	Boot slots.Boot // of the Prepare
	// Map is the one that it stands on, nil if it has none.
	Map *slots.Map
	// Acked is the last epoch in full force at this server: see Beat.
	Acked slots.Epoch
	// GaveUp are slots that it gave up under Map and has not got back since.
	GaveUp []GaveUp
	// Leaving says that it wants to go.
	Leaving bool
}

// Refuse ends a connection, and says why, in words for a person.
type Refuse struct {
	Reason string
	// Promised is set where the sender follows a master of a higher term.
	Promised slots.Epoch
	// Final says that the same boot need not come again.
	Final bool
}

// Beat is a server's sign of life to its master, several times a second.
type Beat struct {
	// Sent is the server's own clock when it sent it.
	Sent int64
	// Epoch is the server's map's, and Acked the last one in full force: as a
	// primary, it has nothing answered that one of that map's Joining copies
	// has not got.
	Epoch, Acked slots.Epoch
	// Full says that it takes no more bytes.
	Full bool
	// Keys and Bytes that it holds, Limit how many bytes it may.
	Keys, Bytes, Limit uint64
	// Distrusted are servers to whom its connection has not been good for long
	// enough to make copies there.
	Distrusted []slots.Boot
	// Fills are its fills under way.
	Fills []Fill
}

// Fill says how far the filling of a server's copies is.
type Fill struct {
	To          slots.Boot
	Slots, Left uint32 // slots in all, and not begun
	Keys, Bytes uint64 // sent
}

// Granted is a promise, in answer to a Beat or an Ask that was Sent: by a server,
// not to serve a slot that the asker has until Lease is over; by the master, not
// to give a slot away that the asker alone has. Who gets it counts from Sent by
// its own clock, who gives it from when the question came.
type Granted struct {
	Sent int64
	// Epoch is the giver's. Full says that it takes no more bytes.
	Epoch slots.Epoch
	Full  bool
}

// MapUpdate is a map that the sender stands on.
type MapUpdate struct{ Map *slots.Map }

// Filled says that all copies on a server that are Filling under Epoch, with the
// sender as primary, have everything.
type Filled struct {
	Epoch slots.Epoch
	Boot  slots.Boot
}

// HandOver asks a primary to give slots up to a copy that is InSync under Epoch.
type HandOver struct {
	Epoch slots.Epoch
	To    slots.Boot
	Slots []slots.Slot
}

// GaveUp says that the sender serves these slots no more, until a map later than
// Epoch says who does, and that To has all that it had.
type GaveUp struct {
	Epoch slots.Epoch
	To    slots.Boot
	Slots []slots.Slot
}

// DropCopy asks for an epoch in which the sender's slots have no copies on a server
// that it can't reach: those that have been as they are since Epoch or before. Others
// the master passes over.
type DropCopy struct {
	Epoch  slots.Epoch
	Boot   slots.Boot
	Reason string
}

// Leave says that the sender wants to hand over all it has and go.
type Leave struct{}

// Released says to who wants to Leave that nothing is left with it.
type Released struct{}

// Ask asks a copy for a promise; see Granted.
type Ask struct {
	Sent  int64
	Epoch slots.Epoch
	// Answered is as in a Batch.
	Answered uint64
}

// Batch is what a primary sends its copies: writes and parts of fills, in order.
// Items are numbered from First on, from 1, for as long as both processes live:
// after a new connection the sender repeats what was not acknowledged, and the
// receiver passes over what it has.
type Batch struct {
	Epoch slots.Epoch // the sender's
	// Answered is the number up to which all items are with everyone who is to
	// have them, so that none of them is ever to be undone.
	Answered uint64
	First    uint64
	Items    []Item
}

// Ack says that all items up to a number have been taken.
type Ack struct{ Upto uint64 }

// Kind says what an item is.
type Kind uint8

// The kinds of items.
const (
	Write  Kind = iota // one write; Entry.Gone says that it removes the key, no Key that it was refused
	Begin              // the copy forgets what it has of the slot: a fill of it begins
	Chunk              // Entries that were there before
	Past               // Ops that were answered before
	End                // the copy has all of the slot
	Resync             // from a new primary, after all that it has: the copy undoes former primaries' writes after Seq
)

// Item is one step of a slot's copy.
type Item struct {
	Kind  Kind
	Slot  slots.Slot
	Seq   uint64 // the slot's last write, after this item
	Entry Entry  // of a Write
	Op    Op     // of a Write: whose it was
	// Entries of a Chunk, and Ops of a Past.
	Entries []Entry
	Ops     []Op
}

// Entry is what a table holds at a key. Its Value is not changed by anybody.
type Entry struct {
	Key     string
	Value   []byte
	Flags   uint32
	Marks   uint8
	Gone    bool
	Version uint64 // the slot's number of the write that made it
	Expires int64  // Unix nanoseconds; 0 is never
}

// Op is a client's write that was carried out. The zero Op is nobody's.
type Op struct {
	Client, Number uint64
	// Oldest is the lowest number of the client that had no answer when it sent
	// this one.
	Oldest uint64
	// Version is the number of the write in its slot, and Outcome what it was
	// answered: 0 is that it was done, others are the executor's. A write that was
	// refused because of what is at its key has a number, too, and no Entry.
	Version uint64
	Outcome uint8
	// At is when it was carried out, Unix nanoseconds.
	At int64
}
