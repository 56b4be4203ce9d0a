package link

import (
	"context"
	"time"

	"github.com/torc-dht/torc/chord/internal/msg"
	"github.com/torc-dht/torc/chord/internal/place"
	"github.com/torc-dht/torc/chord/internal/ring"
)

// Calls is what a node does for tools. They come from many goroutines at once; a
// context is done when the caller has gone, or the mesh is closed. An error is the
// caller's to read: of Resolve one that wraps ring.ErrNoWay keeps that, all others are
// ErrDeclined to the caller.
type Calls interface {
	// Status is how the node is. Its Info is filled in by the mesh.
	Status(context.Context) (Status, error)
	// Resolve looks for the owner of a place.
	Resolve(ctx context.Context, target place.Place) (Resolved, error)
	// Leave has the node begin to hand over all that it owns. It ends by itself when
	// that is done, and doesn't wait for it here.
	Leave(context.Context) error
	// Fail has the node tell the ring that it is gone. Once that is on its way
	// (Mesh.Flush) it returns, and the node ends: Mesh.Close lets the answer out.
	Fail(context.Context) error
}

// Info is who a node is.
type Info struct {
	// Version is that of its protocol.
	Version int
	// Ring was drawn by its ring's first node.
	Ring uint64
	// The ring has 2^Bits places, and keeps each pair on Replicas nodes besides its
	// owner; MaxValue is the longest value, in bytes.
	Bits, Replicas int
	MaxValue       int
	Self           ring.Ref
	// Joined: it serves its own place.
	Joined bool
}

// Status is how a node is.
type Status struct {
	Info
	Predecessor ring.Ref   // nobody where it isn't known
	Successors  []ring.Ref // the list
	Fingers     []ring.Ref // Bits of them, nobody where they are not known; nil: none is
	Suspects    []ring.Ref // who doesn't answer
	Lost        []ring.Ref // who is remembered, to be asked after

	// Claim is by which it owns what it does, without its bases; the Owner is nobody
	// if it owns nothing. Serving: it answers.
	Claim   msg.Claim
	Serving bool
	// Holders hold copies of what it owns. Whole: there are as many as there have to
	// be, and each has everything.
	Holders []Holder
	Whole   bool
	// Holdings are its copies of what others own; claims without their bases.
	Holdings []msg.Holding

	Keys  uint64 // that it owns
	Held  uint64 // that it has, copies for others as well
	Bytes uint64 // of all those
	Limit uint64 // of bytes; 0: none
	Counts
}

// Holder is a node with a copy.
type Holder struct {
	Node     ring.Ref
	Complete bool // it has everything; else it is being sent it
}

// Counts are since the node started.
type Counts struct {
	TakeOvers   uint64 // spans taken over from who was gone
	HandOffs    uint64 // spans handed to who came
	TakenEmpty  uint64 // of those taken over, the ones that nobody had a copy of
	Overwritten uint64 // entries that lost against a later one when rings met
}

// Resolved is where a place lies.
type Resolved struct {
	Owner ring.Ref
	Span  msg.Span // that the owner owns around it, as far as is known
	Hops  []Hop    // who was asked, in order
	Took  time.Duration
}

// Hop is a node that was asked on the way.
type Hop struct {
	Node   ring.Ref
	Silent bool // it did not answer in time
	Took   time.Duration
}
