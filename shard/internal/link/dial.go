package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"

	"github.com/torc-dht/torc/internal/grpcdial"
	pb "github.com/torc-dht/torc/shard/internal/link/shardpb"
	"github.com/torc-dht/torc/shard/internal/msg"
)

// Why a connection failed or ended; what is reported wraps one of these where it
// is known, and says who was called.
var (
	// ErrRefused: nobody listens at the address.
	ErrRefused = grpcdial.ErrRefused
	// ErrSilent: somebody does, and says nothing: it is stopped, or hangs.
	ErrSilent = grpcdial.ErrSilent
	// ErrForeign: what answers is no torc, or not of this kind.
	ErrForeign = grpcdial.ErrForeign
	// ErrVersion: it is torc, and speaks another version of the protocol.
	ErrVersion = errors.New("another version")
	// ErrDeclined: it is torc, and doesn't want the call: it is a master that
	// doesn't lead, say.
	ErrDeclined = grpcdial.ErrDeclined
	// ErrQueueFull: what waited for the other side was more than
	// Options.QueueBytes, and is thrown away.
	ErrQueueFull = errors.New("it took less than it was sent")
	// ErrClosed: this side ended it.
	ErrClosed = errors.New("closed")
)

// call is a stream that this side opened.
type call struct {
	grpc.ClientStream
	channel *grpcdial.Conn
	ctx     context.Context
	cancel  context.CancelCauseFunc
	welcome *pb.Welcome
}

// open calls addr and waits until the other side has said who it is. The call
// ends with ctx, and must be closed.
func open(
	ctx context.Context, addr string, o *Options, opening *pb.Opening,
	start func(context.Context, grpc.ClientConnInterface) (grpc.ClientStream, error),
) (_ *call, err error) {
	ch, err := o.dial(addr)
	if err != nil {
		return nil, err
	}
	c := &call{channel: ch}
	c.ctx, c.cancel = context.WithCancelCause(ctx)
	defer func() {
		if err != nil {
			err = c.explain(err)
			c.close()
		}
	}()
	silent := time.AfterFunc(openTimeout, func() { c.cancel(ErrSilent) })
	defer silent.Stop()
	if c.ClientStream, err = start(c.ctx, ch); err != nil {
		return nil, err
	}
	opening.Version = msg.Version
	if c.welcome, err = c.greet(opening); err != nil {
		return nil, err
	}
	return c, nil
}

// greet says who calls, and returns who answers.
func (c *call) greet(opening *pb.Opening) (*pb.Welcome, error) {
	// Where sending fails, receiving says why.
	if err := c.SendMsg(&frame{opening: opening}); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	var f frame
	if err := c.RecvMsg(&f); err != nil {
		return nil, err
	}
	switch v := f.welcome.GetVersion(); {
	case f.welcome == nil:
		return nil, fmt.Errorf("%w: it doesn't say who it is", ErrForeign)
	case v != msg.Version:
		return nil, fmt.Errorf("%w: it speaks %d, and this one %d; run the same torc everywhere",
			ErrVersion, v, msg.Version)
	}
	return f.welcome, nil
}

// explain says what an error of the call means.
func (c *call) explain(err error) error {
	cause := context.Cause(c.ctx)
	if cause != nil && !errors.Is(cause, ErrSilent) {
		return fmt.Errorf("%s: %w", c.channel.Addr(), cause)
	}
	err = c.channel.Explain(err)
	if cause != nil && !errors.Is(err, ErrForeign) {
		return fmt.Errorf("%s: %w", c.channel.Addr(), ErrSilent)
	}
	return err
}

// run writes what comes into out, and hands what comes to in, until the call ends
// or in returns false; it says why.
func (c *call) run(out *outbox, in func([]msg.Message) bool) error {
	written := make(chan struct{})
	go func() {
		defer close(written)
		if err := out.write(c.ctx, c); err != nil && c.ctx.Err() == nil {
			// Reading returns what is to be known.
			_ = c.CloseSend()
		}
	}()
	var err error
	for {
		var f frame
		if err = c.RecvMsg(&f); err != nil {
			break
		}
		if len(f.msgs) > 0 && !in(f.msgs) {
			break
		}
	}
	if err == nil {
		err = ErrClosed
	}
	err = c.explain(err)
	c.cancel(ErrClosed)
	<-written
	out.close(ErrClosed)
	return err
}

func (c *call) close() {
	c.cancel(ErrClosed)
	_ = c.channel.Close() // fails only if it is closed already
}

// backoff is the time between attempts, up to a most.
type backoff struct{ next, most time.Duration }

// wait waits for the next attempt, and says whether there is one.
func (b *backoff) wait(ctx context.Context) bool {
	b.next = min(max(2*b.next, minBackoff), b.most)
	t := time.NewTimer(b.next)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (b *backoff) reset() { b.next = 0 }
