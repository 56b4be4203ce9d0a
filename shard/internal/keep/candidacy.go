package keep

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-zookeeper/zk"
)

// candidacy is one session with ZooKeeper, and the znode with which it stands for
// election. It is over with the session, at the latest.
//
// It is over with the connection, too, as long as it doesn't stand first: package zk
// (1.0.4) sets watches again as of the last change seen, which may be one that was
// seen over the new connection already, so that a change in between fires no watch.
// Who stands first has no watch, and its session is carried over to the next
// connection. What was asked for and not yet sent goes over the next connection as
// well, be it in another session: so there is none, each session has a zk.Conn of
// its own.
type candidacy struct {
	election *Election
	mark     uint64 // random; begins the name of its znode
	log      *slog.Logger
	dialer   *dialer
	conn     *zk.Conn
	events   <-chan zk.Event

	greeted chan struct{} // closed when there is a session
	first   chan struct{} // closed when it stands first
	over    chan struct{} // closed when it stands no more
	gone    chan struct{} // closed when nothing is left of it
	until   atomic.Int64  // when it is over, unless more is known by then: see lease

	// These are run's; name is fixed when first is closed.
	name    string // of its znode
	met     string // the znode of who stands first, once its address is known
	before  string // whose znode is watched
	changed <-chan zk.Event

	calls sync.WaitGroup // begun only while it is not over
	mu    struct {
		sync.Mutex
		ended     error
		leader    string // host:port, "" while it isn't known
		leads     bool   // this one
		connected bool
		timeout   time.Duration // of the session, 0 before there is one
		began     int64         // when that was asked for
	}
}

// looksPerTimeout is how often in a session's time-out it is asked who stands first.
const looksPerTimeout = 10

var (
	errExpired  = errors.New("its session with ZooKeeper has expired")
	errCutOff   = errors.New("it lost the connection to ZooKeeper")
	errSilent   = errors.New("it heard nothing from ZooKeeper for so long that another may lead")
	errRemoved  = errors.New("its znode in the election is gone")
	errReplaced = errors.New("another master has written the map")
	errAgain    = errors.New("who stands has changed meanwhile")
)

// maxAnswer bounds one answer of ZooKeeper's: the map, or the names of 10,000
// candidates.
const maxAnswer = 2 << 20

func (e *Election) newCandidacy() *candidacy {
	c := &candidacy{
		election: e, mark: newMark(), log: e.o.Logger, dialer: newDialer(e.o.Hosts, e.o.Now),
		greeted: make(chan struct{}), first: make(chan struct{}), over: make(chan struct{}), gone: make(chan struct{}),
	}
	c.until.Store(math.MaxInt64)
	var err error
	c.conn, c.events, err = zk.Connect(e.o.Hosts, e.o.SessionTimeout,
		zk.WithHostProvider(c.dialer),
		zk.WithDialer(c.dialer.dial),
		zk.WithEventCallback(c.event),
		zk.WithLogger(logger{c.log}),
		zk.WithMaxBufferSize(maxAnswer))
	if err != nil {
		panic(err) // it has hosts, and the dialer's Init can't fail
	}
	c.calls.Go(c.run)
	go c.guard()
	return c
}

// event is called by package zk as things happen, in order; it must not block.
func (c *candidacy) event(e zk.Event) {
	if e.Type != zk.EventSession {
		return
	}
	switch e.State {
	case zk.StateHasSession:
		c.mu.Lock()
		fresh := c.mu.timeout == 0
		c.mu.connected = true
		if fresh {
			c.mu.timeout, c.mu.began = c.dialer.granted()
			close(c.greeted)
		}
		c.mu.Unlock()
	case zk.StateExpired:
		c.end(errExpired)
	case zk.StateDisconnected:
		c.mu.Lock()
		was := c.mu.connected
		c.mu.connected = false
		leads := c.mu.leads
		c.mu.Unlock()
		if was && !leads {
			c.end(errCutOff)
		}
	}
}

// end takes note that the candidacy is over, unless it was before.
func (c *candidacy) end(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.ended != nil {
		return
	}
	c.mu.ended = cause
	c.dialer.stop()
	close(c.over)
}

// cause is why it is over; nil while it isn't.
func (c *candidacy) cause() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.ended
}

// stands says, by the clock, whether the candidacy goes on. If not it is over.
func (c *candidacy) stands() bool {
	if c.election.o.Now() >= c.until.Load() {
		c.end(errSilent)
	}
	return c.cause() == nil
}

// stood says whether it ever came to have a session.
func (c *candidacy) stood() bool {
	select {
	case <-c.greeted:
		return true
	default:
		return false
	}
}

// guard ends the candidacy when its time is over, and clears up after it.
func (c *candidacy) guard() {
	defer close(c.gone)
	// The clock that counts may jump where timers don't: after the machine slept.
	const most = 100 * time.Millisecond
	for c.stands() {
		wait := most
		if left := c.until.Load() - c.election.o.Now(); left < int64(most) {
			wait = time.Duration(max(left, 1))
		}
		select {
		case <-time.After(wait):
		case <-c.over:
		}
	}
	c.log.Debug("the candidacy is over", "why", c.cause())
	c.mu.Lock()
	orderly := c.mu.connected
	c.mu.Unlock()
	if !orderly {
		c.dialer.cut()
	}
	c.conn.Close() // ends the session and waits for the answer, a second at most
	c.dialer.cut()
	for range c.events { // closed when package zk's goroutines are done
	}
	c.calls.Wait()
}

// call calls f and returns its result, or without it when ctx is done or the
// candidacy is over. f may go on for a moment, and must not touch what its caller
// reads.
func call[T any](ctx context.Context, c *candidacy, f func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	var none T
	done := make(chan result, 1)
	c.mu.Lock()
	if c.mu.ended == nil {
		c.calls.Go(func() {
			value, err := f()
			done <- result{value, err}
		})
	}
	c.mu.Unlock()
	select {
	case r := <-done:
		return r.value, r.err
	case <-c.over:
		return none, c.cause()
	case <-ctx.Done():
		return none, context.Cause(ctx)
	}
}

// run stands for election.
func (c *candidacy) run() {
	select {
	case <-c.greeted:
	case <-c.over:
		return
	}
	c.mu.Lock()
	timeout, l := c.mu.timeout, newLease(int64(c.mu.timeout), c.mu.began)
	c.mu.Unlock()
	c.until.Store(l.until())
	if err := c.enter(); err != nil {
		c.end(err)
		return
	}
	for c.cause() == nil {
		began, asked := time.Now(), c.election.o.Now()
		pause := timeout / looksPerTimeout
		err := c.look()
		switch {
		case err == nil:
			l.answered(asked)
			c.until.Store(l.until())
			pause -= time.Since(began)
		case errors.Is(err, errAgain):
			pause = 0
		case isLoss(err):
			pause = time.Millisecond // the next look waits for the next connection
		default:
			c.end(err)
			return
		}
		select {
		case <-time.After(pause):
		case <-c.changed:
			c.before, c.changed = "", nil // who stands there now?
		case <-c.over:
		}
	}
}

// enter makes the znode of the candidacy, and those on the way to it.
func (c *candidacy) enter() error {
	o := &c.election.o
	way := o.electionPath()
	for i := 1; i <= len(way); i++ {
		if i < len(way) && way[i] != '/' {
			continue
		}
		if _, err := c.conn.Create(way[:i], nil, zk.FlagPersistent, openACL); err != nil && !errors.Is(err, zk.ErrNodeExists) {
			return c.failed("making "+way[:i], err)
		}
	}
	made, err := c.conn.Create(fmt.Sprintf("%s/%016x-", way, c.mark), []byte(o.Addr), zk.FlagEphemeralSequential, openACL)
	if err != nil {
		return c.failed("standing for election", err) // the znode, if there is one, goes with the session
	}
	c.name = strings.TrimPrefix(made, way+"/")
	c.log.Debug("stands for election", "znode", made, "session", fmt.Sprintf("%#x", uint64(c.conn.SessionID())))
	return nil
}

var openACL = zk.WorldACL(zk.PermAll)

// failed tells errors that waiting will not mend from others.
func (c *candidacy) failed(doing string, err error) error {
	failed := fmt.Errorf("%s: %w", doing, err)
	for _, never := range []error{zk.ErrNoAuth, zk.ErrInvalidACL, zk.ErrInvalidPath, zk.ErrNoChildrenForEphemerals} {
		if errors.Is(err, never) {
			return hopelessError{fmt.Errorf("%w: a master needs all rights below %s", failed, c.election.o.Path)}
		}
	}
	return failed
}

// look finds out where the candidacy stands. When it returns nil, ZooKeeper has
// answered that it does.
func (c *candidacy) look() error {
	way := c.election.o.electionPath()
	// What is read may be old, unless it is read after a sync.
	if _, err := c.conn.Sync(way); err != nil {
		return c.failed("asking who stands", err)
	}
	names, _, err := c.conn.Children(way)
	if err != nil {
		if errors.Is(err, zk.ErrNoNode) {
			return errRemoved
		}
		return c.failed("asking who stands", err)
	}
	line := candidates(names)
	i := slices.Index(line, c.name)
	switch {
	case i < 0:
		return errRemoved
	case i == 0:
		c.lead()
		return nil
	}
	if err := c.meet(line[0]); err != nil {
		return err
	}
	return c.watch(line[i-1])
}

// lead notes that the candidacy stands first.
func (c *candidacy) lead() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.mu.leads {
		c.mu.leads, c.mu.leader = true, c.election.o.Addr
		close(c.first)
	}
}

// meet learns who it is that stands first.
func (c *candidacy) meet(leader string) error {
	if leader == c.met {
		return nil
	}
	addr, _, err := c.conn.Get(c.election.o.electionPath() + "/" + leader)
	if errors.Is(err, zk.ErrNoNode) {
		return errAgain
	}
	if err != nil {
		return c.failed("asking who leads", err)
	}
	c.met = leader
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.leader = string(addr)
	return nil
}

// watch watches the znode of who stands before this one.
func (c *candidacy) watch(before string) error {
	if before == c.before {
		return nil
	}
	// Not ExistsW, which leaves a watch where there is nothing to be watched.
	_, _, changed, err := c.conn.GetW(c.election.o.electionPath() + "/" + before)
	if errors.Is(err, zk.ErrNoNode) {
		return errAgain
	}
	if err != nil {
		return c.failed("watching who stands before this master", err)
	}
	c.before, c.changed = before, changed
	return nil
}

// candidates sorts the names of those who stand for election by their numbers.
func candidates(names []string) []string {
	const digits = 10 // as ZooKeeper writes them
	number := func(name string) (int64, bool) {
		_, number, ok := strings.Cut(name, "-")
		n, err := strconv.ParseUint(number, 10, 63)
		return int64(n), ok && err == nil && len(number) == digits
	}
	line := slices.DeleteFunc(slices.Clone(names), func(name string) bool {
		_, ok := number(name)
		return !ok
	})
	slices.SortFunc(line, func(a, b string) int {
		m, _ := number(a)
		n, _ := number(b)
		return cmp.Compare(m, n)
	})
	return line
}

// isLoss tells from ZooKeeper's answers what package zk says when there is none: what
// was asked for may have been done, or may yet be. And ErrSessionMoved, which is
// about a connection that is no longer the session's.
func isLoss(err error) bool {
	var fromNet net.Error
	return errors.Is(err, zk.ErrConnectionClosed) || errors.Is(err, zk.ErrClosing) ||
		errors.Is(err, zk.ErrNoServer) || errors.Is(err, zk.ErrSessionMoved) || errors.As(err, &fromNet)
}

// logger takes what package zk has to say, which is hardly ever for a person.
type logger struct{ log *slog.Logger }

func (l logger) Printf(format string, args ...any) {
	l.log.Debug("zk: " + fmt.Sprintf(format, args...))
}
