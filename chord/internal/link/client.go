package link

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/torc-dht/torc/internal/grpcdial"

	pb "github.com/torc-dht/torc/chord/internal/link/chordpb"
	"github.com/torc-dht/torc/chord/internal/msg"
	"github.com/torc-dht/torc/chord/internal/place"
	"github.com/torc-dht/torc/chord/internal/ring"
)

// Why a call failed, or a peer can't be reached; errors wrap one of these where it is
// known, and say who was called.
var (
	// ErrRefused: nobody listens at the address.
	ErrRefused = grpcdial.ErrRefused
	// ErrSilent: somebody does, and says nothing: it is stopped, or hangs.
	ErrSilent = grpcdial.ErrSilent
	// ErrForeign: what answers is no torc, or not of this kind.
	ErrForeign = grpcdial.ErrForeign
	// ErrDeclined: it is a node, and doesn't want the call.
	ErrDeclined = grpcdial.ErrDeclined
	// ErrVersion: it is a node that speaks another version of the protocol.
	ErrVersion = errors.New("another version")
	// ErrReplaced: another process listens there now.
	ErrReplaced = errors.New("another process listens there")
	// ErrQueueFull: it took less than it was sent.
	ErrQueueFull = errors.New("it took less than it was sent")
	// ErrClosed: this side ended it.
	ErrClosed = errors.New("closed")
)

// Client asks one node what a tool, a table or a node that wants to join has to know.
// It connects when it is first asked, and again as needed. Safe for concurrent use.
type Client struct {
	conn *grpcdial.Conn
	node pb.NodeClient
}

// NewClient returns a client for the node at addr, host:port. It has to be closed.
func NewClient(addr string, o Options) (*Client, error) {
	conn, err := grpcdial.New(addr, grpcdial.Config{TLS: o.TLS, Dialer: o.Dialer}, o.dialOptions()...)
	if err != nil {
		return nil, err
	}
	return &Client{conn, pb.NewNodeClient(conn)}, nil
}

// Close ends what is under way.
func (c *Client) Close() error { return c.conn.Close() }

// Info asks who it is. It is ErrVersion if it speaks another version of the protocol;
// what it says of itself is returned all the same, as far as it can be read.
func (c *Client) Info(ctx context.Context) (Info, error) {
	w, err := c.node.Info(ctx, &pb.InfoRequest{})
	if err != nil {
		return Info{}, c.conn.Explain(err)
	}
	return read(c, w.GetVersion(), func(r *reader) Info { return r.info(w) })
}

// Status asks how it is.
func (c *Client) Status(ctx context.Context) (Status, error) {
	w, err := c.node.Status(ctx, &pb.StatusRequest{})
	if err != nil {
		return Status{}, c.conn.Explain(err)
	}
	return read(c, w.GetInfo().GetVersion(), func(r *reader) Status { return r.status(w) })
}

// Resolve asks it to look for the owner of a place. The error wraps ring.ErrNoWay if
// none of the nodes on the way answers it.
func (c *Client) Resolve(ctx context.Context, target place.Place) (Resolved, error) {
	w, err := c.node.Resolve(ctx, &pb.ResolveRequest{Place: target.String()})
	if status.Code(err) == codes.NotFound {
		return Resolved{}, fmt.Errorf("%s: %w", c.conn.Addr(), ring.ErrNoWay)
	}
	if err != nil {
		return Resolved{}, c.conn.Explain(err)
	}
	return read(c, msg.Version, func(r *reader) Resolved { return r.resolved(w) })
}

// Leave has it begin to hand over all that it owns, and end.
func (c *Client) Leave(ctx context.Context) error {
	_, err := c.node.Leave(ctx, &pb.LeaveRequest{})
	return c.conn.Explain(err)
}

// Fail has it tell the ring that it is gone, and end without handing anything over.
// When it returns without an error the ring was told; the process is about to end.
func (c *Client) Fail(ctx context.Context) error {
	_, err := c.node.Fail(ctx, &pb.FailRequest{})
	return c.conn.Explain(err)
}

// read reads an answer of a node of some version.
func read[T any](c *Client, version uint32, from func(*reader) T) (T, error) {
	var r reader
	v := from(&r)
	switch {
	case version != msg.Version:
		return v, fmt.Errorf("%s: %w", c.conn.Addr(), otherVersion(version))
	case r.err != nil:
		return v, fmt.Errorf("%s: what it answers can't be read: %w", c.conn.Addr(), r.err)
	}
	return v, nil
}

func otherVersion(theirs uint32) error {
	return fmt.Errorf("%w: it speaks %d, and this one %d; run the same torc everywhere", ErrVersion, theirs, msg.Version)
}
