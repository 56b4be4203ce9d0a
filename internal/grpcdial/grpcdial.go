package grpcdial

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// Why a call failed.
var (
	// ErrRefused: nobody listens at the address.
	ErrRefused = errors.New("connection refused: nobody listens there")
	// ErrSilent: somebody does, and says nothing: it is stopped, or hangs.
	ErrSilent = errors.New("it accepts connections and doesn't answer")
	// ErrForeign: what answers doesn't serve what is called.
	ErrForeign = errors.New("that is something else")
	// ErrDeclined: what answers serves it, and doesn't want the call: its status was
	// FAILED_PRECONDITION.
	ErrDeclined = errors.New("declined")
)

// dialTimeout is before the system asks for the third time, 3 s after the first: so a
// network that is back is found within a second or so.
const dialTimeout = 1500 * time.Millisecond

// Config says how a connection is made.
type Config struct {
	// TLS is what it is made with; nil is plaintext.
	TLS *tls.Config
	// Dialer, if not nil, makes it in place of a net.Dialer; TLS goes on top.
	Dialer func(ctx context.Context, addr string) (net.Conn, error)
}

// Conn is a gRPC connection to one address, made when it is first used, and again as
// needed. It knows why it failed.
type Conn struct {
	*grpc.ClientConn
	addr    string
	tls     bool
	dialer  func(ctx context.Context, addr string) (net.Conn, error) // nil is net's
	last    atomic.Pointer[headConn]                                 // the connection made last
	dialErr atomic.Pointer[error]                                    // of the last attempt, if it failed
}

// New returns a connection to addr, host:port, with further options. The error is of
// the address, or of the options.
func New(addr string, o Config, further ...grpc.DialOption) (*Conn, error) {
	c := &Conn{addr: addr, tls: o.TLS != nil, dialer: o.Dialer}
	creds := insecure.NewCredentials()
	if o.TLS != nil {
		creds = credentials.NewTLS(o.TLS)
	}
	cc, err := grpc.NewClient("passthrough:///"+addr, append([]grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithContextDialer(c.dial),
		grpc.WithDisableRetry(),
		grpc.WithDisableServiceConfig(),
		grpc.WithNoProxy(),
	}, further...)...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", addr, err)
	}
	c.ClientConn = cc
	return c, nil
}

// Addr is where it leads.
func (c *Conn) Addr() string { return c.addr }

func (c *Conn) dial(ctx context.Context, addr string) (net.Conn, error) {
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

func (c *Conn) connect(ctx context.Context, addr string) (net.Conn, error) {
	if c.dialer != nil {
		return c.dialer(ctx, addr)
	}
	return new(net.Dialer).DialContext(ctx, "tcp", addr)
}

// Explain says what an error of a call means: what it returns names the address, and
// wraps one of this package's errors, or the context's, where it is known.
func (c *Conn) Explain(err error) error {
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
