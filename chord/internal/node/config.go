package node

import (
	"cmp"
	"math/rand/v2"
	"time"

	"github.com/torc-dht/torc/chord/internal/place"
	"github.com/torc-dht/torc/chord/internal/ring"
)

// Time is what two clocks say at one instant, in nanoseconds.
type Time struct {
	// Mono never goes back and goes on while the process is stopped: promises are
	// counted by it.
	Mono int64
	// Wall is since 1970: entries expire by it, and writes are stamped with it.
	Wall int64
}

// Defaults of a Config.
const (
	// DefaultPingEvery is a fifth of a second: a death that no refused connection
	// shows is noticed after three pings.
	DefaultPingEvery = 200 * time.Millisecond
	// DefaultWait is how long a call may wait for a span that can't be served yet but
	// may be soon. Whoever waits holds up all that is behind on its connection.
	DefaultWait = 40 * time.Millisecond
	// DefaultHold is for how long an answer is held back for holders.
	DefaultHold = 5 * time.Second
	// DefaultRemember is for how long a client's last writes are known, so that one
	// that is repeated is not carried out twice.
	DefaultRemember = 10 * time.Minute
	// DefaultWindow is how many bytes of fills may be on their way to one node: so
	// little that a write behind them waits for milliseconds only.
	DefaultWindow = 256 << 10
	// tombstone is how long one is kept, and how long a lost node is remembered.
	tombstone = 24 * time.Hour
	// trace is how long there is one in any case: who was cut off when it had just joined
	// is remembered by nobody.
	trace = time.Minute
	// emptyAfter is how long a span is asked for that nobody has before it is taken empty.
	emptyAfter = 2 * time.Second
)

// Config says how a node is. Circle, Self and Rand have to be set.
type Config struct {
	Circle place.Circle
	Self   ring.Ref
	Rand   *rand.Rand
	// Replicas is how many nodes hold a copy besides the owner.
	Replicas int
	Limit    uint64 // bytes that it may hold, by its own count; 0: no limit

	// Zero values mean the defaults. Lease is three times PingEvery, List the larger
	// of Replicas + 1 and 8.
	PingEvery, Lease, Wait, Hold, Remember time.Duration
	List, Window                           int

	// Bugs and Ring are mistakes that tests make on purpose, to see that they are found.
	Bugs Bugs
	Ring ring.Bugs
	// Sometimes, if not nil, is told where a rule was put to use that seldom is, for
	// tests to see that it was.
	Sometimes func(place string)
}

// Bugs switches mistakes on.
type Bugs struct {
	AnswerEarly bool // a write is answered before the copies have it
	NoFreeze    bool // a span is handed off while it is written to
	ServePast   bool // promises are taken for endless
	NoAsking    bool // who was frozen goes on without asking
	Forgetful   bool // repeats of a write are carried out again
}

func (c *Config) setDefaults() {
	c.PingEvery = cmp.Or(c.PingEvery, DefaultPingEvery)
	c.Lease = cmp.Or(c.Lease, 3*c.PingEvery)
	c.Wait = cmp.Or(c.Wait, DefaultWait)
	c.Hold = cmp.Or(c.Hold, DefaultHold)
	c.Remember = cmp.Or(c.Remember, DefaultRemember)
	c.List = cmp.Or(c.List, max(c.Replicas+1, 8))
	c.Window = cmp.Or(c.Window, DefaultWindow)
	c.Limit = cmp.Or(c.Limit, 1<<63)
}

// silence is how long nothing comes from a node before it is suspected.
func (c *Config) silence() time.Duration { return 3 * c.PingEvery }

// margin is taken off a promise by who gets it, for clocks that run at different
// rates: 3 % of it.
func (c *Config) margin() time.Duration { return c.Lease / 32 }
