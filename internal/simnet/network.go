package simnet

import (
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"time"
)

// Addr names a node. It has no space, comma or bar, and is not "*" or empty.
type Addr string

// Every stands for all nodes, as an end of the links that [Slow], [Drop] and
// [Duplicate] are about.
const Every Addr = "*"

// Never is the alarm of a node that wants none.
const Never = time.Duration(1<<63 - 1)

// Config says what a network is like. The zero value will do: seed 0 and the
// defaults given at each field.
type Config[M any] struct {
	// Seed decides everything that is left to chance.
	Seed uint64
	// Latency is that of every link without one of its own. Zero:
	// [DefaultLatency].
	Latency Latency
	// BackoffMin and BackoffMax are how long a node waits before it dials again: BackoffMin after the
	// first failure, twice as long after each further one up to BackoffMax, in
	// each case shortened by up to a half. Zero: 50 ms, and 1 s or BackoffMin.
	BackoffMin, BackoffMax time.Duration
	// Silence is after how long an end of a connection gives up on a peer from
	// which the network brings nothing: after Silence to 1.5 times that, each end
	// for itself. It is for cut links only: a frozen process's kernel goes on
	// acknowledging, so whoever wants to notice that sends pings of his own.
	// Zero: 2 s.
	Silence time.Duration
	// DialTimeout is after how long a dial fails over a link that stays cut, or to
	// a node that stays frozen. Zero: as Silence has it.
	DialTimeout time.Duration
	// Drop and Duplicate are the chances of a datagram, in the absence of faults,
	// to be lost or to arrive twice, 0 to 1.
	Drop, Duplicate float64
	// ClockSpread is by how much the nodes' clocks differ at the start: each shows
	// between 0 and ClockSpread. Zero: all begin at 0, which hides the mistake of
	// comparing one node's time with another's.
	ClockSpread time.Duration
	// Lateness is by how much alarms may be late: up to so much. Zero: never.
	Lateness time.Duration
	// Trace, unless nil, gets the trace, a line an event.
	Trace io.Writer
	// Format prints a message for the trace. Nil: fmt.Sprint.
	Format func(M) string
	// Digest, unless nil, adds a message's content to [Network.Hash], which is
	// otherwise of the times, ends and fates of messages alone.
	Digest func(M) uint64
}

func (c *Config[M]) setDefaults() {
	if c.Latency == (Latency{}) {
		c.Latency = DefaultLatency
	}
	if c.BackoffMin == 0 {
		c.BackoffMin = 50 * time.Millisecond
	}
	if c.BackoffMax == 0 {
		c.BackoffMax = time.Second
	}
	c.BackoffMax = max(c.BackoffMin, c.BackoffMax)
	if c.Silence == 0 {
		c.Silence = 2 * time.Second
	}
	if c.Format == nil {
		c.Format = func(m M) string { return fmt.Sprint(m) }
	}
}

// Stats counts what happened.
type Stats struct {
	Events     uint64 // of all kinds
	Delivered  uint64 // messages, over connections
	Lost       uint64 // messages, with a connection or for want of one
	Datagrams  uint64 // delivered, copies included
	Dropped    uint64 // datagrams
	Connected  uint64 // connections that both ends saw
	Faults     uint64 // that came into force
	Incarnated uint64 // nodes started
}

// Network is nodes and what is between them, in virtual time. Nothing happens
// outside its Run methods and what a caller calls by himself; it is for one
// goroutine. Misuse (an address nobody added, a chance above 1) panics: it is a
// mistake in a test.
type Network[M any] struct {
	config Config[M]
	now    int64
	queue  queue
	nodes  []*node[M]
	byAddr map[Addr]int32

	conns     []*conn[M]
	freeConns []int32
	lastConn  uint64
	lastDial  uint32

	datagrams slab[datagram[M]]
	funcs     slab[func()]
	calls     slab[func(time.Duration)]

	faults  []*inForce        // in the order in which they came
	open    bool              // no link is cut
	cuts    map[[2]int32]bool // from, to
	splits  [][]int32         // group by node, one list for each split in force
	shapers []shaper          // of latency and of datagrams
	links   map[[2]int32]*Latency

	trace  trace
	stats  Stats
	moment moment
}

// moment counts the events of one instant.
type moment struct {
	at int64
	n  int
}

// New returns a network without nodes, at time 0.
func New[M any](c Config[M]) *Network[M] {
	c.setDefaults()
	millionths(c.Drop)
	millionths(c.Duplicate)
	return &Network[M]{
		config: c,
		byAddr: make(map[Addr]int32),
		open:   true,
		cuts:   make(map[[2]int32]bool),
		links:  make(map[[2]int32]*Latency),
		trace:  trace{w: c.Trace, hash: hashStart ^ c.Seed},
	}
}

// Add makes an address known, with what runs there: boot is called by
// [Network.Start], once for each incarnation. What a node keeps on disk is what
// boot has captured; everything else is new each time.
func (n *Network[M]) Add(a Addr, boot func(p *Port[M]) Node[M]) {
	if a == "" || a == Every || strings.ContainsAny(string(a), " \t\r\n,|") {
		panic(fmt.Sprintf("simnet: %q is no address: it must have a character, no space, comma or bar, and not be *", a))
	}
	if _, ok := n.byAddr[a]; ok {
		panic(fmt.Sprintf("simnet: %s was added before", a))
	}
	nd := &node[M]{
		addr:     a,
		id:       int32(len(n.nodes)),
		boot:     boot,
		chance:   newChance(n.config.Seed, string(a)),
		dials:    make(map[int32]*dial),
		accepted: make(map[int32]connRef),
		alarm:    never,
		queued:   never,
	}
	nd.clock = clock{since: n.now, rate: million}
	nd.clock.base = int64(nd.chance.between(0, n.config.ClockSpread))
	n.byAddr[a] = nd.id
	n.nodes = append(n.nodes, nd)
	if !n.open { // it is in no group
		n.refreshLinks()
	}
}

// Start boots the node at a, unless it is up. Kills of it that are in force end
// with that.
func (n *Network[M]) Start(a Addr) {
	nd := n.node(a)
	n.forget(func(f *inForce) bool { return f.Kind == Kill && f.a == nd.id })
	if nd.up {
		return
	}
	nd.up = true
	nd.incarnation++
	n.stats.Incarnated++
	n.note(markStart, nd.id, nd.id, uint64(nd.incarnation), "start %s", a)
	p := &Port[M]{net: n, node: nd, incarnation: nd.incarnation}
	source := newChance(nd.chance.next(), string(a))
	p.rand = rand.New(&source)
	nd.port = p
	nd.machine = nd.boot(p)
	n.drain(nd)
}

// StartAll starts every node, in the order in which they were added.
func (n *Network[M]) StartAll() {
	for _, nd := range n.nodes {
		n.Start(nd.addr)
	}
}

// Now returns the virtual time.
func (n *Network[M]) Now() time.Duration { return time.Duration(n.now) }

// Clock returns what the clock of the node at a shows, which goes on while it is
// frozen or down.
func (n *Network[M]) Clock(a Addr) time.Duration {
	nd := n.node(a)
	return time.Duration(nd.clock.at(n.now))
}

// Up tells whether the node at a has been started and not killed; it may be
// frozen.
func (n *Network[M]) Up(a Addr) bool { return n.node(a).up }

// Frozen tells whether the node at a is up and frozen.
func (n *Network[M]) Frozen(a Addr) bool { return n.node(a).frozen }

// Incarnation returns how often the node at a was started.
func (n *Network[M]) Incarnation(a Addr) int { return n.node(a).incarnation }

// Addrs returns all addresses, in the order in which they were added.
func (n *Network[M]) Addrs() []Addr {
	all := make([]Addr, len(n.nodes))
	for i, nd := range n.nodes {
		all[i] = nd.addr
	}
	return all
}

// Stats returns what happened so far.
func (n *Network[M]) Stats() Stats { return n.stats }

// At runs f at a virtual time, or at once, as the next thing, when that has gone
// by.
func (n *Network[M]) At(t time.Duration, f func()) {
	n.queue.push(event{at: max(int64(t), n.now), kind: evFunc, slot: n.funcs.put(f)})
}

// Call runs f as an event of the node at a, with what its clock shows, and then
// drains it: a client's request, say. It waits while the node is frozen, and
// never runs when the node is down or goes down before.
func (n *Network[M]) Call(a Addr, f func(now time.Duration)) {
	nd := n.node(a)
	n.queue.push(event{at: n.now, kind: evCall, node: nd.id, slot: n.calls.put(f), id: uint64(nd.incarnation)})
}

// Run lets everything happen that is due up to the virtual time t, which it then
// is.
func (n *Network[M]) Run(t time.Duration) {
	n.RunUntil(t, func() bool { return false })
}

// RunUntil is like Run, but stops after the event with which done became true,
// and tells whether it did.
func (n *Network[M]) RunUntil(t time.Duration, done func() bool) bool {
	for !done() {
		if len(n.queue.heap) == 0 || n.queue.heap[0].at > int64(t) {
			n.now = max(n.now, int64(t))
			return false
		}
		n.step()
	}
	return true
}

// maxInstant is how many events may happen at one instant. A machine that asks
// for an alarm that is due already, each time, would otherwise stop time.
const maxInstant = 1_000_000

func (n *Network[M]) step() {
	e := n.queue.pop()
	n.now = e.at
	n.stats.Events++
	if n.moment.at != n.now {
		n.moment = moment{at: n.now}
	}
	if n.moment.n++; n.moment.n > maxInstant {
		panic(fmt.Sprintf("simnet: %d events at %v: some node's alarm is always due", maxInstant, n.Now()))
	}
	n.dispatch(&e)
}

func (n *Network[M]) dispatch(e *event) {
	switch e.kind {
	case evHead:
		n.head(e)
	case evSilence:
		n.silent(e)
	case evAlarm:
		n.alarm(e)
	case evDial:
		n.dial(e)
	case evAttempt:
		n.attempt(e)
	case evDialFail:
		n.dialFailed(e)
	case evDatagram:
		n.datagram(e)
	case evCall:
		n.call(e)
	case evFunc:
		n.funcs.take(e.slot)()
	}
}

// node returns the node at an address that was added.
func (n *Network[M]) node(a Addr) *node[M] {
	i, ok := n.byAddr[a]
	if !ok {
		panic(fmt.Sprintf("simnet: no node was added at %q", a))
	}
	return n.nodes[i]
}

// hold keeps an event for later when its node is frozen, and tells so.
func (nd *node[M]) hold(e *event) bool {
	if nd.frozen {
		nd.held = append(nd.held, *e)
	}
	return nd.frozen
}
