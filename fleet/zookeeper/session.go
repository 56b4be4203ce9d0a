package zookeeper

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-zookeeper/zk"
)

// client keeps a session with ZooKeeper, and makes a new one when that has
// expired.
//
// Package zk would do so itself, within one zk.Conn, and go over from one
// connection to the next. Here each connection is a zk.Conn of its own, and the
// session is carried from one to the next ([wire]), because of what package zk
// (1.0.4) does otherwise:
//
//   - What was asked for and not yet sent when a connection broke is sent over the
//     next one, be it in another session: an announcement, say, that by then is
//     not wanted.
//   - Watches are set again as of the last change seen, which may be one that was
//     seen over the new connection already (a data race): a change in between
//     fires no watch, ever.
//   - It claims to have seen that last change, and a ZooKeeper that has lost its
//     data hangs up on whoever has seen more than itself. It never says that the
//     session is over, so there would be no next one.
//
// The price is that whoever reads has to read again after each connection.
type client struct {
	ensemble *ensemble
	timeout  time.Duration // asked for
	log      *slog.Logger

	stop    context.CancelFunc
	done    chan struct{}
	leaving sync.WaitGroup // connections that broke, on their way out

	mu struct {
		sync.Mutex
		contact contact
		changed chan struct{} // closed and replaced when contact changes
	}
}

// contact is how a client stands with ZooKeeper.
type contact struct {
	// session is the present one; its id is 0 before the first, and between an
	// expired one and the next.
	session session
	// conn is the connection; nil if there is none.
	conn *connection
	// since is since when there is, or isn't, a connection.
	since time.Time
}

func (c contact) connected() bool { return c.conn != nil }

// newClient begins to connect, and goes on until close.
func newClient(hosts []string, timeout time.Duration, log *slog.Logger) *client {
	ctx, stop := context.WithCancel(context.Background())
	c := &client{ensemble: newEnsemble(hosts), timeout: timeout, log: log, stop: stop, done: make(chan struct{})}
	c.mu.contact.since = time.Now()
	c.mu.changed = make(chan struct{})
	go c.run(ctx)
	return c
}

func (c *client) run(ctx context.Context) {
	defer close(c.done)
	for ctx.Err() == nil {
		conn := c.connect()
		select {
		case <-conn.lost:
			c.leaving.Go(conn.close) // which may take package zk a second: the next one doesn't wait
		case <-ctx.Done():
			conn.close()
		}
	}
	c.leaving.Wait()
}

// close ends the session, and with it its ephemeral znodes. It takes a few
// seconds at most: a ZooKeeper that can't be told finds out when the session's
// time is over.
func (c *client) close() {
	c.stop()
	<-c.done
}

// contact returns how the client stands, and what is closed when that changes.
func (c *client) contact() (contact, <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.contact, c.mu.changed
}

func (c *client) set(s session, conn *connection) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := contact{session: s, conn: conn, since: c.mu.contact.since}
	if at.connected() != c.mu.contact.connected() {
		at.since = time.Now()
	}
	c.mu.contact = at
	close(c.mu.changed)
	c.mu.changed = make(chan struct{})
}

// await returns when there is a connection. The error says what is in the way.
func (c *client) await(ctx context.Context) (contact, error) {
	for {
		at, changed := c.contact()
		if at.connected() {
			return at, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return contact{}, c.unreachable(context.Cause(ctx))
		case <-c.done:
			return contact{}, errClosed
		}
	}
}

func (c *client) unreachable(cause error) error {
	trouble := c.ensemble.trouble()
	if len(c.ensemble.hosts) == 1 {
		trouble = strings.TrimPrefix(trouble, c.ensemble.hosts[0]+": ")
	}
	return &unreachableError{c.ensemble.hosts, trouble, cause}
}

// unreachableError is why an operation without a connection ended: for what
// cause, which a person need not read when it is that the time was up.
type unreachableError struct {
	hosts   []string
	trouble string
	cause   error
}

func (e *unreachableError) Error() string {
	text := fmt.Sprintf("ZooKeeper can't be reached at %s (%s): is it running there, and may this machine connect to it?", strings.Join(e.hosts, ", "), e.trouble)
	if !errors.Is(e.cause, context.DeadlineExceeded) {
		text += " (" + e.cause.Error() + ")"
	}
	return text
}

func (e *unreachableError) Unwrap() error { return e.cause }

var (
	errClosed = errors.New("zookeeper: closed")
	// errLost: the connection broke before the answer. What was asked for may
	// have been done, or may yet be.
	errLost = errors.New("the connection to ZooKeeper broke before the answer")
)

// connection is one connection, from the first attempt to make it to its end.
type connection struct {
	client *client
	resume session // to go on with
	zk     *zk.Conn
	events <-chan zk.Event
	made   chan struct{} // closed when zk is set
	lost   chan struct{} // closed when the connection is no more

	closing atomic.Bool
	ended   sync.Once
	dialing context.Context
	hangUp  context.CancelFunc
	calls   sync.WaitGroup

	mu struct {
		sync.Mutex
		wire *wire // of the last attempt
	}
}

// connect begins to make a connection, for the session that there is.
func (c *client) connect() *connection {
	at, _ := c.contact()
	n := &connection{client: c, resume: at.session, made: make(chan struct{}), lost: make(chan struct{})}
	n.dialing, n.hangUp = context.WithCancel(context.Background())
	conn, events, err := zk.Connect(c.ensemble.hosts, c.timeout,
		zk.WithHostProvider(provider{n}),
		zk.WithDialer(n.dial),
		zk.WithEventCallback(n.event),
		zk.WithLogger(logger{c.log}),
		zk.WithMaxBufferSize(maxAnswer))
	if err != nil {
		panic(err) // it has hosts, and provider's Init can't fail
	}
	n.zk, n.events = conn, events
	close(n.made)
	return n
}

// maxAnswer bounds one answer of ZooKeeper's, so that what isn't ZooKeeper can't
// make us allocate at its will. 100,000 servers' names fit.
const maxAnswer = 4 << 20

// event is called by package zk as things happen, in order; it must not block.
func (n *connection) event(e zk.Event) {
	if e.Type != zk.EventSession || n.closing.Load() {
		return
	}
	<-n.made
	at, _ := n.client.contact()
	switch e.State {
	case zk.StateHasSession:
		n.client.set(n.session(), n)
	case zk.StateExpired:
		n.client.log.Debug("the session with ZooKeeper has expired; making a new one", "session", at.session.name())
		n.end(session{})
	case zk.StateDisconnected:
		if at.conn == n { // and not just another attempt that failed
			n.end(at.session)
		}
	}
}

// end takes note that the connection is no more, and of what is left of the
// session.
func (n *connection) end(s session) {
	n.shut()
	n.ended.Do(func() {
		n.client.set(s, nil)
		close(n.lost)
	})
}

// shut keeps package zk from connecting again.
func (n *connection) shut() {
	n.closing.Store(true)
	n.hangUp()
}

// close returns when nothing of the connection is left. If it was whole until
// now, the session ends with it.
func (n *connection) close() {
	n.shut()
	at, _ := n.client.contact()
	if at.conn != n {
		n.cut()
	}
	n.zk.Close() // waits for the answer, a second at most
	n.cut()
	for range n.events { // closed when package zk's goroutines are done
	}
	n.calls.Wait()
	n.end(session{}) // unless it has ended before
}

func (n *connection) cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.mu.wire != nil {
		n.mu.wire.Close()
	}
}

func (n *connection) dial(_, host string, _ time.Duration) (net.Conn, error) {
	w, err := n.client.ensemble.dial(n.dialing, host, n.resume)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closing.Load() {
		w.Close()
		return nil, errClosed
	}
	n.mu.wire = w
	return w, nil
}

// session is the one that the handshake has brought.
func (n *connection) session() session {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.mu.wire.session
}

// name is the session's number as ZooKeeper's own tools print it.
func (s session) name() string { return fmt.Sprintf("0x%x", uint64(s.id)) }

// begin counts a call in, unless the connection is no more.
func (n *connection) begin() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closing.Load() {
		return false
	}
	n.calls.Add(1)
	return true
}

// call calls f and returns its result; or without it when ctx is done or when
// the connection breaks (errLost). f may go on then for a moment, and must not
// touch what its caller reads. at has to be connected.
func call[T any](ctx context.Context, at contact, f func(*zk.Conn) (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	var none T
	done := make(chan result, 1)
	if at.conn.begin() {
		go func() {
			defer at.conn.calls.Done()
			value, err := f(at.conn.zk)
			done <- result{value, err}
		}()
	}
	select {
	case r := <-done:
		if !isLoss(r.err) {
			return r.value, r.err
		}
		<-at.conn.lost // any moment
		return none, errLost
	case <-at.conn.lost:
		return none, errLost
	case <-ctx.Done():
		return none, context.Cause(ctx)
	}
}

// isLoss tells from ZooKeeper's answers what package zk says in place of one.
func isLoss(err error) bool {
	var fromNet net.Error
	return errors.Is(err, zk.ErrConnectionClosed) || errors.Is(err, zk.ErrClosing) ||
		errors.Is(err, zk.ErrSessionExpired) || errors.Is(err, zk.ErrNoServer) ||
		errors.As(err, &fromNet)
}

// provider tells package zk which server to try. That looks whether it has been
// closed only when told that a round is over, which then costs it a second; so
// it is told so when the connection is shut, and never before.
type provider struct{ n *connection }

func (provider) Init([]string) error { return nil }
func (p provider) Len() int          { return len(p.n.client.ensemble.hosts) }
func (p provider) Next() (host string, end bool) {
	return p.n.client.ensemble.host(), p.n.closing.Load()
}
func (provider) Connected() {}

// logger takes what package zk has to say, which is about each attempt and each
// connection's end, and hardly ever for a person.
type logger struct{ log *slog.Logger }

func (l logger) Printf(format string, args ...any) {
	l.log.Debug("zk: " + fmt.Sprintf(format, args...))
}
