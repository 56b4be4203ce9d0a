package msg

import (
	"time"

	"go.etcd.io/raft/v3/raftpb"
)

// MaxNodes is how many addresses a servers.txt may have. A slot is the place of
// an address among them in sorted order, from 0; it is the node's rank, too.
const MaxNodes = 4

// ID names one membership of one node: the slot in the two lowest bits, chance
// above. A node takes another one whenever it starts, and whenever it leaves an
// epoch for another, so an ID never votes after its node has forgotten anything.
// It is the node's ID in raft. 0 is none.
type ID uint64

// NewID makes an ID of 64 random bits. It is never 0, nor one of the two highest,
// which raft keeps for itself.
func NewID(slot int, random uint64) ID {
	random &^= 1 << 63
	if random>>2 == 0 {
		random = 1 << 2
	}
	return ID(random&^3 | uint64(slot))
}

// Slot returns the slot of the node whose membership id names.
func (id ID) Slot() int { return int(id & 3) }

// Epoch names a lineage: one raft group, from its founding on. Numbers grow, and no two
// servers ever take the same: each founds those that leave its slot as the remainder
// by MaxNodes. The zero Epoch is none.
type Epoch struct {
	Number  uint64
	Founder ID
}

// Point is where a lineage left the last normal one.
type Point struct {
	// Epoch is the last normal epoch; zero for a history that began afresh.
	Epoch Epoch
	// Term and Index are those of the last entry that the founder had.
	Term, Index uint64
	// Seq is the number of the last write that the founder knew to be committed:
	// what the two lineages have in common for certain.
	Seq uint64
}

// Lineage is how an epoch stands.
type Lineage struct {
	Epoch Epoch
	// Normal: its answers bear no label. It grows out of being degraded when
	// every address is a member.
	Normal bool
	// Fork is where it came from; in a normal epoch it no longer matters.
	Fork Point
}

// View is who has to have an entry before anybody is answered by it. It is an
// entry of the log itself.
type View struct {
	// Number grows by one with each view of an epoch.
	Number  uint64
	Members []ID // by slot
	Lineage Lineage
	// Forgotten are nodes that a person has given up, by their last IDs.
	Forgotten []ID
	// Normals are the normal epochs that this history went through, the newest
	// last: at most MaxNormals.
	Normals []Epoch
	// Since is when the epoch began, or became normal: milliseconds since 1970 by
	// the clock of the leader of then.
	Since uint64
}

// MaxNormals is how many past epochs a view remembers.
const MaxNormals = 16

// Has tells whether id is a member.
func (v *View) Has(id ID) bool {
	for _, m := range v.Members {
		if m == id {
			return true
		}
	}
	return false
}

// Version names one write: the number of the epoch in which it was applied, and
// its place among all writes that its history has applied.
type Version struct {
	Epoch uint64
	Seq   uint64
}

// Compare orders versions: by epoch, then by place.
func (v Version) Compare(w Version) int {
	switch {
	case v.Epoch < w.Epoch, v.Epoch == w.Epoch && v.Seq < w.Seq:
		return -1
	case v == w:
		return 0
	}
	return 1
}

// OpID names an operation for good, so that one that is sent again is not carried
// out again.
type OpID struct {
	// Client is chosen at random by who sends; 0: the operation is not remembered.
	Client uint64
	// Seq is the operation's number, from 1.
	Seq uint64
	// Acked: the client has the results of all its operations of numbers up to and
	// including this one, and won't ask for them again.
	Acked uint64
}

// OpKind is what an operation does.
type OpKind uint8

// The kinds of operation.
const (
	Get    OpKind = iota + 1 // read
	Put                      // write under Cond; the result has the old entry
	Delete                   // remove; the result has the old entry
	Merge                    // take over a write of a lineage that is given up
	Expire                   // nothing: the time that it brings along is what counts
	Forget                   // give up the server at the slot in Version.Seq; no entry is concerned
)

// Cond is what must hold for a Put to be carried out.
type Cond uint8

// The conditions.
const (
	Always    Cond = iota
	IfAbsent       // no entry
	IfPresent      // an entry
	IfVersion      // the entry named by Op.Version
)

// Op is what a client asks for.
type Op struct {
	ID    OpID
	Kind  OpKind
	Cond  Cond
	Key   string
	Value []byte
	// Version is that of IfVersion; in a Merge that of the write taken over.
	Version Version
	// TTL is how long what is put lives; 0 is for ever. The leader makes Expires
	// of it, in microseconds of the log's time, when it proposes.
	TTL     time.Duration
	Expires uint64

	// Of a Merge: when the write was applied first, in microseconds of its log's
	// time; whether it removed the key; and where its lineage had left Fork.Epoch.
	Time    uint64
	Removed bool
	Fork    Point
}

// Status is what became of an operation.
type Status uint8

// What becomes of operations.
const (
	OK         Status = iota + 1
	NotFound          // no entry: for Get, Delete, IfPresent and IfVersion
	Exists            // IfAbsent found one
	Conflict          // IfVersion found another one
	Full              // there is no room; nothing was changed
	Superseded        // a Merge lost against what was there
	Repeated          // carried out before, and what it found is no longer remembered
)

// Result is what an operation found and did.
type Result struct {
	Status Status
	// Found tells whether there was an entry at the key, and OldVersion is its
	// version. Old is its value, if the operation read, replaced or removed it: who
	// was refused doesn't get it.
	Found      bool
	Old        []byte
	OldVersion Version
	// Version is that of the write, if it was carried out.
	Version Version
	// Degraded is the epoch's number if this answer bears the label, else 0.
	Degraded uint64
}

// Kind is what a message is.
type Kind uint8

// The kinds of message.
const (
	KindReport  Kind = iota + 1 // how its sender stands: several times a second, and when it changes
	KindRaft                    // raft's messages, and how far is visible
	KindOps                     // clients' operations, for a leader or somebody who knows one
	KindReplies                 // their results
	KindRead                    // asks up to where to read
	KindReadAt                  // the answer
	KindChunk                   // a part of a snapshot
	KindChunkOK                 // it has arrived
)

// Message is what one node sends another. Which fields count depends on the kind.
type Message struct {
	Kind Kind
	// Epoch is the lineage that the message belongs to: Raft, Read, ReadAt, Chunk,
	// ChunkOK.
	Epoch Epoch
	// From and To are the IDs of sender and receiver in it; To is 0 where any
	// membership will do.
	From, To ID

	Report  *Report           // Report
	Raft    []*raftpb.Message // Raft
	Visible uint64            // Raft: the index up to which entries are visible
	Ops     []Request         // Ops
	Replies []Reply           // Replies
	Ref     uint64            // Read, ReadAt: which; Chunk, ChunkOK: the transfer
	Index   uint64            // ReadAt: the index; Chunk, ChunkOK: the chunk's number, from 0
	Last    bool              // Chunk: it is the last one
	Data    []byte            // Chunk
}

// Request is an operation on its way.
type Request struct {
	Ref  uint64 // its sender's name for it
	Hops uint8  // how many nodes have passed it on
	Op   *Op
}

// Reply answers a Request.
type Reply struct {
	Ref    uint64
	Again  bool // not carried out by who answers, who can't: ask elsewhere
	Result Result
}

// Report is how a node stands.
type Report struct {
	// ID is what it is called in its lineage, or will be in the next.
	ID ID
	// View is that of its lineage; of an empty Lineage.Epoch: it has none. It may
	// be a candidate for membership, with no view of its own.
	View View
	// Leader is who leads its lineage as far as it knows, heard within an election
	// time-out; 0: nobody.
	Leader ID
	// Joining is the epoch that it would like to be added to.
	Joining Epoch
	// Lost: it has been without a leader for so long that it may found an epoch.
	Lost bool
	// Hears has a bit for each slot that it has heard from lately.
	Hears uint8
	// Lineage is where what it holds comes from, for who is to found, with the last
	// entry's term and index, and whether it was a member of the view.
	Lineage   Lineage
	LastTerm  uint64
	LastIndex uint64
	Member    bool
	// Highest is the highest number of an epoch that it has heard of.
	Highest uint64
}
