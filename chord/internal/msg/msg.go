package msg

import (
	"cmp"

	"github.com/torc-dht/torc/chord/internal/place"
	"github.com/torc-dht/torc/chord/internal/ring"
)

// Version is that of the protocol. Nodes of two versions don't talk.
const Version = 1

// Span is the places clockwise from From, without it, to To, with it; if both are the
// same, all there are.
type Span struct{ From, To place.Place }

// Term orders claims on one place: the higher one is right. By its number, then by
// who drew it.
type Term struct {
	Number, Boot uint64
	// Bare: something of what there had been was nowhere to be found when the span was
	// taken over. Who has it may come back, and then a bare claim gives way.
	Bare bool
}

// Compare is -1 if t is lower than o, 0 if it is the same, 1 if it is higher.
func (t Term) Compare(o Term) int {
	return cmp.Or(cmp.Compare(t.Number, o.Number), cmp.Compare(t.Boot, o.Boot))
}

// Claim is a node's word that it owns a span.
type Claim struct {
	Span  Span
	Owner ring.Ref
	Term  Term
	// Config counts the sets of holders under this term: all that the owner answered
	// is with every holder of the newest one.
	Config uint64
	// Graves is until when what is removed leaves a tombstone, in microseconds since
	// 1970: somebody was lost who may come back with what there was.
	Graves uint64
	// Bases are whose claims it goes back to, the last ones.
	Bases []Base
}

// MaxBases is how many a claim remembers.
const MaxBases = 16

// Base is what a claim on a span, or a part of it, was made from: an earlier claim, as
// it was with the holder that had most of it.
type Base struct {
	Span   Span
	Term   Term
	Config uint64
	Seq    uint64
}

// Holding is what a node has of a claim on a span.
type Holding struct {
	Span  Span // a part of Claim.Span
	Claim Claim
	// Seq is the claim's last write that it has. Complete: it has all up to that one.
	Seq      uint64
	Complete bool
	// Serving: it is the owner, and answers.
	Serving bool
}

// OpID names a write that its client may repeat: see memcache.OpID. The zero OpID
// names nothing.
type OpID struct{ Client, Number, Oldest uint64 }

// Entry is what there is at a key.
type Entry struct {
	Key   string
	Value []byte
	// Stamp orders the writes of a key, and is its version: hybrid time in
	// microseconds since 1970 above, 12 bits of chance of its writer's below.
	Stamp uint64
	// Expires is when it does, in microseconds since 1970; 0: never.
	Expires uint64
	Flags   uint32 // Flags and Marks are as in store.Item
	Marks   uint8
	Removed bool // a tombstone
	By      OpID // the write
}

// Record is what came of a write, for when it is repeated. It lies at its key's place.
type Record struct {
	Op      OpID
	Place   place.Place
	Stamp   uint64 // of what it wrote; 0: it was refused
	Refusal uint8  // why
	At      uint64 // when it came, in microseconds by the receiver's own count
}

// Message is one of *ring.Message and the types below, by pointer.
type Message any

// Ping is an owner's sign of life to its first successor and to those that hold its
// copies. Sent is its own clock's. The claim's Owner is nobody if it owns nothing.
type Ping struct {
	Sent  int64
	Claim Claim
}

// Pong answers. With Promise, who sends it won't take over anything that the owner
// claims for a lease from when the Ping came; the owner counts from when it was Sent.
// Full: it takes no more bytes. Leaving: it is to hold no copies any more.
type Pong struct {
	Sent    int64
	Promise bool
	Full    bool
	Leaving bool
}

// Query asks what the receiver has, or owns, of a span.
type Query struct {
	Nonce uint64
	Span  Span
}

// Holdings answers: one for each piece that the receiver has. Claims are those of other
// owners that it knows of.
type Holdings struct {
	Nonce  uint64
	All    []Holding
	Claims []Claim
}

// Deposed says that there is a higher claim on a part of what the receiver owns.
type Deposed struct{ Claim Claim }

// Bye says that the sender leaves the ring: it has handed over all that it had, or, if it
// has Failed, hands over nothing.
type Bye struct {
	Failed bool
	// Between are its predecessor and its successors, who are neighbours now.
	Predecessor ring.Ref
	List        []ring.Ref
}

// Batch is a part of the queue of items from one process to another, in order.
// Numbers go from 1 on for as long as both processes live; what the receiver has
// already it passes over.
type Batch struct {
	First uint64
	Items []Item
}

// Ack says that all items up to a number have been taken. Full: as in Pong.
type Ack struct {
	Upto uint64
	Full bool
}

// Refused says that an item was not taken, since there is a higher claim, if Claim has
// an owner, or since the receiver hasn't got what the item adds to.
type Refused struct {
	Number uint64
	Span   Span
	Claim  Claim
}

// Kind says what an item is.
type Kind uint8

// The kinds of items.
const (
	// Write is one write of the sender's as owner: Entry, Seq, Op.
	Write Kind = iota + 1
	// Begin begins to send all that there is of Span under Claim. Purpose says why.
	Begin
	// Chunk are Entries and Records of a Span that was begun.
	Chunk
	// End ends it: what the receiver had before and didn't come is gone.
	End
	// Adopt: what the receiver has of Span, complete, is held under Claim now.
	Adopt
	// Drop: the receiver holds no copies of Span under Claim any more.
	Drop
	// Grant: the receiver owns Span under Claim; Holders have all of it, too.
	Grant
	// Want asks the receiver to send what it has of Span, for Nonce.
	Want
	// Nothing stands for an item that is not needed any more.
	Nothing
)

// Purpose is what a span is sent for.
type Purpose uint8

// The purposes.
const (
	ToHold  Purpose = iota // a copy
	ToTake                 // asked for by Want: the receiver takes it over
	ToMerge                // by an owner that was deposed: to be compared, entry by entry
)

// Item is one step.
type Item struct {
	Kind    Kind
	Purpose Purpose // of Begin, Chunk and End
	Span    Span    // of all but Write
	Claim   Claim   // of Begin, Adopt, Drop, Grant
	Term    Term    // of Write
	Seq     uint64  // of Write, Begin, Adopt, Grant: the claim's last write
	Nonce   uint64  // of Want, and of the Begin, Chunk and End that answer it
	Entry   Entry   // of Write; no Key: it was refused
	Record  Record  // of Write; no Client: it can't be told from others
	Entries []Entry
	Records []Record
	Holders []ring.Ref
}
