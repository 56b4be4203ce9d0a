package link

import (
	"context"

	"github.com/torc-dht/torc/chord/internal/msg"
	"github.com/torc-dht/torc/chord/internal/ring"
)

// Event is what an event loop is told: one of the types below. Up and Down of one peer
// come in order, and so does what is Received from one.
type Event interface{ event() }

func (Up) event()       {}
func (Down) event()     {}
func (Received) event() {}
func (Rejected) event() {}

// Up says that there is a connection to Peer, perhaps another one than before: what
// was sent and not acknowledged may be lost, and is to be sent again.
type Up struct{ Peer ring.Ref }

// Down says that the connection to Peer is lost, or could not be made, and that what
// waited for it is thrown away. Refused: that process is no more, since nobody listens
// where it did, or another one does. A process that is stopped, or cut off, is never
// Refused. Err says what happened.
type Down struct {
	Peer    ring.Ref
	Refused bool
	Err     error
}

// Received are messages of From that came together, in order. They are the receiver's,
// and point to nothing that is used otherwise.
type Received struct {
	From ring.Ref
	Msgs []msg.Message
}

// Rejected says that this node and the one at Addr can't talk: they are of two rings,
// or of one ring and not of one mind about it. Reason is for a person. It comes at each
// attempt of either side.
type Rejected struct {
	Addr   string
	Reason string
}

// emit hands an event to a loop, and says whether it took it before ctx ended. A
// loop that is slow holds up who emits, and so the peer.
func emit(ctx context.Context, events chan<- Event, e Event) bool {
	if ctx.Err() != nil {
		return false
	}
	select {
	case events <- e:
		return true
	case <-ctx.Done():
		return false
	}
}
