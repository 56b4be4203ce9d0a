package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/torc-dht/torc/chord/internal/link/chordpb"
	"github.com/torc-dht/torc/chord/internal/msg"
	"github.com/torc-dht/torc/internal/grpcdial"
)

const (
	// openTimeout is how long the other side has to say who it is. One that is stopped
	// accepts connections and says nothing.
	openTimeout = time.Second
	// connectTimeout bounds what the kernels do, which repeat what is lost after a
	// second only: the next call of ours comes sooner. Right after a connection was
	// lost it is hurriedTimeout: a listener that is about to be closed may drop a call
	// without a word. Both are longer for a peer that took long the last time.
	connectTimeout = 500 * time.Millisecond
	hurriedTimeout = 30 * time.Millisecond
	farAway        = 4
)

// call is a stream that this node has opened, and its connection, which carries
// nothing else.
type call struct {
	stream grpc.ClientStream
	conn   *grpcdial.Conn
	raw    net.Conn
	ctx    context.Context // done when it has ended; its cause is why
	cancel context.CancelCauseFunc
	ended  chan struct{} // closed by the goroutine that reads; nil: there is none
}

// close ends it, and returns when nothing of it is left.
func (c *call) close() {
	c.cancel(ErrClosed)
	_ = c.conn.Close() // fails only if it is closed already
	_ = c.raw.Close()
	if c.ended != nil {
		<-c.ended
	}
}

// failure is why a call failed.
type failure struct {
	outcome outcome
	err     error
}

// call calls the peer, and returns when it is welcome there.
func (p *peer) call(ctx context.Context) (*call, *failure) {
	select {
	case <-p.news: // it is old now
	default:
	}
	raw, err := p.dial(ctx)
	if cause := context.Cause(ctx); cause != nil {
		if err == nil {
			_ = raw.Close()
		}
		return nil, ended(cause)
	}
	if err != nil {
		return nil, &failure{dialOutcome(err), err}
	}
	o := &p.m.cfg.Options
	c := &call{raw: raw}
	c.conn, err = grpcdial.New(p.ref.Addr, grpcdial.Config{TLS: o.TLS, Dialer: once(raw)}, o.dialOptions()...)
	if err != nil {
		_ = raw.Close()
		return nil, &failure{rejected, err}
	}
	c.ctx, c.cancel = context.WithCancelCause(ctx)
	late := time.AfterFunc(openTimeout, func() { c.cancel(ErrSilent) })
	welcome, err := c.greet(p.m.hello(p.ref.Boot))
	late.Stop()
	if failed := c.failure(welcome, err, p.ref.Boot); failed != nil {
		c.close()
		return nil, failed
	}
	c.ended = make(chan struct{})
	go func() {
		defer close(c.ended)
		err := c.stream.RecvMsg(&pb.Welcome{})
		switch {
		case err == nil:
			err = errors.New("it speaks out of turn")
		case errors.Is(err, io.EOF):
			err = errHungUp
		}
		c.cancel(err)
	}()
	return c, nil
}

var (
	errHungUp    = errors.New("it has hung up")
	errOneOnly   = errors.New("one connection is all there is")
	errNoWelcome = errors.New("it doesn't say who it is")
)

// once returns a dialer that hands out a connection that is there already, once.
func once(raw net.Conn) func(context.Context, string) (net.Conn, error) {
	var taken atomic.Bool
	return func(context.Context, string) (net.Conn, error) {
		if taken.Swap(true) {
			return nil, errOneOnly
		}
		return raw, nil
	}
}

// dial connects to the peer.
func (p *peer) dial(ctx context.Context) (net.Conn, error) {
	limit := max(connectTimeout, farAway*p.took)
	if _, err := netip.ParseAddrPort(p.ref.Addr); err == nil && p.again.hurried > 0 { // a name takes its time
		limit = min(max(hurriedTimeout, farAway*p.took), connectTimeout)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	dial := p.m.cfg.Dialer
	if dial == nil {
		dial = connect
	}
	begun := time.Now()
	raw, err := dial(ctx, p.ref.Addr)
	if err != nil {
		return nil, err
	}
	p.took = time.Since(begun)
	tune(raw)
	return raw, nil
}

// connect connects to a host:port. Where a name leads to several addresses, its error
// is a refusal only if all refuse: a process that is stopped may be behind one of them.
func connect(ctx context.Context, addr string) (net.Conn, error) {
	var d net.Dialer
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	all := []string{host}
	if _, err := netip.ParseAddr(host); err != nil {
		if all, err = net.DefaultResolver.LookupHost(ctx, host); err != nil {
			return nil, err
		}
	}
	err = nil
	for _, one := range all {
		c, failed := d.DialContext(ctx, "tcp", net.JoinHostPort(one, port))
		if failed == nil {
			return c, nil
		}
		if err == nil || errors.Is(err, syscall.ECONNREFUSED) {
			err = failed
		}
	}
	return nil, err
}

// greet says who calls, and returns who answers.
func (c *call) greet(h *pb.Hello) (*pb.Welcome, error) {
	stream, err := pb.NewNodeClient(c.conn).Talk(c.ctx, grpc.ForceCodecV2(newCodec()))
	if err != nil {
		return nil, err
	}
	c.stream = stream
	// Where sending fails, receiving says why.
	if err := stream.SendMsg(&frame{hello: h}); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return stream.Recv()
}

// failure says what an answer means, or that there was none; nil: welcome.
func (c *call) failure(w *pb.Welcome, err error, meant uint64) *failure {
	cause := context.Cause(c.ctx)
	switch code := status.Code(err); {
	case cause != nil:
		return ended(cause)
	case errors.Is(err, io.EOF), code == codes.Unavailable, code == codes.Aborted:
		return &failure{hungUp, fmt.Errorf("%w before it took the call: %s", errHungUp, status.Convert(err).Message())}
	case err != nil:
		return &failure{rejected, c.conn.Explain(err)}
	case w.GetBoot() == 0:
		return &failure{rejected, fmt.Errorf("%w: %w", ErrForeign, errNoWelcome)}
	case w.GetBoot() != meant:
		return &failure{replaced, ErrReplaced}
	case w.GetVersion() != msg.Version:
		return &failure{rejected, otherVersion(w.GetVersion())}
	case w.GetRefusal() != "":
		return &failure{rejected, fmt.Errorf("%w: this node isn't welcome: %s", ErrDeclined, w.GetRefusal())}
	}
	return nil
}

// ended says what it means that this side has ended a call.
func ended(cause error) *failure {
	if errors.Is(cause, ErrSilent) || errors.Is(cause, ErrQueueFull) {
		return &failure{silent, cause}
	}
	return &failure{hungUp, cause}
}

// dialOutcome says what an error of connecting means.
func dialOutcome(err error) outcome {
	var late net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return refused
	case errors.Is(err, syscall.ECONNRESET), errors.As(err, &late) && late.Timeout():
		return hungUp
	}
	return silent
}
