package link

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/torc-dht/torc/shard/internal/msg"
	"github.com/torc-dht/torc/shard/slots"
)

// Conn is one connection, for as long as it is: what is sent on it arrives in
// order up to some message, and nothing after that. A connection made later has a
// Conn of its own, so that nobody who hasn't yet heard of the break can send on
// the new one what continues the former. Its methods wait for nothing and are
// safe for concurrent use.
type Conn struct {
	// Addr and Boot are the other side's.
	Addr string
	Boot slots.Boot

	out *outbox
	end context.CancelCauseFunc
}

// Send puts a message into the queue, and says whether it is there: not if the
// connection is over, nor if the queue is full, and then the connection is over,
// with all that waits; what was not acknowledged is to be sent again on the next
// one. Who waits for acknowledgements before it sends more than a few MB never
// gets there.
//
// The message and what it points at are not changed afterwards.
func (c *Conn) Send(m msg.Message) bool {
	err := c.out.put(m)
	if errors.Is(err, ErrQueueFull) {
		c.end(err)
	}
	return err == nil
}

// Queued is about how many bytes wait, or are being written.
func (c *Conn) Queued() int { return c.out.queued() }

// Reset ends the connection at once. It is for a peer that is silent: TCP itself
// would try again at longer and longer intervals, and come back seconds after the
// network has.
func (c *Conn) Reset(why error) {
	c.out.close(why)
	c.end(why)
}

// End ends a server's connection to this master, once what was sent is on its
// way or can't be, and tells the server why. A connection that this side made is
// better Reset.
func (c *Conn) End(why string) {
	c.out.finish(func() { c.end(status.Error(codes.Aborted, why)) })
}
