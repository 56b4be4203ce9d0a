package keep

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"

	"github.com/torc-dht/torc/shard/slots"
)

// A Keeper keeps the map of one table. It is safe for concurrent use, save that
// Lead is called again only after the Reign before is over.
type Keeper interface {
	// Lead returns when this process may lead. It waits for that as long as ctx
	// lasts, and for as long as it takes to reach who has to be asked; other errors
	// are those that waiting will not mend.
	Lead(ctx context.Context) (Reign, error)
	// Leader returns the host:port of the master that leads as far as this process
	// knows, or "". The error says what is in the way of knowing.
	Leader() (addr string, err error)
	// Close ends a Lead that waits and a Reign that goes on. It returns when nothing
	// is left of them, in a few seconds at most.
	Close() error
}

// A Reign is a time in which one process leads. It is safe for concurrent use, save
// that there is one Save at a time.
type Reign interface {
	// Last is the last map that was kept before this reign, or nil if there was none:
	// the table is new, or what was kept has been removed by a person.
	Last() *slots.Map
	// Leads says whether this process may act as the leader, by the clock, now. It
	// is to be asked after each wait, before anything is sent. It does not block, and
	// once false it stays so.
	Leads() bool
	// Over is closed when the reign is over. That may be a moment after Leads has
	// become false.
	Over() <-chan struct{}
	// Err says why the reign is over; nil while it isn't. It wraps ErrOver.
	Err() error
	// Save returns nil when m is kept, and will be the Last of whoever leads next
	// unless another one is saved. After an error it may be kept or not: it must not
	// be sent; it, or a later one, can be saved again, unless the error wraps ErrOver.
	// When ctx is done a Save that waits for ZooKeeper returns; one that writes to a
	// file does not. Nobody may change m any more.
	Save(ctx context.Context, m *slots.Map) error
	// Resign ends the reign, and returns when another process may lead, or when there
	// is nothing more to be done for that. It may be called at any time, and again.
	Resign()
}

var (
	// ErrOver is why nothing can be saved after a reign.
	ErrOver = errors.New("this master leads no more")
	// ErrResigned is why a reign is over that was resigned, or whose keeper was
	// closed. It comes with ErrOver.
	ErrResigned = errors.New("it has resigned")
)

// newMark draws a number that nobody else has.
func newMark() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.LittleEndian.Uint64(b[:])
}
