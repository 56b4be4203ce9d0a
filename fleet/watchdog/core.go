package watchdog

import (
	"cmp"
	"errors"
	"time"

	"github.com/torc-dht/torc/fleet/zookeeper"
)

// core decides what to do next. It does no I/O and reads no clock: it is told
// what has happened, one thing at a time, and asked by next what to do. At most
// one action is under way at any time, and its outcome is told before the next
// is asked for.
type core struct {
	noFlush bool

	// The server.
	up     bool
	reason error // why not

	// The session with ZooKeeper. Another number means that what was announced
	// under the one before is gone.
	session   int64
	connected bool
	since     time.Time // since when connected is as it is
	reported  int64     // the session that was reported last

	// What stands in ZooKeeper, as far as is known: own, other and stamped are
	// only what was seen last unless looked is true.
	looked  bool
	own     string // announcement of this session
	other   string // of another session
	stamped bool   // stale values do no harm

	// flushed: the server was flushed for the announcement that comes next.
	// One flush serves one attempt.
	flushed bool
	// unclean: it wasn't for the last announcement, or for one before that was
	// taken over, because of the stamps.
	unclean bool
	// lapsed is why the server was down, since the last announcement was begun:
	// it stood for what the server held before.
	lapsed error

	busy     bool
	pausing  bool   // since an attempt failed for a reason that waits for nothing we would be told of
	failures int    // such, since something was announced or withdrawn: the pauses grow with it
	failing  string // the last of them, which is reported once however often it comes
	lost     bool   // the loss of contact has been reported

	events []Event // to be reported
}

// action is what to do.
type action struct {
	verb    verb
	znode   string // announce: the announcement to take over from; withdraw: the one to delete
	stamped bool   // announce: only if values are stamped
	reason  error  // withdraw: why
	session int64  // the session in which it is done
}

type verb uint8

const (
	nothing  verb = iota
	look          // what stands in ZooKeeper
	flush         // the server
	announce      // the server
	withdraw      // the announcement
)

func (v verb) String() string {
	return [...]string{"nothing", "look", "flush", "announce", "withdraw"}[v]
}

// next returns what to do now. Unless that is nothing, the core is busy until
// the action's outcome is told.
func (c *core) next() action {
	a := action{verb: c.choose(), session: c.session}
	switch a.verb {
	case announce:
		a.znode, a.stamped = c.other, c.trusts()
		c.unclean, c.lapsed = !c.flushed && (c.unclean || c.stamped), nil
	case withdraw:
		a.znode, a.reason = c.own, c.reason
		if c.up {
			a.reason = cmp.Or(c.lapsed, errUnstamped)
		}
	}
	c.busy = c.busy || a.verb != nothing
	return a
}

func (c *core) choose() verb {
	switch {
	case c.busy || c.pausing || !c.connected:
		return nothing
	case c.own != "" && (!c.up || c.lapsed != nil):
		return withdraw
	case !c.looked:
		return look
	case c.own != "" && c.other == "" && c.unclean && !c.stamped && !c.noFlush:
		return withdraw
	case !c.up || c.own != "":
		return nothing
	case c.other != "" || c.noFlush || c.flushed || c.trusts():
		return announce
	}
	return flush
}

// errUnstamped is why a server is withdrawn that is well.
var errUnstamped = errors.New("the fleet's values carry no stamps any more, and it may hold stale ones")

// trusts says whether it is the stamps alone that make a flush needless.
func (c *core) trusts() bool {
	return c.stamped && !c.flushed && !c.noFlush && c.other == ""
}

// probed takes in that the server is up, or not, and why.
func (c *core) probed(up bool, reason error) {
	c.looked = false // somebody else may have announced or withdrawn it meanwhile
	c.up, c.reason = up, reason
	c.flushed = false
	if up {
		c.report(Event{Kind: Up})
	} else {
		c.lapsed = reason
		c.report(Event{Kind: Down, Reason: reason})
	}
}

// contact takes in how things stand with ZooKeeper. Told twice, it does nothing.
func (c *core) contact(at zookeeper.Contact) {
	if at.Session != c.session {
		if c.session != 0 {
			c.report(Event{Kind: Expired, Session: c.session})
		}
		c.session = at.Session
		c.own, c.other, c.looked, c.flushed = "", "", false, false
	}
	if at.Connected {
		switch {
		case c.session != c.reported:
			c.report(Event{Kind: Session, Session: at.Session, Granted: at.Granted})
			c.reported = c.session
		case c.lost:
			c.report(Event{Kind: BackInContact, Session: at.Session})
		}
		c.lost = false
	}
	if at.Connected != c.connected || !at.Since.Equal(c.since) { // or broken and made again unseen
		c.looked, c.flushed = false, false
	}
	c.connected, c.since = at.Connected, at.Since
}

// outOfTouch takes in that there has been no contact for a while.
func (c *core) outOfTouch(trouble string) {
	if !c.connected && !c.lost {
		c.lost = true
		c.report(Event{Kind: LostContact, Session: c.session, Reason: errors.New(trouble)})
	}
}

// disturbed takes in that something happened to the announcement or the config.
func (c *core) disturbed() { c.looked = false }

// woken takes in that the pause after a failure is over.
func (c *core) woken() { c.pausing = false }

// done takes in how an action ended: for look what stands, for announce the
// znode's name. It returns true if there has to be a pause, of which woken tells
// the end.
func (c *core) done(a action, s zookeeper.Standing, name string, err error) (pause bool) {
	c.busy = false
	switch {
	case a.verb == flush:
		return c.afterFlush(a, err)
	case a.session != c.session:
		// It was done in a session that is gone, or in one of which we are yet
		// to hear. Either way looking tells.
		c.looked = false
		return false
	case errors.Is(err, zookeeper.ErrLost), errors.Is(err, zookeeper.ErrGone):
		c.looked, c.flushed = false, false
		return false
	case err != nil:
		c.looked, c.flushed = false, false
		c.failed(Event{Kind: Failed, Doing: a.verb.String(), Reason: err})
		return true
	}
	if a.verb != look {
		c.failures, c.failing = 0, ""
	}
	switch a.verb {
	case look:
		c.afterLook(s)
	case announce:
		c.own, c.looked, c.flushed = name, false, false // and watch it
		c.report(Event{Kind: Announced, Znode: name, TookOver: a.znode})
	case withdraw:
		c.report(Event{Kind: Withdrawn, Znode: c.own, Reason: a.reason})
		c.own, c.looked = "", false
	}
	return false
}

func (c *core) afterFlush(a action, err error) (pause bool) {
	if err != nil {
		c.failed(Event{Kind: FlushFailed, Reason: err})
		return true
	}
	// Only while nothing has happened that calls for another look first.
	c.flushed = c.looked && c.connected && c.up && a.session == c.session
	c.report(Event{Kind: Flushed})
	return false
}

func (c *core) failed(e Event) {
	c.pausing = true
	c.failures++
	if what := e.String(); what != c.failing {
		c.failing = what
		c.report(e)
	}
}

func (c *core) afterLook(s zookeeper.Standing) {
	switch s.Own {
	case c.own:
	case "":
		c.report(Event{Kind: Vanished, Znode: c.own})
	default: // an announcement whose answer was lost
		c.report(Event{Kind: Announced, Znode: s.Own})
	}
	c.own, c.other, c.stamped, c.looked = s.Own, s.Other, s.Stamped, true
}

func (c *core) report(e Event) { c.events = append(c.events, e) }

// take returns what is to be reported.
func (c *core) take() []Event {
	events := c.events
	c.events = nil
	return events
}
