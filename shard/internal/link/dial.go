package link

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/torc-dht/torc/shard/internal/link/shardpb"
	"github.com/torc-dht/torc/shard/internal/msg"
)

// Why a connection failed or ended; what is reported wraps one of these where it
// is known, and says who was called.
var (
	// ErrRefused: nobody listens at the address.
	ErrRefused = errors.New("connection refused: nobody listens there")
	// ErrSilent: somebody does, and says nothing: it is stopped, or hangs.
	ErrSilent = errors.New("it accepts connections and doesn't answer")
	// ErrForeign: what answers is no torc, or not of this kind.
	ErrForeign = errors.New("that is something else")
	// ErrVersion: it is torc, and speaks another version of the protocol.
	ErrVersion = errors.New("another version")
	// ErrDeclined: it is torc, and doesn't want the call: it is a master that
	// doesn't lead, say.
	ErrDeclined = errors.New("declined")
	// ErrQueueFull: what waited for the other side was more than
	// Options.QueueBytes, and is thrown away.
	ErrQueueFull = errors.New("it took less than it was sent")
	// ErrClosed: this side ended it.
	ErrClosed = errors.New("closed")
)

// channel is a gRPC connection that knows why it failed.
type channel struct {
	*grpc.ClientConn
	addr    string
	tls     bool
	dialer  func(ctx context.Context, addr string) (net.Conn, error) // nil is net's
	last    atomic.Pointer[headConn]                                 // the connection made last
	dialErr atomic.Pointer[error]                                    // of the last attempt, if it failed
}

func newChannel(addr string, o *Options) (*channel, error) {
	c := &channel{addr: addr, tls: o.TLS != nil, dialer: o.Dialer}
	cc, err := grpc.NewClient("passthrough:///"+addr, append(o.dialOptions(), grpc.WithContextDialer(c.dial))...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", addr, err)
	}
	c.ClientConn = cc
	return c, nil
}

func (c *channel) dial(ctx context.Context, addr string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := c.connect(ctx, addr)
	if err != nil {
		c.last.Store(nil)
		c.dialErr.Store(&err)
		return nil, err
	}
	head := &headConn{Conn: conn}
	c.dialErr.Store(nil)
	c.last.Store(head)
	return head, nil
}

func (c *channel) connect(ctx context.Context, addr string) (net.Conn, error) {
	if c.dialer != nil {
		return c.dialer(ctx, addr)
	}
	return new(net.Dialer).DialContext(ctx, "tcp", addr)
}

// explain says what an error of a call means.
func (c *channel) explain(err error) error {
	if err == nil {
		return nil
	}
	if dialErr := c.dialErr.Load(); dialErr != nil {
		if errors.Is(*dialErr, syscall.ECONNREFUSED) {
			return fmt.Errorf("%s: %w", c.addr, ErrRefused)
		}
		return fmt.Errorf("%s: %w", c.addr, *dialErr)
	}
	s, ok := status.FromError(err)
	if !ok {
		return fmt.Errorf("%s: %w", c.addr, err)
	}
	if what := c.foreign(s.Code()); what != "" {
		return fmt.Errorf("%s: %w: %s", c.addr, ErrForeign, what)
	}
	switch s.Code() {
	case codes.FailedPrecondition:
		return fmt.Errorf("%s: %w: %s", c.addr, ErrDeclined, s.Message())
	case codes.Unimplemented:
		return fmt.Errorf("%s: %w: it speaks gRPC, and has no such call (%s)", c.addr, ErrForeign, s.Message())
	case codes.Canceled:
		return fmt.Errorf("%s: %w", c.addr, context.Canceled)
	case codes.DeadlineExceeded:
		if head := c.last.Load(); head != nil && len(head.head()) == 0 {
			return fmt.Errorf("%s: %w", c.addr, ErrSilent)
		}
		return fmt.Errorf("%s: %w", c.addr, context.DeadlineExceeded)
	}
	return fmt.Errorf("%s: %s", c.addr, s.Message())
}

// headConn keeps the first bytes that were read.
type headConn struct {
	net.Conn
	first atomic.Pointer[[]byte]
}

func (c *headConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 && c.first.Load() == nil {
		head := bytes.Clone(b[:min(n, 32)])
		c.first.Store(&head)
	}
	return n, err
}

func (c *headConn) head() []byte {
	if p := c.first.Load(); p != nil {
		return *p
	}
	return nil
}

// call is a stream that this side opened.
type call struct {
	grpc.ClientStream
	channel *channel
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
	ch, err := newChannel(addr, o)
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
		return fmt.Errorf("%s: %w", c.channel.addr, cause)
	}
	err = c.channel.explain(err)
	if cause != nil && !errors.Is(err, ErrForeign) {
		return fmt.Errorf("%s: %w", c.channel.addr, ErrSilent)
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
