package ring

import (
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
	// Patience is how long a question waits for its answer: who hasn't answered by
	// then counts as dead.
	Patience time.Duration
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
	round   time.Duration
	nonce   uint64

	join    *joining
	lookups []*lookup // in order of their nonces, and so of when they are due
	refresh refresh
	gone    map[Ref]time.Duration // suspects: who didn't answer, and when; made for the first

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

// New returns a ring of one. With Join it becomes part of another.
func New(c Config, now time.Duration) *Ring {
	if c.List < 1 || c.Self.None() || c.Patience <= 0 || c.Period <= 0 {
		panic(fmt.Sprintf("ring: an impossible configuration: %+v", c))
	}
	r := &Ring{c: c, now: now, member: true, fingers: make([]Ref, c.Circle), out: c.Output}
	if r.out == nil {
		r.out = new(Output)
	}
	r.nextRound()
	return r
}

// Self is who this node is.
func (r *Ring) Self() Ref { return r.c.Self }

// Member tells whether it takes part: it has founded the ring or joined it.
func (r *Ring) Member() bool { return r.member }

// Predecessor is who is before it; nobody if that is not known.
func (r *Ring) Predecessor() Ref { return r.prdc }

// Successor is who follows it: itself if it is alone.
func (r *Ring) Successor() Ref {
	if len(r.list) == 0 {
		return r.c.Self
	}
	return r.list[0]
}

// Successors is the successor list; it must not be changed, and is another one after
// a change.
func (r *Ring) Successors() []Ref { return r.list }

// Fingers are the n fingers; it must not be changed, and does change.
func (r *Ring) Fingers() []Ref { return r.fingers }

// Drain appends to o what is to be done and what was found.
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

// Tick does what is due.
func (r *Ring) Tick(now time.Duration) {
	r.at(now)
	if q := r.ask; q != nil && r.now >= q.until {
		r.silent(q.to)
	}
	for _, l := range r.overdue() {
		r.lookupSilent(l)
	}
	if j := r.join; j != nil && r.now >= j.again {
		r.tryJoin()
	}
	if r.member && r.ask == nil && r.now >= r.round {
		r.nextRound()
		r.stabilise()
		r.refreshRound()
	}
}

// Next returns when Tick is due.
func (r *Ring) Next() time.Duration {
	next := time.Duration(1<<63 - 1)
	if r.member {
		next = r.round
	}
	if r.ask != nil {
		next = r.ask.until // the round waits for it
	}
	if r.join != nil {
		next = min(next, r.join.again)
	}
	if len(r.lookups) > 0 {
		next = min(next, r.lookups[0].until)
	}
	return max(next, r.now)
}

func (r *Ring) nextRound() {
	r.round = r.now + r.c.Period
	if r.c.Jitter > 0 {
		r.round += time.Duration(r.c.Rand.Int64N(int64(2*r.c.Jitter))) - r.c.Jitter
	}
}

// soon has the next round begin as soon as this node is idle.
func (r *Ring) soon() { r.round = r.now }

// suspectFor is how long, in patiences, who didn't answer is not asked again in
// lookups, unless it is heard.
const suspectFor = 50

func (r *Ring) suspect(p Ref) {
	if r.gone == nil {
		r.gone = make(map[Ref]time.Duration)
	}
	r.gone[p] = r.now
}

func (r *Ring) suspected(p Ref) bool {
	at, is := r.gone[p]
	if is && r.now-at > suspectFor*r.c.Patience {
		delete(r.gone, p)
		return false
	}
	return is
}

// Dead tells that nobody listens any more where p did.
func (r *Ring) Dead(now time.Duration, p Ref) {
	r.at(now)
	r.suspect(p)
	if q := r.ask; q != nil && q.to == p {
		r.silent(p)
	}
	for _, l := range r.asking(p) {
		r.lookupSilent(l)
	}
	if r.prdc == p {
		r.setPrdc(Ref{})
	}
	if len(r.list) > 0 && r.list[0] == p {
		r.soon()
	}
}

func (r *Ring) setPrdc(p Ref) {
	if r.prdc != p {
		r.prdc = p
		r.out.Changed = true
	}
}

func (r *Ring) setList(list []Ref) {
	if !slices.Equal(r.list, list) {
		r.list = list
		r.out.Changed = true
	}
}

// listOf is the list of who has first as its first successor, whose own list follows:
// as long as it goes clockwise, ending before this node, and cut to its length.
func (r *Ring) listOf(first Ref, then []Ref) []Ref {
	list := make([]Ref, 0, r.c.List)
	list = append(list, first)
	for _, p := range then {
		last := list[len(list)-1]
		if len(list) == r.c.List || !place.Inside(last.Place, p.Place, r.c.Self.Place) {
			break
		}
		list = append(list, p)
	}
	return list
}
