package watchdog

import (
	"fmt"
	"time"
)

// Kind is what an Event is about.
type Kind string

// The kinds of events.
const (
	// Session: ZooKeeper granted a new session. Granted is its time-out.
	Session Kind = "session"
	// LostContact: there has been no connection to ZooKeeper for a while;
	// Reason says what is wrong with which of its servers.
	LostContact Kind = "lost-contact"
	// BackInContact: there is a connection again, and the session lives.
	BackInContact Kind = "back-in-contact"
	// Expired: the session is over, and the announcement with it.
	Expired Kind = "expired"
	// Up and Down: what the checks of the memcached say; Reason, why Down.
	Up   Kind = "up"
	Down Kind = "down"
	// Flushed: the memcached was emptied, to be announced.
	Flushed Kind = "flushed"
	// FlushFailed: it could not be emptied, and so isn't announced yet.
	FlushFailed Kind = "flush-failed"
	// Announced: the memcached is in the fleet, by Znode. TookOver is the
	// announcement that stood before, if it was never out.
	Announced Kind = "announced"
	// Withdrawn: it is out of the fleet; Reason says why.
	Withdrawn Kind = "withdrawn"
	// Vanished: somebody deleted Znode.
	Vanished Kind = "vanished"
	// Failed: ZooKeeper refused what was asked; Doing says what that was.
	Failed Kind = "failed"
)

// Event is something that happened to a watchdog. String makes a line of it.
type Event struct {
	Time time.Time
	Kind Kind
	// Addr is the address that is announced.
	Addr     string
	Znode    string
	TookOver string
	Doing    string
	// Session is the session's number, in Session, LostContact, BackInContact
	// and Expired.
	Session int64
	// Granted is the session time-out that ZooKeeper granted, Asked the one
	// that was asked for. Longer than asked means that the fleet notices later
	// that this machine is gone.
	Granted, Asked time.Duration
	Reason         error
}

// String formats e in one line without its time.
func (e Event) String() string {
	session := fmt.Sprintf("0x%x", uint64(e.Session))
	switch e.Kind {
	case Session:
		line := fmt.Sprintf("%s: session %s with ZooKeeper, time-out %v", e.Addr, session, e.Granted)
		if e.Granted > e.Asked {
			line += fmt.Sprintf(" (WARNING: longer than the %v asked for; if this machine dies, clients notice only after %v; ZooKeeper's tickTime and minSessionTimeout decide)", e.Asked, e.Granted)
		}
		return line
	case LostContact:
		return fmt.Sprintf("%s: no contact with ZooKeeper: %v", e.Addr, e.Reason)
	case BackInContact:
		return fmt.Sprintf("%s: back in contact with ZooKeeper, session %s lives on", e.Addr, session)
	case Expired:
		return fmt.Sprintf("%s: session %s has expired, and the announcement with it", e.Addr, session)
	case Up:
		return fmt.Sprintf("%s: memcached answers", e.Addr)
	case Down:
		return fmt.Sprintf("%s: memcached is down: %v", e.Addr, e.Reason)
	case Flushed:
		return fmt.Sprintf("%s: flushed, since it was away from the fleet and may hold stale values", e.Addr)
	case FlushFailed:
		return fmt.Sprintf("%s: not announced, since it can't be flushed: %v", e.Addr, e.Reason)
	case Announced:
		if e.TookOver != "" {
			return fmt.Sprintf("%s: announced as %s, taking over from %s", e.Addr, e.Znode, e.TookOver)
		}
		return fmt.Sprintf("%s: announced as %s", e.Addr, e.Znode)
	case Withdrawn:
		return fmt.Sprintf("%s: withdrawn: %v", e.Addr, e.Reason)
	case Vanished:
		return fmt.Sprintf("%s: somebody deleted the announcement %s", e.Addr, e.Znode)
	case Failed:
		return fmt.Sprintf("%s: ZooKeeper refused (%s): %v", e.Addr, e.Doing, e.Reason)
	}
	return fmt.Sprintf("%s: %s", e.Addr, e.Kind)
}
