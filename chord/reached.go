package chord

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/torc-dht/torc/chord/internal/link"
	"github.com/torc-dht/torc/memcache"
)

// reached is an address of a node, and a table's connections to it: one kind for
// requests, one for questions about the ring.
//
// Who listens at an address may change: a node dies, and one of another ring gets its
// port. So on each new connection, of either kind, the node is asked which ring it is
// of, before anything else is said.
type reached struct {
	t    *Table
	addr string
	data *memcache.Client
	met  time.Time // when the table first heard of it
	idle time.Time // since when it is of no use; zero while it is. Guarded by Table.mu

	// dials counts the connections for questions, and checked is which of them the ring
	// is known of.
	dials, checked atomic.Uint64
	deaf           atomic.Pointer[time.Time] // since when questions have failed

	mu struct {
		sync.Mutex
		closed    bool
		questions *link.Client // nil until there is one
	}
}

// errStranger says that a node is of another ring.
var errStranger = errors.New("what listens there now is a node of another ring")

// unansweredError is why a question to a node had no answer.
type unansweredError struct {
	at  *reached
	err error
}

func (e *unansweredError) Error() string { return e.at.addr + ": " + e.bare() }

// bare is the reason without the address.
func (e *unansweredError) bare() string { return strings.TrimPrefix(e.err.Error(), e.at.addr+": ") }

func (e *unansweredError) Unwrap() error { return e.err }

func newReached(t *Table, addr string) *reached {
	at := &reached{t: t, addr: addr, met: time.Now()}
	cfg := t.opts.client()
	cfg.Dialer = at.dialData
	at.data = memcache.NewClient(addr, cfg)
	return at
}

// close closes all connections, and waits for what is under way on them.
func (at *reached) close() {
	_ = at.data.Close() // returns nil
	at.mu.Lock()
	at.mu.closed = true
	questions := at.mu.questions
	at.mu.Unlock()
	if questions != nil {
		_ = questions.Close() // fails only if it is closed already
	}
}

// failing is since when the node has given no answers; zero if it does, or wasn't asked.
func (at *reached) failing() time.Time {
	since, _ := at.data.Failing()
	if deaf := at.deaf.Load(); since.IsZero() && deaf != nil {
		since = *deaf
	}
	return since
}

// deafness is 1 if the last question had no answer, else 0.
func (at *reached) deafness() int {
	if at.deaf.Load() != nil {
		return 1
	}
	return 0
}

// dial makes a connection.
func (at *reached) dial(ctx context.Context, addr string) (net.Conn, error) {
	if at.t.opts.Dialer != nil {
		return at.t.opts.Dialer(ctx, addr)
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", addr)
}

// dialData makes a connection for requests. The node is asked who it is afterwards:
// had it another port's connection by then, this one would be broken.
func (at *reached) dialData(ctx context.Context, addr string) (net.Conn, error) {
	conn, err := at.dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	if err := at.ask(ctx, func(c *link.Client) error { return at.checkRing(ctx, c) }); err != nil {
		_ = conn.Close() // nothing was sent
		return nil, err
	}
	return conn, nil
}

// checkRing asks the node whether it is of the table's ring.
func (at *reached) checkRing(ctx context.Context, c *link.Client) error {
	info, err := c.Info(ctx)
	if err == nil && info.Ring != at.t.ring {
		err = errStranger
	}
	return err
}

// dialQuestions makes a connection for questions, about whose other end nothing is
// known yet.
func (at *reached) dialQuestions(ctx context.Context, addr string) (net.Conn, error) {
	conn, err := at.dial(ctx, addr)
	if err == nil {
		at.dials.Add(1)
	}
	return conn, err
}

// maxRedials is how often a question is asked again since meanwhile the connection was
// made anew: the first time it always is.
const maxRedials = 4

// ask has do ask the node something, over a connection to a node of the table's ring.
// Errors are *unansweredError.
func (at *reached) ask(ctx context.Context, do func(*link.Client) error) error {
	questions, err := at.client()
	if err == nil {
		err = at.askChecked(ctx, questions, do)
	}
	if err == nil {
		at.deaf.Store(nil)
		return nil
	}
	if ctx.Err() != context.Canceled {
		now := time.Now()
		at.deaf.CompareAndSwap(nil, &now)
	}
	if ctx.Err() == nil && questions != nil && !errors.Is(err, link.ErrDeclined) {
		at.drop(questions)
	}
	return &unansweredError{at, err}
}

// askChecked has do ask once it is known which ring the node is of.
func (at *reached) askChecked(ctx context.Context, questions *link.Client, do func(*link.Client) error) (err error) {
	for range maxRedials {
		dial := at.dials.Load()
		if dial == 0 || at.checked.Load() != dial {
			if err := at.checkRing(ctx, questions); err != nil {
				return err
			}
			if at.dials.Load() != dial {
				continue
			}
			at.checked.Store(dial)
		}
		err = do(questions)
		if at.dials.Load() == dial {
			break
		}
	}
	return err
}

// client returns the client for questions.
func (at *reached) client() (*link.Client, error) {
	at.mu.Lock()
	defer at.mu.Unlock()
	switch {
	case at.mu.closed:
		return nil, link.ErrClosed
	case at.mu.questions != nil:
		return at.mu.questions, nil
	}
	questions, err := link.NewClient(at.addr, link.Options{TLS: at.t.opts.TLS, Dialer: at.dialQuestions})
	if err == nil {
		at.mu.questions = questions
	}
	return questions, err
}

// drop has the next question make a connection of its own: gRPC waits ever longer
// before it tries again where it failed to make one.
func (at *reached) drop(questions *link.Client) {
	at.mu.Lock()
	defer at.mu.Unlock()
	if at.mu.questions == questions {
		at.mu.questions = nil
		_ = questions.Close() // fails only if it is closed already
	}
}
