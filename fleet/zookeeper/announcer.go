package zookeeper

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/torc-dht/torc"
)

// Announcer announces one server: it holds the session, and makes and deletes
// the znode when told to. When to, package watchdog decides.
//
// Its methods can be called from several goroutines, but what one of them finds
// another may change.
type Announcer struct {
	directory *Directory
	client    *client
	addr      string
	data      []byte
	close     sync.Once

	mu struct {
		sync.Mutex
		config seenConfig
	}
}

// seenConfig is what an Announcer knows of the fleet's config.
type seenConfig struct {
	conn    *connection // over which it is watched
	watch   watch
	stamped bool
	version int32 // of the znode
}

// NewAnnouncer begins to connect to ZooKeeper, to announce the server at addr
// with its weight (0 means 1), and returns at once. Close it.
func NewAnnouncer(o Options, addr string, weight uint32) (*Announcer, error) {
	d, err := New(o)
	if err != nil {
		return nil, err
	}
	if err := torc.CheckAddr(addr); err != nil {
		return nil, fmt.Errorf("%w: %w", torc.ErrInvalid, err)
	}
	data, err := json.Marshal(announcementData{Weight: max(weight, 1)})
	if err != nil {
		return nil, err
	}
	if _, err := parseWeight(data); err != nil {
		return nil, fmt.Errorf("%w: %w", torc.ErrInvalid, err)
	}
	return &Announcer{directory: d, client: d.acquire(), addr: addr, data: data}, nil
}

// Close ends the session, and with it the announcement. It takes a second at
// most; a ZooKeeper that doesn't answer by then drops the announcement when the
// session's time is over.
func (a *Announcer) Close() { a.close.Do(a.directory.release) }

// Contact is how an Announcer stands with ZooKeeper.
type Contact struct {
	// Session is the present session's number; 0 before the first, and between
	// an expired one and the next. Another number means that what was
	// announced in the one before is gone.
	Session int64
	// Granted is the session time-out that ZooKeeper granted.
	Granted time.Duration
	// Connected says whether there is a connection now, and Since since when it
	// has been so. What was looked at over another connection is watched no more.
	Connected bool
	Since     time.Time
	// Trouble says, while there is none, what is wrong with which server.
	Trouble string
}

// Contact returns how the Announcer stands with ZooKeeper, and what is closed
// when that changes.
func (a *Announcer) Contact() (Contact, <-chan struct{}) {
	at, changed := a.client.contact()
	c := Contact{Session: at.session.id, Granted: at.session.timeout, Connected: at.connected(), Since: at.since}
	if !c.Connected {
		c.Trouble = a.client.ensemble.trouble()
	}
	return c, changed
}

// Errors of an Announcer, tested for with errors.Is. Any other one means that
// ZooKeeper refused.
var (
	// ErrLost: the connection broke, or there was none. What was asked for may
	// have been done, or may yet be: Look, once there is a connection again,
	// tells.
	ErrLost = errLost
	// ErrGone: what Announce was to go by, the announcement to take over or the
	// config with its stamps, is there no more.
	ErrGone = errors.New("zookeeper: what the announcement was to go by is gone")
)

// Standing is what stands in the directory about a server.
type Standing struct {
	// Own is the znode that announces it and is this session's; empty if there
	// is none.
	Own string
	// Other is the znode that announces it and is another session's: that of a
	// watchdog that was killed a moment ago, or of a second one. Empty if there
	// is none, and if clients pass over the newest because of what is in it.
	Other string
	// Disturbed delivers when Own is deleted or changed; nil if there is no Own.
	Disturbed Disturbance
	// Stamped says that the fleet's values are stamped, so that it does no harm
	// if the server holds stale ones. False where there is no config yet.
	Stamped bool
	// Reconfigured delivers when the fleet's config changes; nil where there is
	// none.
	Reconfigured Disturbance
}

// Disturbance delivers something, never mind what, when it is time to Look again.
type Disturbance <-chan zk.Event

// Look says what stands in the directory about the server. It sees everything
// that this session has done, whatever became of the answer: an announcement is
// known by the session's number in it.
func (a *Announcer) Look(ctx context.Context) (Standing, error) {
	at, err := a.connected()
	if err != nil {
		return Standing{}, err
	}
	children, err := a.announcements(ctx, at)
	if err != nil {
		return Standing{}, err
	}
	config, err := a.readConfig(ctx, at)
	if err != nil {
		return Standing{}, err
	}
	s := Standing{Stamped: config.stamped, Reconfigured: config.watch.events}
	for _, c := range children { // from the oldest to the newest
		if !c.own {
			s.Other = ""
			if c.readable {
				s.Other = c.name
			}
			continue
		}
		type answer struct {
			exists bool
			events <-chan zk.Event
		}
		got, err := call(ctx, at, func(conn *zk.Conn) (got answer, err error) {
			got.exists, _, got.events, err = conn.ExistsW(a.directory.layout.member(c.name))
			return got, err
		})
		if err != nil {
			return Standing{}, a.directory.failed("watching "+c.name, err)
		}
		if got.exists {
			s.Own, s.Disturbed = c.name, got.events
		}
	}
	return s, nil
}

// readConfig reads the fleet's config, unless that is known and watched. It
// writes none: what a fleet is like, its clients say.
func (a *Announcer) readConfig(ctx context.Context, at contact) (seenConfig, error) {
	a.mu.Lock()
	seen := a.mu.config
	a.mu.Unlock()
	if seen.conn == at.conn && seen.watch.armed() {
		return seen, nil
	}
	type answer struct {
		data   []byte
		stat   *zk.Stat
		events <-chan zk.Event
	}
	got, err := call(ctx, at, func(conn *zk.Conn) (got answer, err error) {
		got.data, got.stat, got.events, err = conn.GetW(a.directory.layout.config())
		return got, err
	})
	switch {
	case errors.Is(err, zk.ErrNoNode), errors.Is(err, zk.ErrNoAuth):
		seen = seenConfig{}
	case err != nil:
		return seenConfig{}, a.directory.failed("reading config", err)
	default:
		config, _ := parseConfig(got.data) // what can't be read promises no stamps
		seen = seenConfig{conn: at.conn, watch: watch{got.events}, stamped: config.stamped(), version: got.stat.Version}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.mu.config = seen
	return seen, nil
}

// Announce makes the znode. With over, the name of another session's, it does so
// only while that exists, in one transaction, and otherwise fails with ErrGone:
// so the server has not been out of the fleet for a moment. In the same way, with
// stamped, only while the config is the one by which Look found values stamped.
func (a *Announcer) Announce(ctx context.Context, over string, stamped bool) (name string, err error) {
	at, err := a.connected()
	if err != nil {
		return "", err
	}
	l := a.directory.layout
	var operations []any
	if over != "" {
		operations = append(operations, &zk.CheckVersionRequest{Path: l.member(over), Version: -1})
	}
	if stamped {
		a.mu.Lock()
		seen := a.mu.config
		a.mu.Unlock()
		if !seen.stamped {
			return "", ErrGone
		}
		operations = append(operations, &zk.CheckVersionRequest{Path: l.config(), Version: seen.version})
	}
	operations = append(operations, &zk.CreateRequest{
		Path:  l.announce(a.addr),
		Data:  a.data,
		Acl:   zk.WorldACL(zk.PermAll),
		Flags: zk.FlagEphemeralSequential,
	})
	created, err := call(ctx, at, func(conn *zk.Conn) (string, error) {
		results, err := conn.Multi(operations...)
		if err != nil {
			return "", err
		}
		return results[len(results)-1].String, nil
	})
	switch {
	case errors.Is(err, zk.ErrNoNode), errors.Is(err, zk.ErrBadVersion):
		// Or the members' own znode is gone, which the next Look mends.
		return "", ErrGone
	case err != nil:
		return "", a.directory.failed("announcing "+a.addr, err)
	}
	return created[len(l.members())+1:], nil
}

// Withdraw deletes own, if not empty, and then what else announces the server
// and is this session's.
func (a *Announcer) Withdraw(ctx context.Context, own string) error {
	at, err := a.connected()
	if err != nil {
		return err
	}
	if own != "" { // at once: clients wait for it
		if err := a.delete(ctx, at, own); err != nil {
			return err
		}
	}
	children, err := a.announcements(ctx, at)
	if err != nil {
		return err
	}
	for _, c := range children {
		if c.own {
			if err := a.delete(ctx, at, c.name); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *Announcer) delete(ctx context.Context, at contact, name string) error {
	_, err := call(ctx, at, func(conn *zk.Conn) (struct{}, error) {
		return struct{}{}, conn.Delete(a.directory.layout.member(name), -1)
	})
	if err != nil && !errors.Is(err, zk.ErrNoNode) {
		return a.directory.failed("withdrawing "+name, err)
	}
	return nil
}

func (a *Announcer) connected() (contact, error) {
	at, _ := a.client.contact()
	if !at.connected() {
		return contact{}, ErrLost
	}
	return at, nil
}

type announcement struct {
	childName
	own      bool
	readable bool // clients count it
}

// announcements returns the server's announcements from the oldest to the
// newest. Where there is no fleet yet it makes the place for one.
func (a *Announcer) announcements(ctx context.Context, at contact) ([]announcement, error) {
	// Something that this session asked for over its last connection may be on
	// its way still: what sync returns from, it does not overtake.
	members := a.directory.layout.members()
	if _, err := call(ctx, at, func(conn *zk.Conn) (string, error) { return conn.Sync(members) }); err != nil {
		return nil, a.directory.failed("sync", err)
	}
	names, _, err := list(ctx, at, members)
	if errors.Is(err, zk.ErrNoNode) {
		return nil, a.directory.makeMembers(ctx, at)
	}
	if err != nil {
		return nil, a.directory.failed("reading the members", err)
	}
	var found []announcement
	for _, c := range ofAddr(names, a.addr) {
		data, stat, err := get(ctx, at, a.directory.layout.member(c.name))
		switch {
		case errors.Is(err, zk.ErrNoNode):
		case errors.Is(err, zk.ErrNoAuth): // we make none that we can't read
			found = append(found, announcement{childName: c})
		case err != nil:
			return nil, a.directory.failed("reading "+c.name, err)
		default:
			_, unreadable := parseWeight(data)
			found = append(found, announcement{c, stat.EphemeralOwner == at.session.id, unreadable == nil})
		}
	}
	return found, nil
}
