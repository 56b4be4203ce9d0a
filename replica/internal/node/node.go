package node

import (
	"cmp"
	"fmt"
	"time"

	"github.com/torc-dht/torc/replica/internal/msg"
)

// peer is what a node knows of another slot.
type peer struct {
	up      bool          // the connection dialed to it is there
	refused bool          // its machine said that nobody listens, and nothing was heard since
	heard   time.Duration // when the last message came
	ever    bool          // one came at all
	report  *msg.Report   // the last one
	said    time.Duration // when that came
	dead    msg.ID        // who ran there when nobody listened any more: what is still to come from him is void
}

// Node is one node of a replica table: a state machine without clock, network or
// chance of its own. Its methods are for one goroutine; now never goes back. After
// each of them, or several, Drain has to be called.
type Node struct {
	c    Config
	tick time.Duration
	now  time.Duration

	nextTick   time.Duration
	nextReport time.Duration
	reportSoon bool // a report is to be sent at once
	standSoon  bool // something has changed that stand has to look at
	mindSoon   bool // the same for a leader's view and configuration

	peers [msg.MaxNodes]peer
	me    msg.ID // what this node is called in g, or will be in the next

	// g is the group it takes part in; nil while it waits to be taken in.
	g *group
	// old is what it held before it left its last epoch: kept until it is a member
	// again, since nobody else may have it.
	old *holding
	// heal is the handing over of old's writes, while it goes on.
	heal *healing

	alone   time.Duration // since when it is without a leader
	patient time.Duration // how long it stays so
	began   time.Duration
	// lastGone is when it last learned that a process is no more.
	lastGone time.Duration
	highest  uint64
	// merged is the epoch whose writes this node handed over last, mergedInto the one
	// that took them: it may die before this node is a member of it.
	merged, mergedInto msg.Epoch

	// The log's time, in microseconds: what it was, and at which time of this node.
	// It begins with the wall clock of whoever founds a history and goes on by the
	// leaders' own clocks, so that a wall clock that is set makes nothing expire.
	logTime uint64
	logAt   time.Duration

	raftOut   [msg.MaxNodes]*msg.Message
	raftBytes [msg.MaxNodes]int
	toldAll   bool
	sending   [msg.MaxNodes]*transfer
	coming    *arrival
	balks     time.Duration // until then no snapshot is taken

	flights
	later  []*flight // to be routed at the next tick
	opsBuf []msg.Op
	out    Output
}

// New returns a node that holds nothing and knows nobody.
func New(c Config, now time.Duration) *Node {
	if c.Slots < 1 || c.Slots > msg.MaxNodes || c.Slot < 0 || c.Slot >= c.Slots {
		panic(fmt.Sprintf("node: slot %d of %d", c.Slot, c.Slots))
	}
	n := &Node{c: c, tick: cmp.Or(c.Tick, DefaultTick), now: now, began: now, alone: now}
	n.me = msg.NewID(c.Slot, c.Rand.Uint64())
	n.nextTick = now + n.tick
	n.nextReport = now
	n.flights.init(c.Rand.Uint64())
	n.beAlone()
	return n
}

// logNow is the log's time now.
func (n *Node) logNow() uint64 { return n.logTime + uint64((n.now-n.logAt)/time.Microsecond) }

// heardTime takes note of a time in the log.
func (n *Node) heardTime(t uint64) {
	if t > n.logNow() {
		n.logTime, n.logAt = t, n.now
	}
}

func (n *Node) ticks(k int) time.Duration { return time.Duration(k) * n.tick }

func (n *Node) sometimes(name string) {
	if n.c.Sometimes != nil {
		n.c.Sometimes(name)
	}
}

// name is what events call a slot.
func (n *Node) name(slot int) string {
	if n.c.Name != nil {
		return n.c.Name(slot)
	}
	return fmt.Sprintf("server %d", slot)
}

func (n *Node) event(warn bool, format string, args ...any) {
	n.out.Events = append(n.out.Events, Event{fmt.Sprintf(format, args...), warn})
}

func (n *Node) send(slot int, m *msg.Message) {
	if slot == n.c.Slot || slot >= n.c.Slots || !n.peers[slot].up {
		return
	}
	m.From = cmp.Or(m.From, n.me)
	n.out.Send = append(n.out.Send, Outgoing{slot, m})
}

// at takes note of the time. A process that was stopped wakes to old news: it must
// not hold the silence of the time that it slept against anybody.
func (n *Node) at(now time.Duration) {
	if now-n.nextTick > n.ticks(frozenTicks) {
		n.thaw(now)
	}
	n.now = max(n.now, now)
}

func (n *Node) thaw(now time.Duration) {
	n.sometimes("thawed")
	slept := now - n.nextTick
	if slept > n.ticks(hearTicks) { // what others may have noticed
		n.event(true, "stood still for %v", slept.Round(time.Millisecond))
	}
	n.nextTick = now
	n.nextReport = now
	n.alone += slept
	for i := range n.peers {
		n.peers[i].heard += slept
		if t := n.sending[i]; t != nil {
			t.moved += slept
		}
	}
	if g := n.g; g != nil {
		g.leadHeard += slept
		g.electionAt += slept
		if l := g.lead_; l != nil {
			for i := range l.acked {
				l.acked[i] += slept
			}
		}
	}
}

// Connected tells that the connection this node dialed to slot is up.
func (n *Node) Connected(now time.Duration, slot int) {
	n.at(now)
	p := &n.peers[slot]
	p.up, p.refused, p.dead = true, false, 0
	n.sendReport(slot)
}

// Disconnected tells that the connection to slot is lost, or that dialing failed.
// refused says that its machine answered and nobody listens there.
func (n *Node) Disconnected(now time.Duration, slot int, refused bool) {
	n.at(now)
	p := &n.peers[slot]
	if p.up {
		p.up = false
		n.cutOff(slot)
	}
	n.standSoon = true
	if refused && !p.refused {
		if p.report != nil {
			p.dead = p.report.ID
		}
		p.refused, p.ever, p.report = true, false, nil // what it said is void
		n.gone(slot)
	}
}

// gone: the process at slot is no more.
func (n *Node) gone(slot int) {
	n.reportSoon = true
	n.lastGone = n.now
	g := n.g
	if g == nil {
		return
	}
	if g.lead != 0 && g.lead.Slot() == slot && !g.leads() {
		n.leaderGone(g)
	}
}

// leaderGone has this node look for another leader at once: the lowest slot first,
// for two at a time would be in each other's way. (Each node has to see for itself
// that the leader is gone: until then it takes no part in an election.)
func (n *Node) leaderGone(g *group) {
	n.sometimes("leader gone")
	gone := g.lead.Slot()
	_ = g.raw.ForgetLeader()
	g.lead = 0
	n.recallAsked()
	g.eager = 8
	before := 0
	for _, id := range g.conf().GetVoters() {
		if s := msg.ID(id).Slot(); s < n.c.Slot && n.hears(s) && s != gone {
			before++
		}
	}
	g.electionAt = n.now + time.Duration(before)*n.tick/2
}

// Receive takes a message of slot's.
func (n *Node) Receive(now time.Duration, slot int, m *msg.Message) {
	n.at(now)
	if slot < 0 || slot >= n.c.Slots || slot == n.c.Slot {
		return
	}
	p := &n.peers[slot]
	if p.dead != 0 && p.dead == m.From {
		n.sometimes("the dead speak")
		return
	}
	if !n.hears(slot) {
		n.reportSoon = true // so that it learns that it is heard
	}
	p.heard, p.ever, p.refused = n.now, true, false
	switch m.Kind {
	case msg.KindReport:
		n.hear(slot, m.Report)
	case msg.KindRaft:
		n.step(slot, m)
	case msg.KindOps:
		for i := range m.Ops {
			n.carry(slot, m.Ops[i])
		}
	case msg.KindReplies:
		for i := range m.Replies {
			n.replied(slot, &m.Replies[i])
		}
	case msg.KindRead:
		n.readAsked(slot, m)
	case msg.KindReadAt:
		n.readAt(slot, m)
	case msg.KindChunk:
		n.chunk(slot, m)
	case msg.KindChunkOK:
		n.chunkOK(slot, m)
	}
}

// step gives raft its messages.
func (n *Node) step(slot int, m *msg.Message) {
	if m.To != n.me || m.From.Slot() != slot {
		return
	}
	g := n.g
	if g == nil || g.epoch != m.Epoch {
		if g != nil || n.heal != nil || n.joining() != m.Epoch {
			return
		}
		// The leader of the epoch that this node wants to be in has taken it in.
		n.sometimes("joins")
		g = n.newGroup(m.Epoch, n.me)
		n.start(g)
		n.g = g
	}
	g.visible = max(g.visible, m.Visible)
	for _, r := range m.Raft {
		if msg.ID(r.GetFrom()) != m.From || msg.ID(r.GetTo()) != g.id {
			continue
		}
		if l := g.lead_; l != nil {
			l.heardFrom(n.now, r)
			n.mindSoon = n.mindSoon || !g.view().Has(m.From) // it may have caught up
		}
		if r.Snapshot != nil && !n.arrived(g, slot, r) {
			continue
		}
		_ = g.raw.Step(r)
		if r.Snapshot != nil {
			// At once: what it stands for must not be replaced by another one, or lost
			// with a connection, before it is taken.
			n.ready(g)
			n.coming = nil
		}
		if st := g.raw.BasicStatus(); st.Lead == uint64(m.From) {
			g.leadHeard = n.now
			n.resetElection(g)
		}
	}
}

// resetElection puts the next election off.
func (n *Node) resetElection(g *group) {
	g.electionAt = n.now + n.ticks(electionTicks) + time.Duration(n.c.Rand.Int64N(int64(n.ticks(electionTicks))))
}

// Tick does what is due.
func (n *Node) Tick(now time.Duration) {
	n.at(now)
	for k := 0; n.nextTick <= n.now; k++ {
		n.nextTick += n.tick
		if g := n.g; g != nil {
			if g.leads() {
				g.raw.Tick()
			} else {
				// raft's clock goes on for its lease; the time of an election is this
				// node's own to choose, so that a seed decides on it.
				g.raw.TickQuiesced()
			}
		}
	}
	if g := n.g; g != nil && !g.leads() && n.now >= g.electionAt {
		n.resetElection(g)
		if g.eager > 0 {
			g.eager--
			g.electionAt = n.now + n.tick/2 + time.Duration(n.c.Rand.Int64N(int64(n.tick)/2))
		}
		_ = g.raw.Campaign()
	}
	n.overdue()
	n.mindTransfers()
	n.standSoon = true
	if n.now >= n.nextReport {
		n.reportSoon = true
	}
}

// Next returns when Tick is due.
func (n *Node) Next() time.Duration {
	t := min(n.nextTick, n.nextReport)
	if g := n.g; g != nil && !g.leads() {
		t = min(t, g.electionAt)
	}
	return max(t, n.now)
}

// Drain works off what has come in, and appends to o what is to be done.
func (n *Node) Drain(o *Output) {
	n.stand()
	if g := n.g; g != nil {
		n.turn(g)
	}
	n.route()
	if g := n.g; g != nil {
		n.turn(g)
		n.tellVisible(g)
	}
	n.flushRaft()
	n.flushFlights()
	if n.reportSoon {
		n.report()
	}
	o.Send = append(o.Send, n.out.Send...)
	o.Replies = append(o.Replies, n.out.Replies...)
	o.Events = append(o.Events, n.out.Events...)
	clear(n.out.Send)
	clear(n.out.Replies)
	clear(n.out.Events)
	n.out.Send, n.out.Replies, n.out.Events = n.out.Send[:0], n.out.Replies[:0], n.out.Events[:0]
}

// turn lets the group do what it can: raft's work, what is visible, and at a
// leader its duties, until there is nothing left.
func (n *Node) turn(g *group) {
	for n.g == g {
		n.ready(g)
		if n.g != g || g.st == nil {
			return
		}
		if g.leads() {
			n.see(g)
		}
		n.apply(g)
		n.answerReads(g)
		if g.leads() {
			n.lead(g)
		}
		if !g.raw.HasReady() {
			return
		}
	}
}

// tellVisible sends word of what has become visible to those who weren't told with
// raft's messages: they may have reads to answer.
func (n *Node) tellVisible(g *group) {
	if !g.leads() || n.toldAll {
		return
	}
	n.toldAll = true
	for _, id := range g.view().Members {
		if id != g.id {
			n.outRaft(g, id)
		}
	}
}
