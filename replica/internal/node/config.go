package node

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/torc-dht/torc/replica/internal/msg"
	"github.com/torc-dht/torc/replica/internal/state"
)

// Times, in ticks. A tick is 10 ms unless configured otherwise; a machine on which
// a process may have to wait that long for a processor wants longer ones.
const (
	// DefaultTick is how long a tick is.
	DefaultTick = 10 * time.Millisecond
	// heartbeatTicks apart a leader says that it is there.
	heartbeatTicks = 2
	// electionTicks, to twice as many, is how long nobody is heard of a leader
	// before an election: several heartbeats, so that one lost packet starts none.
	electionTicks = 15
	// silentTicks is how long a member may leave a leader without an answer: longer
	// than an election, so that a leader that was cut off is not the one to eject.
	silentTicks = 25
	// stuckTicks is how long a member may keep an entry from being visible that it
	// doesn't take, though it answers: as much again as its silence would be borne,
	// since a large entry takes its time.
	stuckTicks = 2 * silentTicks
	// aloneTicks, plus up to aloneSpread, is how long a node is without a quorum
	// before it looks for a way without: several elections have failed by then.
	aloneTicks  = 90
	aloneSpread = 30
	// reportTicks apart each node says how it stands.
	reportTicks = 5
	// hearTicks is for how long a node counts as heard.
	hearTicks = 20
	// frozenTicks without a call mean that the process stood still: what it knows
	// of others' silence is its own.
	frozenTicks = 8
	// giveUpTicks is how long an operation waits for somebody to carry it out.
	giveUpTicks = 200
	// gatherTicks is how long a new epoch waits with its first answer for those
	// who are about to join it.
	gatherTicks = 30
)

// Limits of what waits.
const (
	// maxFlights is how many operations a node has under way, its own clients' and
	// others'.
	maxFlights = 1 << 16
	// maxHops is how often an operation is passed on.
	maxHops = 2
	// maxBatchBytes is the size from which a batch takes no further operation.
	maxBatchBytes = 1 << 20
	// messageBytes is the size from which a message to another node takes nothing
	// further. It may exceed that by one value, or one batch.
	messageBytes = 1 << 20
	// pipeline is how many batches may be on their way at once: operations that
	// come meanwhile gather for the next. A second one would have each be half as
	// large, and cost a tenth more of every processor.
	pipeline = 1
	// readRounds is how many rounds of reads may be on their way at once.
	readRounds = 2
)

var (
	// ErrUnavailable: for two seconds nobody could carry the operation out.
	// Nothing was changed.
	ErrUnavailable = errors.New("no server can answer for now")
	// ErrUnknown: the operation was handed on and no answer came. It may have been
	// carried out, or may be yet.
	ErrUnknown = errors.New("no answer came: the write may or may not have happened")
	// ErrBusy: too many operations are under way. Nothing was changed.
	ErrBusy = errors.New("too many requests at once")
)

// Config is what a node is told. Slot, Slots, Rand and Wall must be given.
type Config struct {
	// Slot is this node's place among Slots, 1 to [msg.MaxNodes].
	Slot, Slots int
	// Rand is where IDs and staggered times come from. IDs must never come twice,
	// in any process: outside of simulations it is seeded from the system.
	Rand *rand.Rand
	// Wall returns the time of day in microseconds since 1970, at this node's time
	// now. It is where the log's time begins, and what people are shown.
	Wall func(now time.Duration) uint64
	// Name is what a slot is called in events; nil: by its number.
	Name func(slot int) string
	// Tick scales all times; 0 is DefaultTick.
	Tick time.Duration
	// Limits are those of what is stored.
	Limits state.Limits
	// RefuseMinority: without a quorum nothing is answered.
	RefuseMinority bool
	// Sometimes is told by name of places that tests have to have reached.
	Sometimes func(name string)
	// Bugs are mistakes made on purpose, for tests of tests.
	Bugs Bugs
}

// Bugs are mistakes that a simulation has to find.
type Bugs struct {
	KeepID        bool // a node that left an epoch comes back under its old ID
	AnswerEarly   bool // answers by the quorum's word, not by all of the view's
	ForgetOps     bool // operations that come again are carried out again
	ReadUnchecked bool // a leader reads without asking whether it still is one
}

// Output is what a node wants done, in order.
type Output struct {
	Send    []Outgoing
	Replies []Answer
	Events  []Event
}

// Outgoing is a message for a slot, over the connection that was dialed to it.
type Outgoing struct {
	Slot int
	M    *msg.Message
}

// Answer is what became of a client's operation.
type Answer struct {
	Ref    uint64
	Result msg.Result
	Err    error // ErrUnavailable, ErrUnknown or ErrBusy; then there is no result
}

// Event is something that a person may want to know.
type Event struct {
	Text string
	Warn bool
}
