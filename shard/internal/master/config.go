package master

import (
	"time"

	"github.com/torc-dht/torc/shard/slots"
)

// Defaults of a Config.
const (
	// DefaultDeadAfter is four times as long as servers are silent between two
	// beats, so that two lost ones are nothing; and shorter than a lease, so that
	// a dead copy is out of the map before its promises are over.
	DefaultDeadAfter = time.Second
	// DefaultLease is what servers count: how long after an answer to its Beat a
	// server may still answer for a slot that it alone has.
	DefaultLease = 1500 * time.Millisecond
	// DefaultStartWait gives servers of an earlier reign the time to come, who
	// try at least every 100 ms; and a first server that starts together with its
	// master still serves within a second.
	DefaultStartWait = 500 * time.Millisecond
	// DefaultPace is how long what may wait is gathered for one map. It is well
	// below what a moving slot may stop for, 50 ms, and lets the events of twelve
	// servers, which come together, make one map instead of twelve.
	DefaultPace = 5 * time.Millisecond
	// DefaultHandOverRetry is after how long a HandOver without an answer is
	// sent again. A primary that has stopped new calls gives up as soon as its
	// copies have answered: in milliseconds, unless something was lost.
	DefaultHandOverRetry = 200 * time.Millisecond
	// DefaultCopies is enough to lose a server and no data.
	DefaultCopies = 2
)

// leaseMargin is added to leases by whoever has to sit them out.
const leaseMargin = 50 * time.Millisecond

// Config is what a Master is made with. The zero value of each field but Boot and
// Start is a default.
type Config struct {
	// Boot is the master's, not 0.
	Boot slots.Boot
	// Start is the wall clock at its start, in Unix nanoseconds: its term, unless
	// a higher one is known.
	Start int64

	Placement slots.Placement
	// Copies of each slot, all counted, at most slots.MaxCopies; and how many
	// there have to be before a write is answered, by default 1.
	Copies, MinCopies int

	DeadAfter, Lease, StartWait, Pace, HandOverRetry time.Duration

	// Recovered is the last map that any master of this table made, if that is
	// known for sure, as from a state file or an election; else nil, and rule R5
	// takes its place, as it does where rows of it are held. It is not changed.
	Recovered *slots.Map
	// Persist asks for each map to be made durable: nothing of its epoch is sent
	// before Persisted.
	Persist bool
	// Elected says that another master may be chosen after this one: then a
	// higher term means that it was, and this one is deposed. Without it a higher
	// term is one that was here before, and this master goes above it.
	Elected bool

	planted planted
}

// planted are bugs, for tests of the tests.
type planted struct {
	reuseEpoch     bool
	promoteJoining bool
	joinUnacked    bool
	staleGaveUp    bool
	sendHeld       bool
}

func (c Config) withDefaults() Config {
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&c.DeadAfter, DefaultDeadAfter)
	def(&c.Lease, DefaultLease)
	def(&c.StartWait, DefaultStartWait)
	def(&c.Pace, DefaultPace)
	def(&c.HandOverRetry, DefaultHandOverRetry)
	if c.Copies == 0 {
		c.Copies = DefaultCopies
	}
	c.Copies = min(max(c.Copies, 1), slots.MaxCopies)
	c.MinCopies = min(max(c.MinCopies, 1), c.Copies)
	return c
}

// silentAfter is how long without a message makes a server one that gets nothing
// new (R7): two beats and some.
func (c *Config) silentAfter() int64 { return int64(c.DeadAfter) * 6 / 10 }

// holdFor is how long a map that may wait is held back for slots being handed
// over: each map gives those back that were given up under the one before.
func (c *Config) holdFor() int64 { return 2 * int64(c.Pace) }
