package ring

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/torc-dht/torc/chord/internal/place"
)

// Ref names one life of a node: a process that is started again has another Boot. The
// zero Ref is nobody.
type Ref struct {
	Place place.Place
	Boot  uint64 // by chance, never 0
	Addr  string // host:port
}

// None tells whether r is nobody.
func (r Ref) None() bool { return r.Boot == 0 }

// compare orders by place, and of one place by Boot.
func (r Ref) compare(o Ref) int { return cmp.Or(r.Place.Compare(o.Place), cmp.Compare(r.Boot, o.Boot)) }

// String is the node's identifier and where it listens.
func (r Ref) String() string {
	if r.None() {
		return "nobody"
	}
	return fmt.Sprintf("%v@%s", r.Place, r.Addr)
}

// Config is what a ring is told. Circle, Self, Rand and the durations must be given.
type Config struct {
	Circle place.Circle
	Self   Ref
	Rand   *rand.Rand
	// List is the length of the successor list, at least 1: so many nodes less one
	// that follow each other may die between two rounds of stabilisation.
	List int
	// Period is the time from one round of stabilisation to the next, and Jitter by
	// how much it is longer or shorter, by chance.
	Period, Jitter time.Duration
	// Calm, if not 0, takes the place of Period while nothing has changed for a while,
	// in a ring that is larger than its lists. Whoever is noticed to be dead or new ends
	// that.
	Calm time.Duration
	// Patience is how long a question waits for its answer: who hasn't answered by
	// then counts as dead. Meanwhile it is asked Tries times, at equal distances, so
	// that a lost message isn't taken for a death; 0: once.
	Patience time.Duration
	Tries    int
	// Remember is how long who was lost is remembered, to find together again after
	// the network was cut in two; 0: not at all, and nobody looks for other rings.
	// Recall is the mean time from one look to the next; 0: DefaultRecall.
	Remember, Recall time.Duration
	// Fingers is how many fingers are refreshed in a round; 0: all.
	Fingers int
	// WholeList: a lookup's steps choose from the whole successor list, and not only
	// from the fingers and the first successor, as the papers' do.
	WholeList bool
	// Bugs are mistakes made on purpose, for tests of tests.
	Bugs Bugs
	// Output is where rings of one goroutine put what is to be done, if they share one:
	// it is emptied by whoever takes that away, instead of Drain. Nil: Drain is called.
	Output *Output
}

// Bugs are mistakes that a simulation has to find.
type Bugs struct {
	// SkipRectify: a notice is believed as it is, the old predecessor isn't asked.
	SkipRectify bool
	// PublishedJoin: joins and stabilisation as in the paper of 2001: a new node
	// knows its successor only, and a predecessor's word is taken for a node that
	// hasn't answered.
	PublishedJoin bool
}

// Ring is a node's part in the ring: a state machine without clock, network or
// chance of its own. Its methods are for one goroutine; now never goes back. After
// each of them, or several, Drain has to be called.
type Ring struct {
	c      Config
	now    time.Duration
	member bool

	prdc    Ref
	list    []Ref // the successor list, the first first; empty: this node is alone
	fingers []Ref // c.Circle of them

	ask     *question // under way; nil: idle
	notices []Ref     // of who thinks it is the predecessor, not looked at yet
	hints   []Ref     // who may be a closer successor, not asked yet
	round   time.Duration
	changed time.Duration // when predecessor or list last did
	nonce   uint64

	join    *joining
	guest   guest
	heir    heir
	lookups []*lookup // in order of their nonces, and so of when their waits end
	refresh refresh
	gone    map[Ref]absence // suspects; made for the first
	memory  memory

	out *Output
}

// Output is what a ring wants done, and what came of it, in order.
type Output struct {
	Send  []Outgoing
	Found []Found
	// Joined: it is a member now. Refused: it can't be, and why.
	Joined  bool
	Refused error
	// Changed: predecessor or successor list are others than before.
	Changed bool
}

// Outgoing is a message for a node.
type Outgoing struct {
	To Ref
	M  Message
}

// New returns a ring of one, a member. With Join it becomes part of another. It panics
// if a field that must be given isn't.
func New(c Config, now time.Duration) *Ring {
	if c.List < 1 || c.Self.None() || c.Patience <= 0 || c.Period <= 0 {
		panic(fmt.Sprintf("ring: an impossible configuration: %+v", c))
	}
	c.Tries, c.Recall = max(c.Tries, 1), cmp.Or(c.Recall, DefaultRecall)
	r := &Ring{c: c, now: now, member: true, fingers: make([]Ref, c.Circle), out: c.Output}
	if r.out == nil {
		r.out = new(Output)
	}
	r.nextRound()
	r.nextLook()
	return r
}

// Self is who this node is, as it was configured.
func (r *Ring) Self() Ref { return r.c.Self }

// Member tells whether it takes part: it has founded the ring or joined it, and wasn't
// refused since.
func (r *Ring) Member() bool { return r.member }

// Predecessor is who is before it, as far as this node knows; nobody if it doesn't, or
// is alone. It can be dead, and there can be others between.
func (r *Ring) Predecessor() Ref { return r.prdc }

// Successor is who follows it, and has answered once: itself if it is alone.
func (r *Ring) Successor() Ref {
	if len(r.list) == 0 {
		return r.c.Self
	}
	return r.list[0]
}

// Successors is the successor list, at most Config.List of them, clockwise, without
// this node and without anybody it knows to be gone; empty if it is alone. It must not
// be changed, and is another one after a change.
func (r *Ring) Successors() []Ref { return r.list }

// Fingers are the n fingers: the k-th is the first node at or after this one's place
// plus 2^k, as it was when it was last looked up; nobody if it never was, or is lost.
// It must not be changed, and does change.
func (r *Ring) Fingers() []Ref { return r.fingers }

// Drain appends to o what is to be done and what was found since the last call, and
// sets what has come true; nothing is cleared. The messages' lists are shared.
func (r *Ring) Drain(o *Output) {
	o.Send = append(o.Send, r.out.Send...)
	o.Found = append(o.Found, r.out.Found...)
	o.Joined = o.Joined || r.out.Joined
	o.Changed = o.Changed || r.out.Changed
	if r.out.Refused != nil {
		o.Refused = r.out.Refused
	}
	clear(r.out.Send)
	clear(r.out.Found)
	*r.out = Output{Send: r.out.Send[:0], Found: r.out.Found[:0]}
}

func (r *Ring) send(to Ref, m Message) {
	m.From = r.c.Self
	r.out.Send = append(r.out.Send, Outgoing{to, m})
}

func (r *Ring) at(now time.Duration) { r.now = max(r.now, now) }

// Tick does what is due: repeats questions, gives up those that aren't answered, begins
// rounds. One that comes late makes up for all that were due.
func (r *Ring) Tick(now time.Duration) {
	r.at(now)
	if q := r.ask; q != nil && r.over(&q.wait) {
		r.silent(q.to)
	} else if q != nil && r.again(&q.wait) {
		r.send(q.to, Message{Kind: q.kind, Nonce: q.nonce})
	}
	for _, l := range r.overdue() {
		r.lookupSilent(l)
	}
	r.repeatLookups()
	r.tickFinger()
	if j := r.join; j != nil && r.now >= j.again {
		r.tryJoin()
	}
	if r.looks() && r.now >= r.memory.look {
		r.lookAround()
	}
	if r.member && r.ask == nil && r.now >= r.round {
		r.nextRound()
		r.stabilise()
		r.refreshRound()
	}
}

// Next returns when Tick is due; not before the last time that this ring was told.
func (r *Ring) Next() time.Duration {
	next := time.Duration(1<<63 - 1)
	if r.member {
		next = r.round
	}
	if r.ask != nil {
		next = r.ask.wait.next() // the round waits for it
	}
	if r.join != nil {
		next = min(next, r.join.again)
	}
	if r.looks() {
		next = min(next, r.memory.look)
	}
	if r.refresh.nonce != 0 {
		next = min(next, r.refresh.wait.next())
	}
	return max(min(next, r.nextLookup()), r.now)
}

// calmAfter is how many calm rounds long nothing has to have changed.
const calmAfter = 8

func (r *Ring) nextRound() {
	r.round = r.now + r.c.Period
	if r.c.Calm > 0 && len(r.list) == r.c.List && r.now-r.changed > calmAfter*r.c.Calm {
		r.round = r.now + r.c.Calm
	}
	if r.c.Jitter > 0 {
		r.round += time.Duration(r.c.Rand.Int64N(int64(2*r.c.Jitter))) - r.c.Jitter
	}
}

// soon has the next round begin as soon as this node is idle.
func (r *Ring) soon() { r.round = r.now }

func (r *Ring) setPrdc(p Ref) {
	if r.prdc != p {
		r.prdc = p
		r.changed, r.out.Changed = r.now, true
	}
}

func (r *Ring) setList(list []Ref) {
	if !slices.Equal(r.list, list) {
		r.list = list
		r.changed, r.out.Changed = r.now, true
	}
}

// listOf is the list of who has first as its first successor, whose own list follows:
// as long as it goes clockwise, ending before this node, without those that are gone,
// and cut to its length.
func (r *Ring) listOf(first Ref, then []Ref) []Ref {
	list := make([]Ref, 0, r.c.List)
	list = append(list, first)
	for _, p := range then {
		last := list[len(list)-1]
		if len(list) == r.c.List || !place.Inside(last.Place, p.Place, r.c.Self.Place) {
			break
		}
		if !r.doubted(p) {
			list = append(list, p)
		}
	}
	return list
}
