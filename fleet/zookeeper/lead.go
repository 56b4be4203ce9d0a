package zookeeper

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-zookeeper/zk"

	"github.com/torc-dht/torc"
)

// Lead calls lead, of all processes that call it for the same work, in one at a
// time: the others wait. What names the work, a word like "rebalance". The
// context that lead gets ends when this process may be the leader no more: ctx
// is done, the session with ZooKeeper is over, or the connection to it has been
// lost for a quarter of the session's time-out. Then lead has to return soon;
// and when this process is elected again, it is called again.
//
// Lead returns nil when ctx is done or when lead has returned of its own accord;
// and an error if waiting will not mend what is wrong. It has a session of its
// own, so that whoever waits is told when this process ends or is cut off.
//
// A process that is frozen for longer than its session, and goes on with what it
// was doing when it wakes, does not know for a moment that another one leads. So
// what lead does has to be harmless when it is done twice.
func (d *Directory) Lead(ctx context.Context, what string, lead func(ctx context.Context)) error {
	if !isWord(what) || slices.Contains([]string{"config", "members", "views", "done"}, what) {
		return fmt.Errorf("%w: %q can't name what is to be led: it takes a word like rebalance", torc.ErrInvalid, what)
	}
	c := candidate{
		directory: d,
		client:    newClient(d.opts.Hosts, d.opts.SessionTimeout, d.opts.Logger),
		parent:    path.Join(d.layout.root, what),
		mark:      fmt.Sprintf("%016x-", rand.Uint64()),
		lead:      lead,
	}
	defer c.client.close()
	return c.run(ctx)
}

func isWord(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz-") == ""
}

// candidate is one process in an election. Each has a znode below parent, which
// is ephemeral and numbered: the lowest number leads, and the others watch the
// one before their own, so that a change wakes one of them.
type candidate struct {
	directory *Directory
	client    *client
	parent    string
	mark      string // begins the names of its own znodes, and nobody else's
	lead      func(context.Context)
}

func (c *candidate) run(ctx context.Context) error {
	for ctx.Err() == nil {
		at, changed := c.client.contact()
		var r rank
		var err error
		if at.connected() {
			r, err = c.stand(ctx, at)
		}
		var never hopeless
		var retry <-chan time.Time
		switch {
		case !at.connected(), ctx.Err() != nil, errors.Is(err, errLost):
		case errors.As(err, &never):
			return err
		case err != nil:
			c.directory.opts.Logger.Warn("the election can't be read; trying again", "path", c.parent, "error", err)
			retry = time.After(time.Second)
		case r.first:
			if resigned := c.hold(ctx, at, r); resigned {
				return nil
			}
			continue
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-r.own:
		case <-r.before:
		case <-retry:
		}
	}
	return nil
}

// rank is how a candidate stands.
type rank struct {
	first  bool
	own    <-chan zk.Event // fires when its own znode goes
	before <-chan zk.Event // when the one before it does; nil for the first
}

// stand makes the candidate's znode, unless it is there, and says how it stands.
func (c *candidate) stand(ctx context.Context, at contact) (rank, error) {
	d := c.directory
	// The creation of a znode may be on its way still, from another connection.
	if _, err := call(ctx, at, func(conn *zk.Conn) (string, error) { return conn.Sync(c.parent) }); err != nil {
		return rank{}, d.failed("sync", err)
	}
	for {
		names, _, err := list(ctx, at, c.parent)
		if errors.Is(err, zk.ErrNoNode) {
			if err := d.makeWay(ctx, at, c.parent); err != nil {
				return rank{}, err
			}
			continue
		}
		if err != nil {
			return rank{}, d.failed("reading who stands for election", err)
		}
		standing := candidates(names)
		i := slices.IndexFunc(standing, func(name string) bool { return strings.HasPrefix(name, c.mark) })
		if i < 0 {
			err := c.enter(ctx, at)
			if err != nil && !errors.Is(err, zk.ErrNoNode) {
				return rank{}, d.failed("standing for election", err)
			}
			continue
		}
		own, session, err := c.watch(ctx, at, standing[i])
		if err != nil {
			return rank{}, err
		}
		if session != at.session.id { // gone, or of the session before and about to go
			if err := c.leave(ctx, at, standing[i]); err != nil {
				return rank{}, err
			}
			continue
		}
		if i == 0 {
			return rank{first: true, own: own}, nil
		}
		before, session, err := c.watch(ctx, at, standing[i-1])
		if err != nil {
			return rank{}, err
		}
		if session != 0 {
			return rank{own: own, before: before}, nil
		}
	}
}

// enter makes the candidate's znode. For people, it says whose it is.
func (c *candidate) enter(ctx context.Context, at contact) error {
	host, _ := os.Hostname()
	data := []byte(fmt.Sprintf("%s, process %d", cmp.Or(host, "somewhere"), os.Getpid()))
	_, err := call(ctx, at, func(conn *zk.Conn) (string, error) {
		return conn.Create(path.Join(c.parent, c.mark), data, zk.FlagEphemeralSequential, zk.WorldACL(zk.PermAll))
	})
	return err
}

func (c *candidate) leave(ctx context.Context, at contact, name string) error {
	_, err := call(ctx, at, func(conn *zk.Conn) (struct{}, error) {
		return struct{}{}, conn.Delete(path.Join(c.parent, name), -1)
	})
	if errors.Is(err, zk.ErrNoNode) {
		return nil
	}
	return c.directory.failed("leaving the election", err)
}

// watch watches a candidate's znode, and returns whose session's it is: 0 if
// there is none.
func (c *candidate) watch(ctx context.Context, at contact, name string) (fires <-chan zk.Event, session int64, err error) {
	type answer struct {
		stat   *zk.Stat
		exists bool
		events <-chan zk.Event
	}
	got, err := call(ctx, at, func(conn *zk.Conn) (a answer, err error) {
		a.exists, a.stat, a.events, err = conn.ExistsW(path.Join(c.parent, name))
		return a, err
	})
	if err != nil {
		return nil, 0, c.directory.failed("watching the election", err)
	}
	if !got.exists {
		return got.events, 0, nil
	}
	return got.events, got.stat.EphemeralOwner, nil
}

// candidates sorts the names of those who stand for election by their numbers.
func candidates(names []string) []string {
	type numbered struct {
		name   string
		number uint64
	}
	var all []numbered
	for _, name := range names {
		_, digits, ok := strings.Cut(name, "-")
		number, err := strconv.ParseUint(digits, 10, 64)
		if ok && err == nil && len(digits) == sequenceDigits {
			all = append(all, numbered{name, number})
		}
	}
	slices.SortFunc(all, func(a, b numbered) int { return cmp.Compare(a.number, b.number) })
	sorted := make([]string, len(all))
	for i, n := range all {
		sorted[i] = n.name
	}
	return sorted
}

// hold calls lead, and returns when that has returned. It says whether lead did
// so although it could have gone on.
func (c *candidate) hold(ctx context.Context, at contact, r rank) (resigned bool) {
	leading, end := context.WithCancel(ctx)
	defer end()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		c.lead(leading)
	}()
	o := office{session: at.session.id, conn: at.conn}
	for {
		at, changed := c.client.contact()
		stays, looks, until := o.contact(at, time.Now())
		if stays && looks {
			again, err := c.stand(leading, at)
			switch {
			case err == nil:
				stays = again.first
				r, o.conn = again, at.conn
			case !errors.Is(err, errLost):
				stays = false
			}
		}
		if !stays {
			end()
			<-ended
			return false
		}
		var over <-chan time.Time
		if !until.IsZero() {
			over = time.After(time.Until(until))
		}
		select {
		case <-ended:
			return leading.Err() == nil
		case <-ctx.Done():
			<-ended
			return false
		case <-changed:
		case <-r.own: // somebody deleted it, or touched it, or nobody watches any more
			r.own, o.conn = nil, nil
		case <-over:
		}
	}
}

// office is what a leader may believe. It does no I/O and reads no clock.
type office struct {
	session int64
	conn    *connection // over which its znode is watched
}

// contact takes in how things stand with ZooKeeper. The leader stays in office,
// or not; looks says that it has to see whether its znode still stands; until,
// if not zero, is when to ask again.
//
// ZooKeeper ends a session when it has heard nothing for its time-out. A client
// that hears nothing for two thirds of that gives the connection up. So a quarter
// after that no other leads yet, and the old leader has the rest, a twelfth, to
// stop what it does.
func (o *office) contact(at contact, now time.Time) (stays, looks bool, until time.Time) {
	switch {
	case at.session.id != o.session:
		return false, false, time.Time{}
	case at.connected():
		return true, at.conn != o.conn, time.Time{}
	}
	until = at.since.Add(at.session.timeout / 4)
	return now.Before(until), false, until
}
