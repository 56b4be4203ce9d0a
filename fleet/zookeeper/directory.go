package zookeeper

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/fleet"
)

// Defaults of Options.
const (
	// DefaultPort is ZooKeeper's.
	DefaultPort = "2181"
	// DefaultPath is where a fleet is kept.
	DefaultPath = "/torc"
	// DefaultSessionTimeout is the session time-out asked for: after so long a
	// watchdog that was killed, or whose machine is cut off, is out of the
	// fleet. ZooKeeper grants at least two of its ticks (4 s where tickTime is
	// the usual 2000). Shorter, and a pause of ZooKeeper's garbage collection
	// would throw servers out that are well.
	DefaultSessionTimeout = 2 * time.Second
	// DefaultConnectTimeout bounds the wait for a first connection.
	DefaultConnectTimeout = 5 * time.Second
)

// Options say which fleet in which ZooKeeper.
type Options struct {
	// Hosts are ZooKeeper's servers, host:port each. At least one.
	Hosts []string
	// Path is the fleet's root; empty means DefaultPath.
	Path string
	// Config is what is asked of the fleet. Zero fields ask nothing: they stand
	// for what the fleet has.
	Config fleet.Config
	// SessionTimeout and ConnectTimeout; zero means the defaults.
	SessionTimeout time.Duration
	ConnectTimeout time.Duration
	// Logger hears what goes on; nil discards it.
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	o.Path = cmp.Or(o.Path, DefaultPath)
	o.SessionTimeout = cmp.Or(o.SessionTimeout, DefaultSessionTimeout)
	o.ConnectTimeout = cmp.Or(o.ConnectTimeout, DefaultConnectTimeout)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Validate says what is wrong with o, if anything; the error wraps
// torc.ErrInvalid.
func (o Options) Validate() error {
	var errs []error
	if len(o.Hosts) == 0 {
		errs = append(errs, errors.New("it names no ZooKeeper: write zk://host:port/path"))
	}
	for _, h := range o.Hosts {
		errs = append(errs, torc.CheckAddr(h))
	}
	if o.Path != "" {
		errs = append(errs, checkPath(o.Path))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("%w: %w", torc.ErrInvalid, err)
	}
	return nil
}

// Directory is a fleet's directory in ZooKeeper. It is connected while one of
// its methods is under way, over one session that they share, and holds nothing
// in between: there is nothing to close.
//
// Its methods other than Follow wait for ConnectTimeout at most if there is no
// connection, and fail with an error that wraps torc.ErrUnavailable.
type Directory struct {
	opts   Options
	layout layout

	mu struct {
		sync.Mutex
		users  int
		client *client // nil when users is 0
	}
}

var _ fleet.Directory = (*Directory)(nil)

// New returns the directory that o describes. It does no I/O.
func New(o Options) (*Directory, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	return &Directory{opts: o, layout: layout{o.Path}}, nil
}

// acquire returns the client, and begins to connect if nobody uses it yet.
func (d *Directory) acquire() *client {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mu.users == 0 {
		d.mu.client = newClient(d.opts.Hosts, d.opts.SessionTimeout, d.opts.Logger)
	}
	d.mu.users++
	return d.mu.client
}

// release ends the session if nobody else uses it.
func (d *Directory) release() {
	d.mu.Lock()
	d.mu.users--
	c := d.mu.client
	last := d.mu.users == 0
	if last {
		d.mu.client = nil
	}
	d.mu.Unlock()
	if last {
		c.close()
	}
}

// connect returns a connection, for the caller to release.
func (d *Directory) connect(ctx context.Context) (contact, error) {
	c := d.acquire()
	at, err := c.await(ctx)
	if err != nil {
		d.release()
		return contact{}, fmt.Errorf("%w: %w", torc.ErrUnavailable, err)
	}
	return at, nil
}

// bound gives ctx the time that a caller may be kept waiting.
func (d *Directory) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, d.opts.ConnectTimeout, fmt.Errorf("no answer within %v", d.opts.ConnectTimeout))
}

// with calls f with a connection, again with another one if that breaks.
func (d *Directory) with(ctx context.Context, f func(ctx context.Context, at contact) error) error {
	ctx, cancel := d.bound(ctx)
	defer cancel()
	for {
		at, err := d.connect(ctx)
		if err != nil {
			return err
		}
		err = f(ctx, at)
		d.release()
		if err != nil && ctx.Err() != nil {
			return fmt.Errorf("%w: %w", torc.ErrUnavailable, err)
		}
		if !errors.Is(err, errLost) {
			return err
		}
	}
}

// Follow implements [fleet.Directory]. It writes the fleet's config, with what
// Options ask for and the defaults otherwise, if there is none; and fails if
// there is one that contradicts them, or the directory can't be read for another
// reason that waiting will not mend. Once it has reported members it fails no
// more: it holds them then, marked as LostContact, and tries again each second,
// because the callers that it serves would otherwise go by them for ever.
func (d *Directory) Follow(ctx context.Context, report func(fleet.Membership)) error {
	c := d.acquire()
	defer d.release()
	r := reader{directory: d, asked: d.opts.Config}
	f := follower{grace: grace(d.opts.SessionTimeout), patience: patience}
	var read *connection // over which the directory was read last
	for ctx.Err() == nil {
		at, changed := c.contact()
		var retry time.Time
		var err error
		if at.connected() {
			if at.conn != read || r.stale() {
				err = d.observe(ctx, at, &r, &f)
			}
			if err == nil {
				read = at.conn
				f.regain(time.Now())
				if f.due(time.Now()) {
					var got reading
					if got, err = r.record(ctx, at); err == nil {
						f.recorded(got)
					}
				}
			}
			if back := setBack(""); errors.As(err, &back) {
				err = d.startOver(ctx, at, &r, back)
			}
		} else {
			f.lose(at.since)
		}
		var never hopeless
		switch {
		case err == nil:
		case errors.Is(err, errChanged) || errors.Is(err, errLost) || ctx.Err() != nil:
			continue
		case errors.As(err, &never) && !f.known:
			return err
		default:
			d.opts.Logger.Warn("the directory can't be read; trying again", "error", err)
			r.forget()
			f.lose(time.Now())
			retry = time.Now().Add(time.Second)
		}
		m, news, again := f.current(time.Now())
		if news {
			report(m)
		}
		if !retry.IsZero() && (again.IsZero() || retry.Before(again)) {
			again = retry
		}
		if !d.wait(ctx, changed, &r, again) {
			return nil
		}
	}
	return nil
}

// observe reads the directory.
func (d *Directory) observe(ctx context.Context, at contact, r *reader, f *follower) error {
	got, err := r.read(ctx, at)
	if err == nil && f.observe(got, time.Now()) == behind {
		err = setBack(fmt.Sprintf("the members' version went back from %d to %d", f.last.Version, got.version))
	}
	return err
}

// startOver begins a new generation if ZooKeeper has lost changes, and not just
// the server that we are connected to lags. Either way, read again.
func (d *Directory) startOver(ctx context.Context, at contact, r *reader, because setBack) error {
	defer r.forget()
	if !r.synced {
		return errChanged
	}
	d.opts.Logger.Warn("ZooKeeper has lost changes: beginning a new generation", "path", d.layout.root, "because", because)
	return cmp.Or(r.renew(ctx, at), errChanged)
}

// hopeless is an error that waiting will not mend.
type hopeless struct{ error }

func (h hopeless) Unwrap() error { return h.error }

// wait returns when there may be something to do, or false when ctx is done.
func (d *Directory) wait(ctx context.Context, changed <-chan struct{}, r *reader, again time.Time) bool {
	var timer <-chan time.Time
	if !again.IsZero() {
		t := time.NewTimer(time.Until(again))
		defer t.Stop()
		timer = t.C
	}
	select {
	case <-ctx.Done():
		return false
	case <-changed:
	case <-timer:
	case <-r.config.fired():
	case <-r.members.fired():
	case <-r.doneWatch.fired():
	}
	return true
}

// Config returns the fleet's config and generation. If there is none it writes
// it, as Follow does. It fails if the config contradicts what Options ask for.
func (d *Directory) Config(ctx context.Context) (fleet.Config, uint64, error) {
	r := reader{directory: d, asked: d.opts.Config}
	err := d.with(ctx, func(ctx context.Context, at contact) error { return r.readConfig(ctx, at) })
	return r.has.config(), r.has.Generation, err
}

// Drain marks the server at addr, a member or not, as one that holds no keys,
// until Undrain.
func (d *Directory) Drain(ctx context.Context, addr string) error {
	if err := torc.CheckAddr(addr); err != nil {
		return fmt.Errorf("%w: %w", torc.ErrInvalid, err)
	}
	return d.with(ctx, func(ctx context.Context, at contact) error {
		if err := d.makeMembers(ctx, at); err != nil {
			return err
		}
		err := create(ctx, at, d.layout.drain(addr), nil)
		if errors.Is(err, zk.ErrNodeExists) {
			return nil
		}
		return d.failed("drain "+addr, err)
	})
}

// Undrain takes back what Drain said. The server holds what it held when it was
// drained, and others took its keys meanwhile: flush it before, or stale values
// are read.
func (d *Directory) Undrain(ctx context.Context, addr string) error {
	if err := torc.CheckAddr(addr); err != nil {
		return fmt.Errorf("%w: %w", torc.ErrInvalid, err)
	}
	return d.with(ctx, func(ctx context.Context, at contact) error {
		_, err := call(ctx, at, func(conn *zk.Conn) (struct{}, error) {
			return struct{}{}, conn.Delete(d.layout.drain(addr), -1)
		})
		if errors.Is(err, zk.ErrNoNode) {
			return nil
		}
		return d.failed("undrain "+addr, err)
	})
}

// Child is a child of members as it stands in ZooKeeper.
type Child struct {
	Name string
	Kind Kind
	// Addr is whom it is about; empty for a Strange one.
	Addr string
	// Weight of an Announcement; 0 if its data can't be read.
	Weight uint32
	// Session that made it and will take it along, 0 for a persistent one.
	Session int64
	// Created, by ZooKeeper's clock.
	Created time.Time
	// Counts says whether it is part of the view: it is a Drain, or the newest
	// Announcement of its address.
	Counts bool
}

// List returns what stands among the members, sorted by name, and the version
// of the view that it makes. It writes nothing: where there is no fleet, it
// returns nothing.
func (d *Directory) List(ctx context.Context) (version uint64, children []Child, err error) {
	err = d.with(ctx, func(ctx context.Context, at contact) error {
		version, children = 0, nil
		names, stat, err := list(ctx, at, d.layout.members())
		if errors.Is(err, zk.ErrNoNode) {
			return nil
		}
		if err != nil {
			return d.failed("list", err)
		}
		// Without a config, the versions will count from 0.
		config, _, err := get(ctx, at, d.layout.config())
		if err != nil && !errors.Is(err, zk.ErrNoNode) {
			return d.failed("list", err)
		}
		has, _ := parseConfig(config)
		version, _ = has.version(stat.Cversion)
		alive, _, _ := living(names)
		slices.Sort(names)
		for _, name := range names {
			data, stat, err := get(ctx, at, d.layout.member(name))
			if errors.Is(err, zk.ErrNoNode) {
				continue
			}
			if err != nil {
				return d.failed("list", err)
			}
			n := parseChild(name)
			child := Child{Name: name, Kind: n.kind, Addr: n.addr, Session: stat.EphemeralOwner, Created: time.UnixMilli(stat.Ctime)}
			switch n.kind {
			case Announcement:
				child.Weight, _ = parseWeight(data)
				child.Counts = slices.Contains(alive, n)
			case Drain:
				child.Counts = true
			}
			children = append(children, child)
		}
		return nil
	})
	return version, children, err
}

// failed says what was being done to which fleet.
func (d *Directory) failed(doing string, err error) error {
	if err == nil || errors.Is(err, errLost) || errors.Is(err, errChanged) {
		return err
	}
	if errors.Is(err, zk.ErrNoAuth) {
		err = hopeless{fmt.Errorf("%w: ZooKeeper's access rules for %s don't allow it to this client", err, d.layout.root)}
	}
	return fmt.Errorf("%s in zk://%s%s: %w", doing, strings.Join(d.opts.Hosts, ","), d.layout.root, err)
}

// makeMembers makes the members' znode, and those on the way to it.
func (d *Directory) makeMembers(ctx context.Context, at contact) error {
	return d.makeWay(ctx, at, d.layout.members())
}

// makeWay makes the znode at path and those on the way to it.
func (d *Directory) makeWay(ctx context.Context, at contact, path string) error {
	for i := 1; i <= len(path); i++ {
		if i < len(path) && path[i] != '/' {
			continue
		}
		if err := create(ctx, at, path[:i], nil); err != nil && !errors.Is(err, zk.ErrNodeExists) {
			return d.failed("making "+path[:i], err)
		}
	}
	return nil
}
