package link

import (
	"context"

	"github.com/torc-dht/torc/shard/internal/msg"
	"github.com/torc-dht/torc/shard/slots"
)

// Event is what an event loop is told: one of the types below. Those of one
// connection come in order.
type Event interface{ event() }

func (PeerUp) event()         {}
func (PeerDown) event()       {}
func (PeerFailed) event()     {}
func (PeerReplaced) event()   {}
func (PeerOpened) event()     {}
func (PeerMessages) event()   {}
func (PeerClosed) event()     {}
func (MasterUp) event()       {}
func (MasterDown) event()     {}
func (MasterFailed) event()   {}
func (MasterMessages) event() {}
func (Attached) event()       {}
func (ServerMessages) event() {}
func (Detached) event()       {}

// Events of [Peers].
type (
	// PeerUp says that there is a connection to Conn.Boot. What was not
	// acknowledged on the former one may be lost.
	PeerUp struct{ Conn *Conn }
	// PeerDown follows PeerUp when the connection is over. Err is ErrQueueFull
	// where that was because the peer took less than it was sent.
	PeerDown struct {
		Peer slots.Boot
		Err  error
	}
	// PeerFailed says that an attempt to connect failed, and another one
	// follows. ErrRefused, which proves nothing by itself, is one reason.
	PeerFailed struct {
		Peer slots.Boot
		Err  error
	}
	// PeerReplaced says that another process answers at Peer's address, so that
	// Peer is no more. No further attempt follows.
	PeerReplaced struct{ Peer, By slots.Boot }
)

// Events of a [Service], from servers to a server.
type (
	// PeerOpened says that messages of From may follow. If there was a stream of
	// its before, PeerClosed came for that one.
	PeerOpened struct {
		From slots.Boot
		Addr string
	}
	// PeerMessages are some that came together. The receiver has them to itself.
	PeerMessages struct {
		From slots.Boot
		Msgs []msg.Message
	}
	// PeerClosed says that no more of them follow.
	PeerClosed struct {
		From slots.Boot
		Err  error
	}
)

// Events of an [Attachment].
type (
	// MasterUp says that a master takes messages: it expects a msg.Hello first.
	MasterUp struct{ Conn *Conn }
	// MasterMessages are some that came together.
	MasterMessages struct{ Msgs []msg.Message }
	// MasterDown follows MasterUp when the connection is over.
	MasterDown struct {
		Addr string
		Err  error
	}
	// MasterFailed says that an attempt failed: see ErrRefused, ErrForeign and
	// ErrDeclined. Another one follows, at the next address.
	MasterFailed struct {
		Addr string
		Err  error
	}
)

// Events of a [Service], from servers to a master.
type (
	// Attached says that a server is connected.
	Attached struct{ Conn *Conn }
	// ServerMessages are some that came together.
	ServerMessages struct {
		Conn *Conn
		Msgs []msg.Message
	}
	// Detached follows Attached when the connection is over.
	Detached struct {
		Conn *Conn
		Err  error
	}
)

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
