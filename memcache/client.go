package memcache

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"hash/maphash"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Defaults of a Config.
const (
	// DefaultConns is the number of connections to a server. With one, a large
	// value holds up every key, and client and server wait for each other in
	// turns; with two, one is written to while the other is waited for. Beyond
	// that batches become smaller and system calls more: 64 callers on two cores
	// do best with two.
	DefaultConns = 2
	// DefaultDialTimeout leaves time for one packet of the handshake to be lost
	// and sent again, which the kernel does after a second.
	DefaultDialTimeout = 2 * time.Second
	// DefaultStallTimeout is longer than any pause that a living server or
	// network makes, and shorter than the kernel's own patience of minutes.
	DefaultStallTimeout = 30 * time.Second
	// DefaultMaxPending keeps a connection's calls under way below a megabyte,
	// and is many times what a server answers in one round trip.
	DefaultMaxPending = 4096
	// DefaultMaxPendingBytes is room for one value of DefaultMaxValue, or for
	// what a gigabit carries in 64 ms.
	DefaultMaxPendingBytes = 8 << 20
	// DefaultMaxValue is eight times memcached's own default limit, which is
	// often raised; each connection may hold one such value of a server's
	// making.
	DefaultMaxValue = 8 * DefaultMaxItemSize
	// DefaultBackoffMin is a few times what a refused dial costs on loopback.
	DefaultBackoffMin = 10 * time.Millisecond
	// DefaultBackoffMax is how long a server may be back before it is noticed.
	DefaultBackoffMax = 500 * time.Millisecond
)

// Config says how a Client treats its server. The zero value is ready for use;
// each field that is zero means its default.
type Config struct {
	// Conns is the number of connections. A key always uses the same one.
	Conns int
	// DialTimeout bounds the making of a connection: name look-up, TCP, TLS and
	// a first answer from the server.
	DialTimeout time.Duration
	// ReadTimeout is how long a Get or GetAndTouch takes at the most, a dial
	// included, and WriteTimeout any other request. It may fail up to an eighth
	// of that earlier, or two milliseconds if that is more; a millisecond is the
	// least that can be told apart. The context bounds it further. 0 means as
	// long as it takes, which StallTimeout bounds.
	ReadTimeout, WriteTimeout time.Duration
	// StallTimeout is how long a connection may have requests waiting and bring
	// not one byte before it is closed.
	StallTimeout time.Duration
	// MaxPending is how many requests may be under way on a connection, given up
	// ones included. Further requests wait for room.
	MaxPending int
	// MaxPendingBytes is how many bytes of requests may wait to be written to a
	// connection; one request may always wait.
	MaxPendingBytes int
	// MaxValue is the largest value, in bytes, that is sent or received: others
	// are ErrTooLarge.
	MaxValue int
	// BackoffMin and BackoffMax bound the pauses between attempts to reach a
	// server that fails: each is drawn between 0 and a bound that doubles from
	// the one to the other. Requests in a pause fail at once.
	BackoffMin, BackoffMax time.Duration
	// Redirect asks a server that would fetch from others what it hasn't got itself
	// to say where that is instead: for callers who ask there then. To a server that
	// doesn't do that, memcached say, it means nothing.
	Redirect bool
	// TLS makes the connections TLS ones. ServerName, when empty, is the
	// address's host.
	TLS *tls.Config
	// Dialer makes connections in place of a net.Dialer; TLS goes on top.
	Dialer func(ctx context.Context, addr string) (net.Conn, error)
}

// withDefaults is cfg with nothing left at zero that has a default.
func (cfg Config) withDefaults() Config {
	orDefault(&cfg.Conns, DefaultConns)
	orDefault(&cfg.DialTimeout, DefaultDialTimeout)
	orDefault(&cfg.StallTimeout, DefaultStallTimeout)
	orDefault(&cfg.MaxPending, DefaultMaxPending)
	orDefault(&cfg.MaxPendingBytes, DefaultMaxPendingBytes)
	orDefault(&cfg.MaxValue, DefaultMaxValue)
	orDefault(&cfg.BackoffMin, DefaultBackoffMin)
	orDefault(&cfg.BackoffMax, DefaultBackoffMax)
	cfg.ReadTimeout = max(cfg.ReadTimeout, 0)
	cfg.WriteTimeout = max(cfg.WriteTimeout, 0)
	cfg.MaxValue = min(cfg.MaxValue, maxAnyValue)
	cfg.BackoffMax = max(cfg.BackoffMin, cfg.BackoffMax)
	if cfg.Dialer == nil {
		cfg.Dialer = func(ctx context.Context, addr string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "tcp", addr)
		}
	}
	return cfg
}

func orDefault[T ~int | ~int64](field *T, value T) {
	if *field <= 0 {
		*field = value
	}
}

func (cfg *Config) pipeLimits() pipeLimits {
	l := pipeLimits{
		calls: cfg.MaxPending,
		bytes: cfg.MaxPendingBytes,
		value: cfg.MaxValue,
		stall: cfg.StallTimeout,

		redirect: cfg.Redirect,
	}
	shortest := l.stall
	for _, patience := range []time.Duration{cfg.ReadTimeout, cfg.WriteTimeout} {
		if patience > 0 {
			shortest = min(shortest, patience)
		}
	}
	l.interval = max(shortest/sweepShare, time.Millisecond)
	return l
}

// Client speaks to one memcached server, version 1.6.13 or newer. It is safe for
// concurrent use: the requests of many goroutines share a few connections and
// go out together.
//
// A request that gets no answer fails with a *ConnError, and is not sent again.
// When its context ends, only the request is given up, not the connection; the
// error then wraps the context's. A caller who is alone on his connection may
// find that out up to 10 ms late. The requests that a client sends for one key
// are carried out in the order in which they were sent, as long as none of them
// fails.
type Client struct {
	addr   string
	cfg    Config
	limits pipeLimits
	seed   maphash.Seed
	slots  []slot
	life   context.Context // ends with Close
	end    context.CancelFunc
	wg     sync.WaitGroup // every goroutine and timer of this client
	calls  sync.Pool      // of *call

	failing atomic.Pointer[failure] // nil while the server does well

	mu struct {
		sync.Mutex
		closed   bool
		failures int       // in a row, dials and connections that soon broke
		retry    time.Time // no dial before
	}
}

// slot is the place of one connection.
type slot struct {
	pipe    atomic.Pointer[pipe]
	dialing *dial // guarded by Client.mu
}

// failure is what is known of a server that fails.
type failure struct {
	since time.Time
	err   error // the last
}

// NewClient returns a client of the server at addr, a host:port. It dials when
// the first request comes, and again when one comes after a connection broke.
// Close the client when done.
func NewClient(addr string, cfg Config) *Client {
	c := &Client{addr: addr, cfg: cfg.withDefaults(), seed: maphash.MakeSeed()}
	c.calls.New = newCall
	c.limits = c.cfg.pipeLimits()
	c.slots = make([]slot, c.cfg.Conns)
	c.life, c.end = context.WithCancel(context.Background())
	return c
}

// Addr is the server's address, as NewClient was given it.
func (c *Client) Addr() string { return c.addr }

// Close closes the connections and waits until nothing of the client runs any
// more. Requests under way fail with a *ConnError that wraps ErrClosed, as
// later ones do.
func (c *Client) Close() error {
	c.mu.Lock()
	c.mu.closed = true
	c.mu.Unlock()
	c.end()
	for i := range c.slots {
		if p := c.slots[i].pipe.Load(); p != nil {
			p.fail(ErrClosed)
		}
	}
	c.wg.Wait()
	return nil
}

// Failing says since when the server has been failing, and how it failed last:
// the first failure after the last good answer on any connection counts. The
// time is zero, and err nil, while it does well, or as long as nothing was
// asked of it.
func (c *Client) Failing() (since time.Time, err error) {
	if f := c.failing.Load(); f != nil {
		return f.since, f.err
	}
	return time.Time{}, nil
}

// good notes that the server answered.
func (c *Client) good() {
	if c.failing.Load() != nil {
		c.failing.Store(nil)
	}
}

// bad notes that the server failed.
func (c *Client) bad(err error) {
	now := time.Now()
	for {
		old := c.failing.Load()
		f := &failure{since: now, err: err}
		if old != nil {
			f.since = old.since
		}
		if c.failing.CompareAndSwap(old, f) {
			return
		}
	}
}

// connError is the error of a request that had no answer.
func (c *Client) connError(err error, sent bool) *ConnError {
	since, _ := c.Failing()
	return &ConnError{Addr: c.addr, Since: since, Sent: sent, Err: err}
}

// timeoutError is why a request failed whose time was up.
type timeoutError struct {
	after time.Duration
	what  string
}

func (e *timeoutError) Error() string { return fmt.Sprintf("%s within %v", e.what, e.after) }

// Timeout says what it is, as a net.Error does.
func (e *timeoutError) Timeout() bool { return true }

// Is makes it an os.ErrDeadlineExceeded, as the time-outs of package net are.
func (e *timeoutError) Is(target error) bool { return target == os.ErrDeadlineExceeded }

// asking is a request that is being carried out.
type asking struct {
	slot  *slot
	call  *call
	sent  bool // call is with a pipe
	again bool // it is the second attempt
}

// do sends q and waits for its answer. All its errors are *ConnError.
func (c *Client) do(ctx context.Context, q *query) (answer, error) {
	if err := ctx.Err(); err != nil {
		return answer{}, c.connError(err, false)
	}
	r := c.begin(q)
	a, _, err := c.finish(ctx, &r, q)
	return a, err
}

// begin makes ready to send q; finish has to follow.
func (c *Client) begin(q *query) asking {
	cl := c.calls.Get().(*call)
	cl.op = q.op
	cl.patience = c.timeout(q.op)
	return asking{slot: c.slotOf(q.key), call: cl}
}

// slotOf is the place of the connection that requests for key use.
func (c *Client) slotOf(key string) *slot {
	if len(c.slots) == 1 || key == "" {
		return &c.slots[0]
	}
	return &c.slots[maphash.String(c.seed, key)%uint64(len(c.slots))]
}

// finish sends q, unless that is done, and waits for its end. If the call's
// notice comes before that, it is late, and finish has to be called again. All
// errors are *ConnError.
func (c *Client) finish(ctx context.Context, r *asking, q *query) (a answer, isLate bool, err error) {
	cl := r.call
	for {
		if !r.sent {
			if err := c.send(ctx, r.slot, cl, q); err == errLate {
				return answer{}, true, nil
			} else if err != nil {
				c.release(cl)
				return answer{}, false, err
			}
			r.sent = true
		}
		switch c.wait(ctx, cl) {
		case answered:
			a, err, sent := cl.answer, cl.err, cl.sent
			if err == nil {
				c.release(cl)
				return a, false, nil
			}
			cl.err = nil
			if !r.again && !sent {
				r.again, r.sent = true, false // it found a connection that the server had closed
				continue
			}
			c.release(cl)
			return answer{}, false, c.connError(err, sent)
		case late:
			if !cl.signalled() { // else the answer has come meanwhile
				return answer{}, true, nil
			}
		case overdue:
			return answer{}, false, c.tookTooLong(q.op)
		default:
			return answer{}, false, c.gaveUp(ctx, true)
		}
	}
}

// tookTooLong is the error of a request that was sent and had no answer in time.
func (c *Client) tookTooLong(o op) error {
	err := &timeoutError{c.timeout(o), "no answer"}
	c.bad(err)
	return c.connError(err, true)
}

// timeout is how long a request may take; 0 for ever.
func (c *Client) timeout(o op) time.Duration {
	if o == opGet || o == opHead || o == opGetAndTouch {
		return c.cfg.ReadTimeout
	}
	return c.cfg.WriteTimeout
}

// release keeps a call that was never sent, or was answered, for another request.
func (c *Client) release(cl *call) {
	cl.answer, cl.err, cl.notice = answer{}, nil, 0
	c.calls.Put(cl)
}

// errLate says that the notice of a call came before it was sent.
var errLate = errors.New("memcache: not sent yet")

// send sends q on the connection of s, which it makes if need be. It returns
// errLate if the call's notice comes before that.
func (c *Client) send(ctx context.Context, s *slot, cl *call, q *query) error {
	for {
		p := s.pipe.Load()
		if p == nil {
			var err error
			if p, err = c.connect(ctx, s, cl); err != nil {
				return err
			}
		}
		room, err := p.send(ctx, cl, q)
		switch {
		case err == nil:
			if cl.reads {
				p.readFor(cl)
			}
			return nil
		case room != nil:
			if err := c.waitForRoom(ctx, cl, room); err != nil {
				return err
			}
		default:
			s.pipe.CompareAndSwap(p, nil) // dead: the next round dials
		}
	}
}

// wait waits for the end of a call that was sent.
func (c *Client) wait(ctx context.Context, cl *call) signal {
	done := ctx.Done()
	if done == nil {
		return <-cl.done
	}
	select {
	case s := <-cl.done:
		return s
	case <-done:
		cl.stage.Store(stageGivenUp)
		return givenUp
	}
}

// gaveUp is the error of a request whose context ended. That its deadline
// passed speaks against the server; that it was cancelled doesn't.
func (c *Client) gaveUp(ctx context.Context, sent bool) error {
	err := ctx.Err()
	if err == context.DeadlineExceeded {
		c.bad(err)
	}
	return c.connError(err, sent)
}

// waitForRoom waits until a connection may have room for another request. It
// returns errLate if the call's notice comes before that.
func (c *Client) waitForRoom(ctx context.Context, cl *call, room <-chan struct{}) error {
	patience := cl.patience
	return c.noRoom(ctx, waitUnsent(ctx, cl, room), patience)
}

// noRoom is the error of who waited for room, with so much patience, and how that
// ended; nil if there may be room.
func (c *Client) noRoom(ctx context.Context, how signal, patience time.Duration) error {
	switch how {
	case answered:
		return nil
	case late:
		return errLate
	case overdue:
		return c.connError(fmt.Errorf("%w: %w", errFull, &timeoutError{patience, "no room"}), false)
	default:
		return c.connError(fmt.Errorf("%w: %w", errFull, ctx.Err()), false)
	}
}

// waitUnsent waits, with a call that is not sent, until ready is closed, which
// counts as answered, or its patience, its notice or ctx ends. It takes the time
// off the call's.
func waitUnsent(ctx context.Context, cl *call, ready <-chan struct{}) signal {
	began := time.Now()
	until, then := cl.patience, overdue
	if cl.notice > 0 && (until == 0 || cl.notice < until) {
		until, then = cl.notice, late
	}
	var up <-chan time.Time
	if until > 0 {
		t := time.NewTimer(until)
		defer t.Stop()
		up = t.C
	}
	select {
	case <-ready:
		then = answered
	case <-ctx.Done():
		then = givenUp
	case <-up:
	}
	cl.spend(time.Since(began))
	if then == late {
		cl.notice = 0
	}
	return then
}
