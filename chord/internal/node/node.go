package node

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/torc-dht/torc/chord/internal/data"
	"github.com/torc-dht/torc/chord/internal/msg"
	"github.com/torc-dht/torc/chord/internal/place"
	"github.com/torc-dht/torc/chord/internal/ring"
)

// Out is a message to be sent.
type Out struct {
	To      ring.Ref
	Message msg.Message
}

// Node is one node's state. It is for one goroutine.
type Node struct {
	c    Config
	now  Time
	runs time.Duration // how long it has run, gaps left out: silence is counted by it

	ring  *ring.Ring
	rout  ring.Output
	found []ring.Found
	data  *data.Data
	stamp uint64 // the highest that it gave or saw

	own   *owned    // nil: nothing
	holds []holding // what it has of others' spans, no two overlap
	trash []msg.Span

	peers map[ring.Ref]*peer
	succ  *peer   // see first
	order []*peer // the same, in the order in which they came

	call    *Call // being executed
	parked  []*Call
	unpark  bool
	held    int
	done    []*Call
	writes  fifo[*write]      // unanswered, in order
	pending map[string]*write // the last unanswered one of each key
	ended   bool              // a write has: what is frozen can be granted, perhaps
	heldAt  time.Duration
	nonce   uint64
	woken   *asking  // it has been frozen, and asks whether it still owns what it does
	unsure  []*write // that all holders have, and that wait for what the asking brings
	gap     *gap
	merges  []merge // spans that wait to be compared
	forked  fork    // what is to be compared elsewhere
	tracing uint64  // a lookup of its own
	auditAt time.Duration
	audits  int
	rivals  []Owned // whose claims were higher than this node's, the last ones
	joined  bool
	leaving bool
	// stayUntil is when a node that is leaving goes, even if others count on it; 0: it
	// has more to do.
	stayUntil time.Duration
	owes      bool // it gave all that it had, and waits for the word that it is taken
	left      bool
	refused   error
	expireAt  time.Duration
	tidyAt    time.Duration
	counts    Counts
	out       []Out
}

// owned is what a node owns.
type owned struct {
	claim   msg.Claim
	since   int64  // when it was claimed, by Mono: promises asked for before are for less
	seq     uint64 // its last write's
	holders []*holder
	handing *handing // a part of it is being given to somebody
	// firm: the holders are as many as there should be, and have everything.
	firm bool
}

// Counts are what has happened to a node since it began.
type Counts struct {
	TakeOvers   uint64 // spans taken over, from who died
	HandOffs    uint64 // spans given, to who joined or because it left
	TakenEmpty  uint64 // spans taken over that nobody had any more
	Overwritten uint64 // entries that gave way to later ones when two owners met
	Merged      uint64 // entries that did not
	Deposed     uint64 // times that another one's claim was higher
	Woken       uint64 // times that it found that it had been frozen
	Faults      uint64 // what can't happen while everybody keeps to the rules
}

// New returns a ring of one, which owns everything.
func New(c Config, now Time) *Node {
	n := blank(c, now)
	self := n.c.Self
	n.joined = true
	n.own = &owned{firm: true, claim: msg.Claim{
		Span: msg.Span{From: self.Place, To: self.Place}, Owner: self, Term: msg.Term{Number: 1, Boot: self.Boot}, Config: 1,
	}}
	return n
}

// Join returns a node that joins the ring of contact. It tries until it has, or
// Refused says that it can't.
func Join(c Config, now Time, contact ring.Ref) *Node {
	n := blank(c, now)
	n.ring.Join(n.runs, contact)
	n.drainRing()
	return n
}

func blank(c Config, now Time) *Node {
	c.setDefaults()
	if c.Self.None() || c.Rand == nil || c.Circle == 0 {
		panic(fmt.Sprintf("node: an impossible configuration: %+v", c))
	}
	n := &Node{c: c, now: now, data: data.New(c.Circle), peers: make(map[ring.Ref]*peer), pending: make(map[string]*write)}
	n.ring = ring.New(ring.Config{
		Circle: c.Circle, Self: c.Self, Rand: c.Rand, List: c.List, Period: c.PingEvery, Jitter: c.PingEvery / 8, Calm: 4 * c.PingEvery,
		Patience: c.silence(), Tries: 3, Remember: tombstone, Fingers: 4, WholeList: true, Bugs: c.Ring,
	}, 0)
	return n
}

func (n *Node) sometimes(where string) {
	if n.c.Sometimes != nil {
		n.c.Sometimes(where)
	}
}

// Self is who this node is.
func (n *Node) Self() ring.Ref { return n.c.Self }

// Joined tells whether it has had its share of the ring, which it may be without for a
// moment: see Status.
func (n *Node) Joined() bool { return n.joined }

// Refused is why it can't be part of the ring, nil unless that is so.
func (n *Node) Refused() error { return n.refused }

// Left tells whether a node that was told to Leave, or to Fail, may go.
func (n *Node) Left() bool { return n.left }

// Out returns the messages that have come up since the last call, in order. The slice
// is good until the next call of any method.
func (n *Node) Out() []Out {
	out := n.out
	n.out = n.out[len(n.out):]
	if cap(n.out) == 0 {
		n.out = nil
	}
	return out
}

// Done returns the calls that have come to an end since the last call. The slice is
// good until the next call of any method.
func (n *Node) Done() []*Call {
	done := n.done
	n.done = n.done[:0]
	return done
}

// Found returns the lookups that have come to an end since the last call. The slice is
// good until the next call of any method.
func (n *Node) Found() []ring.Found {
	found := n.found
	n.found = n.found[:0]
	return found
}

// Lookup begins to look for the node that follows target in the ring; see Found.
func (n *Node) Lookup(now Time, target place.Place) uint64 {
	n.at(now)
	number := n.ring.Lookup(n.runs, target)
	n.drainRing()
	return number
}

func (n *Node) send(to ring.Ref, m msg.Message) { n.out = append(n.out, Out{to, m}) }

// Receive takes in a message of another node.
func (n *Node) Receive(now Time, from ring.Ref, m msg.Message) {
	n.at(now)
	if n.left || from.None() || from == n.c.Self {
		return
	}
	p := n.peer(from)
	n.heard(p)
	switch m := m.(type) {
	case *ring.Message:
		n.ring.Receive(n.runs, m)
		n.drainRing()
	case *msg.Ping:
		n.pinged(p, m)
	case *msg.Pong:
		n.ponged(p, m)
	case *msg.Query:
		n.asked(p, m)
	case *msg.Holdings:
		n.told(p, m)
	case *msg.Deposed:
		n.depose(&m.Claim)
	case *msg.Bye:
		n.bye(p, m)
	case *msg.Batch:
		n.receiveBatch(p, m)
	case *msg.Ack:
		n.receiveAck(p, m)
	case *msg.Refused:
		n.receiveRefused(p, m)
	}
}

// Tick does what is due.
func (n *Node) Tick(now Time) {
	n.at(now)
	if n.left {
		return
	}
	if n.runs >= n.ring.Next() {
		n.ring.Tick(n.runs)
		n.drainRing()
	}
	n.watch()
	n.askAgain()
	n.arrange()
	n.mind()
	n.giveUpHolding()
	n.forward()
	n.expire()
	n.audit()
	n.tidy()
}

// Busy tells whether something waits that Tick may be the one to end.
func (n *Node) Busy() bool {
	return !n.joined || n.leaving || len(n.parked) > 0 || n.held > 0 || n.gap != nil || n.woken != nil ||
		n.own != nil && (!n.own.firm || n.own.handing != nil) || len(n.forked.entries) > 0
}

// drainRing takes in what came of the ring.
func (n *Node) drainRing() {
	n.ring.Drain(&n.rout)
	for _, o := range n.rout.Send {
		n.send(o.To, &o.M)
	}
	for _, f := range n.rout.Found {
		if f.Number == n.tracing {
			n.traced(&f)
		} else {
			n.found = append(n.found, f)
		}
	}
	if n.rout.Refused != nil {
		n.refused = n.rout.Refused
	}
	changed := n.rout.Changed || n.rout.Joined
	clear(n.rout.Send)
	clear(n.rout.Found)
	n.rout = ring.Output{Send: n.rout.Send[:0], Found: n.rout.Found[:0]}
	if changed {
		n.arrange()
		n.mind()
		n.ping(n.first())
	}
}

// first is the first successor; nil if there is none.
func (n *Node) first() *peer {
	if s := n.ring.Successor(); n.succ == nil || n.succ.ref != s {
		n.succ = nil
		if s != n.c.Self {
			n.succ = n.peer(s)
		}
	}
	return n.succ
}

// peer returns the state kept for a node.
func (n *Node) peer(r ring.Ref) *peer {
	p := n.peers[r]
	if p == nil {
		p = &peer{ref: r, up: true, met: n.runs}
		n.peers[r] = p
		n.order = append(n.order, p)
	}
	return p
}

// Up says that there is a connection to peer, perhaps another one than before: what
// was not acknowledged is sent again.
func (n *Node) Up(now Time, peer ring.Ref) {
	n.at(now)
	if p := n.peers[peer]; p != nil {
		p.up, p.sent = true, p.acked
		p.ackDue = p.taken > 0
	}
}

// Down says that there is none any more. What was sent may be lost. Refused: nobody
// listens there, or another process does, so that this one is dead.
func (n *Node) Down(now Time, peer ring.Ref, refused bool) {
	n.at(now)
	p := n.peers[peer]
	if p == nil {
		if !refused {
			return
		}
		p = n.peer(peer)
	}
	p.up = false
	if refused {
		n.buried(p)
	}
}

// buried: p's process is dead for certain.
func (n *Node) buried(p *peer) {
	if p.dead {
		return
	}
	p.dead = true
	n.lost(p)
	n.ring.Dead(n.runs, p.ref)
	n.drainRing()
	n.arrange()
	n.mind()
}

// tidy forgets peers with whom there is nothing left to do.
func (n *Node) tidy() {
	if n.runs < n.tidyAt {
		return
	}
	n.tidyAt = n.runs + time.Minute
	keep := func(p *peer) time.Duration {
		switch {
		case p.last()+p.taken == 0:
			return 10 * time.Minute
		case p.dead: // and if it is not, it will be heard again before long
			return tombstone
		}
		return math.MaxInt64 // it counts on the numbers of the items going on
	}
	n.order = slices.DeleteFunc(n.order, func(p *peer) bool {
		idle := n.runs-max(p.at, p.met) > keep(p)
		p.merged = slices.DeleteFunc(p.merged, func(f *fill) bool { return n.runs >= f.until })
		if idle {
			delete(n.peers, p.ref)
			if n.succ == p {
				n.succ = nil
			}
		}
		return idle
	})
}

// Leave makes the node hand over what it has, until it has Left.
func (n *Node) Leave(now Time) {
	n.at(now)
	n.leaving = true
	n.arrange()
	n.mind()
}

// Fail makes the node go at once, without handing anything over.
func (n *Node) Fail(now Time) {
	n.at(now)
	n.goodbye(true)
}

// goodbye tells the neighbours that this node goes.
func (n *Node) goodbye(failed bool) {
	m := &msg.Bye{Failed: failed, Predecessor: n.ring.Predecessor(), List: n.ring.Successors()}
	told := map[ring.Ref]bool{n.c.Self: true, {}: true}
	tell := func(r ring.Ref) {
		if !told[r] {
			told[r] = true
			n.send(r, m)
		}
	}
	tell(m.Predecessor)
	for _, r := range m.List {
		tell(r)
	}
	for _, p := range n.order {
		if !p.dead && !p.suspect && n.runs-p.at < 10*n.c.silence() {
			tell(p.ref)
		}
	}
	n.left = true
	for _, c := range n.parked {
		n.fail(c, Failure{Kind: Unavailable})
	}
	n.parked = nil
	for n.writes.len() > 0 {
		n.lose(n.writes.pop())
	}
}

// bye: p goes, and says so.
func (n *Node) bye(p *peer, m *msg.Bye) {
	p.dead, p.left = true, true
	n.lost(p)
	n.ring.Bye(n.runs, p.ref, m.Predecessor, m.List, m.Failed)
	n.drainRing()
	n.arrange()
	n.mind()
}

// micros is the wall clock in microseconds.
func (n *Node) micros() uint64 { return uint64(max(n.now.Wall, 0)) / 1000 }

// stampBits are how many low bits of a stamp are its writer's.
const stampBits = 12

// nextStamp is later than all that it has seen.
func (n *Node) nextStamp() uint64 {
	const low = 1<<stampBits - 1
	next := n.micros() << stampBits
	if next <= n.stamp {
		next = n.stamp&^uint64(low) + 1<<stampBits
	}
	n.stamp = next | n.c.Self.Boot&low
	return n.stamp
}

func (n *Node) saw(stamp uint64) { n.stamp = max(n.stamp, stamp) }

// draw numbers a question.
func (n *Node) draw() uint64 {
	n.nonce++
	return n.nonce
}

// both is the term above which one is that follows both.
func both(a, b msg.Term) msg.Term {
	return msg.Term{Number: max(a.Number, b.Number), Bare: a.Bare || b.Bare}
}

// byPlace orders refs, so that a seed decides.
func byPlace(a, b ring.Ref) int {
	return cmp.Or(a.Place.Compare(b.Place), cmp.Compare(a.Boot, b.Boot))
}
