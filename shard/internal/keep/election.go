package keep

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/torc-dht/torc"
)

// DefaultSessionTimeout is asked for; ZooKeeper grants two of its ticks at least,
// by default 4 s. It is how long after a leader's death another one leads. Much
// less, and a pause of ZooKeeper's ends reigns.
const DefaultSessionTimeout = 2 * time.Second

const (
	defaultPort = "2181"
	// minPause and maxPause bound the pause before a new session after one that
	// came to nothing.
	minPause = 20 * time.Millisecond
	maxPause = time.Second
)

// ElectionOptions say where an election is, and who stands.
type ElectionOptions struct {
	// Hosts are ZooKeeper's servers, host:port.
	Hosts []string
	// Path is the znode under which all is kept. It is made if it isn't there.
	Path string
	// Addr is this master's host:port, as servers and people reach it.
	Addr string
	// SessionTimeout is what to ask for; 0 means DefaultSessionTimeout.
	SessionTimeout time.Duration
	// Now is a clock in nanoseconds that never goes back, and goes on while the
	// process is stopped and while the machine sleeps: CLOCK_BOOTTIME.
	Now func() int64
	// Logger is told what is in the way, and by debug each step; nil means no one.
	Logger *slog.Logger
}

// ParseURL reads zk://host:port,host:port/path into Hosts and Path. The port is
// 2181 unless given.
func ParseURL(raw string) (ElectionOptions, error) {
	bad := func(err error) (ElectionOptions, error) {
		return ElectionOptions{}, fmt.Errorf("%q can't hold an election: %w: write it as zk://zk1:2181,zk2:2181,zk3:2181/torc/masters", raw, err)
	}
	if !strings.HasPrefix(strings.ToLower(raw), "zk://") {
		return bad(errors.New("it does not begin with zk://"))
	}
	u, err := torc.ParseURL(raw)
	if err != nil {
		return ElectionOptions{}, err
	}
	o := ElectionOptions{Hosts: u.Addrs(defaultPort), Path: strings.TrimSuffix(u.Path, "/")}
	if len(u.Query) > 0 {
		return bad(fmt.Errorf("it takes no parameters, and has ?%s", u.Query.Encode()))
	}
	if err := o.checkPlace(); err != nil {
		return bad(err)
	}
	return o, nil
}

func (o *ElectionOptions) checkPlace() error {
	switch {
	case len(o.Hosts) == 0:
		return errors.New("it names no host")
	case o.Path == "":
		return errors.New("it names no path, and each table has to have one of its own")
	case o.Path != path.Clean(o.Path) || !strings.HasPrefix(o.Path, "/"):
		return fmt.Errorf("%q is no path", o.Path)
	case o.Path == "/zookeeper" || strings.HasPrefix(o.Path, "/zookeeper/"):
		return fmt.Errorf("%q is ZooKeeper's own", o.Path)
	}
	for _, r := range o.Path {
		if r < 0x20 || r > 0x7e {
			return fmt.Errorf("its path has the character %q", r)
		}
	}
	return nil
}

// validate returns all that is wrong with o.
func (o *ElectionOptions) validate() error {
	errs := []error{o.checkPlace()}
	if _, _, err := net.SplitHostPort(o.Addr); err != nil {
		errs = append(errs, fmt.Errorf("the master's address: %w", err))
	}
	if o.SessionTimeout < 0 {
		errs = append(errs, fmt.Errorf("a session time-out of %v", o.SessionTimeout))
	}
	if o.Now == nil {
		errs = append(errs, errors.New("no clock"))
	}
	return errors.Join(errs...)
}

func (o *ElectionOptions) mapPath() string      { return o.Path + "/map" }
func (o *ElectionOptions) electionPath() string { return o.Path + "/election" }

// Election keeps the map in ZooKeeper, for one of several masters at a time.
type Election struct {
	o      ElectionOptions
	closed chan struct{}
	once   sync.Once

	mu struct {
		sync.Mutex
		standing *candidacy // the last one; nil before the first
	}
}

var _ Keeper = (*Election)(nil)

// NewElection returns an Election that has not asked ZooKeeper for anything yet.
func NewElection(o ElectionOptions) (*Election, error) {
	if err := o.validate(); err != nil {
		return nil, fmt.Errorf("election: %w", err)
	}
	if o.SessionTimeout == 0 {
		o.SessionTimeout = DefaultSessionTimeout
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Election{o: o, closed: make(chan struct{})}, nil
}

// hopelessError is one that waiting will not mend.
type hopelessError struct{ error }

func (e hopelessError) Unwrap() error { return e.error }

// Lead stands for election, again and again, until it is won.
func (e *Election) Lead(ctx context.Context) (Reign, error) {
	for pause := minPause; ; pause = min(2*pause, maxPause) {
		c, err := e.stand()
		if err != nil {
			return nil, err
		}
		r, err := c.win(ctx)
		if err == nil {
			return r, nil
		}
		c.end(err)
		<-c.gone
		var never hopelessError
		switch {
		case e.isClosed():
			return nil, e.failed(errClosed)
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case errors.As(err, &never):
			return nil, e.failed(never.error)
		}
		e.o.Logger.Warn("standing for election again", "path", e.o.Path, "why", err)
		if c.stood() {
			pause = minPause
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-e.closed:
			return nil, e.failed(errClosed)
		}
	}
}

var errClosed = errors.New("it was closed")

func (e *Election) failed(err error) error {
	return fmt.Errorf("election at %s%s: %w", strings.Join(e.o.Hosts, ","), e.o.Path, err)
}

// stand begins a candidacy, when nothing is left of the one before.
func (e *Election) stand() (*candidacy, error) {
	e.mu.Lock()
	before := e.mu.standing
	e.mu.Unlock()
	if before != nil {
		if before.cause() == nil {
			return nil, e.failed(errors.New("this master stands already"))
		}
		<-before.gone
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.isClosed() {
		return nil, e.failed(errClosed)
	}
	e.mu.standing = e.newCandidacy()
	return e.mu.standing, nil
}

func (e *Election) isClosed() bool {
	select {
	case <-e.closed:
		return true
	default:
		return false
	}
}

// Leader returns who stood first when ZooKeeper was last asked, a tenth of a
// session's time-out ago at most.
func (e *Election) Leader() (addr string, err error) {
	e.mu.Lock()
	c := e.mu.standing
	e.mu.Unlock()
	if c == nil {
		return "", e.failed(errors.New("not begun"))
	}
	trouble := c.dialer.trouble()
	c.mu.Lock()
	defer c.mu.Unlock()
	if trouble = cmp.Or(trouble, c.mu.ended); trouble != nil {
		return "", e.failed(trouble)
	}
	return c.mu.leader, nil
}

// Close implements Keeper.
func (e *Election) Close() error {
	e.once.Do(func() { close(e.closed) })
	e.mu.Lock()
	c := e.mu.standing
	e.mu.Unlock()
	if c != nil {
		c.end(ErrResigned)
		<-c.gone
	}
	return nil
}
