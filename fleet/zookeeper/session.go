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
// expired. Package zk would do so itself, within one zk.Conn, and would send in
// the new session what was asked for in the old one: an announcement made for a
// session that is gone, say. So each session has a zk.Conn of its own here, which
// dies with it.
type client struct {
	ensemble *ensemble
	timeout  time.Duration // asked for
	log      *slog.Logger

	stop    context.CancelFunc
	done    chan struct{}
	leaving sync.WaitGroup // expired sessions, and how they go

	mu struct {
		sync.Mutex
		contact contact
		changed chan struct{} // closed and replaced when contact changes
	}
}

// contact is how a client stands with ZooKeeper.
type contact struct {
	// session is the present one; nil before the first, and between an expired
	// one and the next.
	session *session
	// lost is closed when the connection breaks over which the session is held
	// now; nil while there is none.
	lost chan struct{}
	// since is when it came to stand like this.
	since time.Time
}

func (c contact) connected() bool { return c.lost != nil }

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
		s := c.newSession()
		select {
		case <-s.expired:
			c.log.Info("the session with ZooKeeper has expired; making a new one", "session", s.name())
			c.leaving.Go(s.close) // which may take package zk a second: the next session doesn't wait
		case <-ctx.Done():
			s.close()
		}
	}
	c.leaving.Wait()
}

// close ends the session, and with it its ephemeral znodes. It takes a second at
// most: a ZooKeeper that doesn't answer by then finds out when the session's
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

func (c *client) set(s *session, connected bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	old := c.mu.contact
	if old.lost != nil {
		close(old.lost)
	}
	c.mu.contact = contact{session: s, since: old.since}
	if connected {
		c.mu.contact.lost = make(chan struct{})
	}
	if connected || old.lost != nil {
		c.mu.contact.since = time.Now()
	}
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
	return fmt.Errorf("ZooKeeper can't be reached at %s (%s): %w: is it running there, and may this machine connect to it?",
		strings.Join(c.ensemble.hosts, ", "), c.ensemble.trouble(), cause)
}

var (
	errClosed = errors.New("zookeeper: closed")
	// errLost: the connection broke before the answer. What was asked for may
	// have been done, or may yet be.
	errLost = errors.New("the connection to ZooKeeper broke before the answer")
)

// session is one session, over one connection after another.
type session struct {
	client  *client
	conn    *zk.Conn
	events  <-chan zk.Event
	made    chan struct{} // closed when conn is set
	expired chan struct{}

	closing atomic.Bool
	dialing context.Context
	hangUp  context.CancelFunc
	calls   sync.WaitGroup

	mu struct {
		sync.Mutex
		wire    *wire
		id      int64
		granted time.Duration
	}
}

func (c *client) newSession() *session {
	s := &session{client: c, made: make(chan struct{}), expired: make(chan struct{})}
	s.dialing, s.hangUp = context.WithCancel(context.Background())
	conn, events, err := zk.Connect(c.ensemble.hosts, c.timeout,
		zk.WithHostProvider(provider{s}),
		zk.WithDialer(s.dial),
		zk.WithEventCallback(s.event),
		zk.WithLogger(logger{c.log}),
		zk.WithMaxBufferSize(maxAnswer))
	if err != nil {
		panic(err) // it has hosts, and provider's Init can't fail
	}
	s.conn, s.events = conn, events
	close(s.made)
	return s
}

// maxAnswer bounds one answer of ZooKeeper's, so that what isn't ZooKeeper can't
// make us allocate at its will. 100,000 servers' names fit.
const maxAnswer = 4 << 20

// event is called by package zk as things happen, in order; it must not block.
func (s *session) event(e zk.Event) {
	if e.Type != zk.EventSession || s.closing.Load() {
		return
	}
	<-s.made
	switch e.State {
	case zk.StateHasSession:
		s.mu.Lock()
		s.mu.id = s.conn.SessionID()
		s.mu.Unlock()
		s.client.set(s, true)
	case zk.StateDisconnected:
		if at, _ := s.client.contact(); at.session == s && at.connected() {
			s.client.set(s, false)
		}
	case zk.StateExpired:
		s.shut()
		s.client.set(nil, false)
		close(s.expired)
	}
}

// shut keeps package zk from connecting again.
func (s *session) shut() {
	s.closing.Store(true)
	s.hangUp()
}

// close ends the session and returns when nothing of it is left.
func (s *session) close() {
	at, _ := s.client.contact()
	s.shut()
	if at.session != s || !at.connected() {
		s.cut()
	}
	s.conn.Close() // waits for the answer, a second at most
	s.cut()
	for range s.events { // closed when package zk's goroutines are done
	}
	s.calls.Wait()
	if at, _ := s.client.contact(); at.session == s {
		s.client.set(nil, false)
	}
}

func (s *session) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.wire != nil {
		s.mu.wire.Close()
	}
}

func (s *session) dial(_, host string, _ time.Duration) (net.Conn, error) {
	w, err := s.client.ensemble.dial(s.dialing, host, s.setGranted)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing.Load() {
		w.Close()
		return nil, errClosed
	}
	s.mu.wire = w
	return w, nil
}

func (s *session) setGranted(granted time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.granted = granted
}

// id is the session's number, which its ephemeral znodes carry.
func (s *session) id() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.id
}

// name is the session's number as ZooKeeper's own tools print it.
func (s *session) name() string { return fmt.Sprintf("0x%x", uint64(s.id())) }

func (s *session) granted() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.granted
}

// begin counts a call in, unless the session is being closed.
func (s *session) begin() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing.Load() {
		return false
	}
	s.calls.Add(1)
	return true
}

// call calls f, which asks package zk for something and so may block for as long
// as there is no connection, and returns its result; or without it when ctx is
// done or when the connection breaks (errLost). f goes on then, and must not
// touch what its caller reads.
func call[T any](ctx context.Context, at contact, f func(*zk.Conn) (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	var none T
	done := make(chan result, 1)
	if at.session.begin() {
		go func() {
			defer at.session.calls.Done()
			value, err := f(at.session.conn)
			done <- result{value, err}
		}()
	}
	select {
	case r := <-done:
		if !isLoss(r.err) {
			return r.value, r.err
		}
		<-at.lost // any moment
		return none, errLost
	case <-at.lost:
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
// it is told so when the session is shut, and never before.
type provider struct{ s *session }

func (provider) Init([]string) error { return nil }
func (p provider) Len() int          { return len(p.s.client.ensemble.hosts) }
func (p provider) Next() (host string, end bool) {
	return p.s.client.ensemble.host(), p.s.closing.Load()
}
func (provider) Connected() {}

// logger takes what package zk has to say, which is about each attempt and each
// connection's end, and hardly ever for a person.
type logger struct{ log *slog.Logger }

func (l logger) Printf(format string, args ...any) {
	l.log.Debug("zk: " + fmt.Sprintf(format, args...))
}
