package zookeeper

import (
	"cmp"
	"slices"
	"time"

	"github.com/torc-dht/torc/fleet"
)

// reading is the directory as it was read once.
type reading struct {
	generation uint64
	version    uint64
	config     fleet.Config
	servers    []fleet.Server // sorted by address, one for each
}

func (r reading) membership() fleet.Membership {
	return fleet.Membership{Generation: r.generation, Version: r.version, Config: r.config, Servers: r.servers}
}

// follower decides what membership to report, from what is read and from when
// the contact is lost and back. It does no I/O and reads no clock.
//
// Within a generation it goes forward only. Another generation means that
// ZooKeeper has lost its data and that the servers are only just announcing
// themselves again. To go over to that list at once would move nearly all keys
// to whoever is first, and back again a moment later. So the last membership of
// the old generation is held, marked as LostContact, since until the servers have
// spoken nobody knows who is there, until each of its servers is announced in
// the new one or the grace is over. A union of both lists would come to the same
// for the servers of the old one, but would be a view with no version.
type follower struct {
	grace    time.Duration
	patience time.Duration

	known bool
	last  fleet.Membership // as reported last

	young *reading  // of a generation that is not gone over to yet
	since time.Time // from when its grace counts

	lost time.Time // since when there is no contact; zero while there is
}

// grace is how long servers of a generation that is gone stay in use. A watchdog
// notices that ZooKeeper is back no later than maxBackoff after the client does,
// connects (handshakeTimeout at the worst, else milliseconds), flushes and
// announces: a second and a half. The session time-out on top of a second covers
// that and one lost try. Longer would keep a server in the view that really went
// while ZooKeeper was away.
func grace(session time.Duration) time.Duration { return session + time.Second }

// patience is how long a broken connection is not spoken of: ZooKeeper's
// servers are restarted one by one, and a client is with another one in less.
const patience = 500 * time.Millisecond

// verdict is what observe makes of a reading.
type verdict uint8

const (
	taken  verdict = iota // current has what to report
	behind                // within its generation it is older than one before: the directory lost its latest changes
)

// observe takes in a reading.
func (f *follower) observe(r reading, now time.Time) verdict {
	older := func(than fleet.Membership) bool {
		return r.generation == than.Generation &&
			(r.version < than.Version || r.version == than.Version && !slices.Equal(r.servers, than.Servers))
	}
	switch {
	case !f.known || r.generation == f.last.Generation:
		if f.known && older(f.last) {
			return behind
		}
		f.young = nil
		if !f.known || r.version > f.last.Version || r.config != f.last.Config {
			f.young, f.since = &r, time.Time{}
		}
	case f.young != nil && older(f.young.membership()):
		return behind
	default:
		if f.young == nil || f.young.generation != r.generation {
			f.since = now
		}
		f.young = &r
	}
	return taken
}

// lose takes note that the contact is lost.
func (f *follower) lose(now time.Time) {
	if f.lost.IsZero() {
		f.lost = now
	}
}

// regain takes note that there is contact again and what is there has been read.
func (f *follower) regain(now time.Time) {
	if !f.lost.IsZero() && f.young != nil {
		f.since = now // nobody could announce itself meanwhile
	}
	f.lost = time.Time{}
}

// current returns the membership as it stands, whether it has to be reported
// since it isn't what current returned before, and when to ask again even if
// nothing happens (zero: never).
func (f *follower) current(now time.Time) (m fleet.Membership, report bool, again time.Time) {
	if f.young != nil && f.ripe(now) {
		m = f.young.membership()
		f.young, report = nil, true
	} else {
		m = f.last
	}
	m.LostContact = time.Time{}
	switch {
	case !f.known && !report:
		return m, false, time.Time{}
	case f.young != nil:
		m.LostContact = f.since
		if !f.lost.IsZero() {
			m.LostContact = f.lost
		} else {
			again = f.since.Add(f.grace)
		}
		if !f.last.LostContact.IsZero() {
			m.LostContact = f.last.LostContact // it has not been back since
		}
	case !f.lost.IsZero() && now.Before(f.lost.Add(f.patience)):
		again = f.lost.Add(f.patience)
	default:
		m.LostContact = f.lost
	}
	report = report || !m.LostContact.Equal(f.last.LostContact)
	f.last, f.known = m, true
	return m, report, again
}

// ripe says whether the time has come to go over to young.
func (f *follower) ripe(now time.Time) bool {
	if !f.known || f.young.generation == f.last.Generation {
		return true
	}
	if !f.lost.IsZero() {
		return false
	}
	return !now.Before(f.since.Add(f.grace)) || !slices.ContainsFunc(f.last.Servers, func(s fleet.Server) bool {
		_, announced := slices.BinarySearchFunc(f.young.servers, s.Addr, func(s fleet.Server, addr string) int {
			return cmp.Compare(s.Addr, addr)
		})
		return !announced
	})
}
