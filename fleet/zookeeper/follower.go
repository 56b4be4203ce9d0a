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
	done       uint64
	recorded   bool // it may be reported: that anybody has written under it will be known
	past       []fleet.Past
}

func (r reading) membership() fleet.Membership {
	return fleet.Membership{
		Generation: r.generation, Version: r.version, Config: r.config, Servers: r.servers, Past: r.past, Done: r.done,
	}
}

// follower decides what membership to report, from what is read and from when
// the contact is lost and back. It does no I/O and reads no clock.
//
// Within a generation it goes forward only. There are two ways in which ZooKeeper
// forgets everybody at once: it loses its data (another generation), or every
// session expires while it is away (nothing is left of the members known before
// the contact was lost; it happens when ZooKeeper takes longer to start than the
// sessions last). Then the servers are only just announcing themselves again. To
// go over to that list at once would move nearly all keys to whoever is first,
// and back again a moment later. So the last membership is held, marked as
// LostContact, since until the servers have spoken nobody knows who is there: until
// each of them is announced again or the grace is over. A union of both lists
// would come to the same for the servers of the old one, but would be a view with
// no version.
//
// Where any announcement of before still stands, ZooKeeper has not forgotten, and
// its list is the truth, however much it has changed.
type follower struct {
	grace    time.Duration
	patience time.Duration

	known bool
	last  fleet.Membership // as reported last

	young *reading  // not gone over to yet; nil if there is none
	held  bool      // young has to ripen
	since time.Time // from when the grace of a held one counts

	lost time.Time // since when there is no contact; zero while there is
}

// grace is how long servers that ZooKeeper has forgotten stay in use. A watchdog
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
	if f.known && older(f.last) || f.young != nil && older(f.young.membership()) {
		return behind
	}
	if f.young == nil || !f.held || f.young.generation != r.generation {
		f.held = f.known && f.forgotten(r)
		f.since = now
	}
	f.young = nil
	if !f.known || f.held || r.version != f.last.Version || r.config != f.last.Config || r.done != f.last.Done {
		f.young = &r
	}
	return taken
}

// forgotten says whether r is of a ZooKeeper that has forgotten who was there.
func (f *follower) forgotten(r reading) bool {
	if r.generation != f.last.Generation {
		return true
	}
	if f.lost.IsZero() {
		return false
	}
	for _, s := range f.last.Servers {
		if i, ok := find(r.servers, s.Addr); ok && r.servers[i].Incarnation == s.Incarnation {
			return false
		}
	}
	return true
}

func find(servers []fleet.Server, addr string) (int, bool) {
	return slices.BinarySearchFunc(servers, addr, func(s fleet.Server, addr string) int { return cmp.Compare(s.Addr, addr) })
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

// due says whether what was read last is to be reported now, and has to be
// recorded before. What is held is not recorded: as long as nobody goes by a
// list that fills only, it is no part of the past.
func (f *follower) due(now time.Time) bool {
	return f.young != nil && !f.young.recorded && f.ripe(now)
}

// recorded takes in that what was read last has been recorded.
func (f *follower) recorded(r reading) { f.young = &r }

// current returns the membership as it stands, whether it has to be reported
// since it isn't what current returned before, and when to ask again even if
// nothing happens (zero: never).
func (f *follower) current(now time.Time) (m fleet.Membership, report bool, again time.Time) {
	if f.young != nil && f.young.recorded && f.ripe(now) {
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
	switch {
	case !f.held:
		return true
	case !f.lost.IsZero():
		return false
	case !now.Before(f.since.Add(f.grace)):
		return true
	}
	return !slices.ContainsFunc(f.last.Servers, func(s fleet.Server) bool {
		_, announced := find(f.young.servers, s.Addr)
		return !announced
	})
}
