package node

import (
	"cmp"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/torc-dht/torc/replica/internal/msg"
)

// hears tells whether slot was heard lately, and is not known to be dead.
func (n *Node) hears(slot int) bool {
	p := &n.peers[slot]
	return slot != n.c.Slot && p.ever && !p.refused && n.now-p.heard <= n.ticks(hearTicks)
}

// fresh returns what slot last said of itself, if it was heard lately.
func (n *Node) fresh(slot int) *msg.Report {
	if slot == n.c.Slot || !n.hears(slot) {
		return nil
	}
	return n.peers[slot].report
}

// led tells whether this node takes part in a group that has a leader.
func (n *Node) led() bool {
	g := n.g
	return g != nil && g.lead != 0 && (g.leads() || n.now-g.leadHeard <= n.ticks(2*electionTicks))
}

// beAlone begins the time after which a node that is without a leader acts alone.
func (n *Node) beAlone() {
	n.alone = n.now
	n.patient = n.ticks(aloneTicks) + n.ticks(n.c.Rand.IntN(aloneSpread))
}

// lost tells whether that time is over.
func (n *Node) lost() bool { return n.now-n.alone >= n.patient }

// normals is the number of the last normal epoch of l's history.
func normals(l msg.Lineage) uint64 {
	if l.Normal {
		return l.Epoch.Number
	}
	return l.Fork.Epoch.Number
}

// outranks tells which of two lineages that both have a leader is to go on: that of
// the later normal epoch, then the normal one itself, which kept its quorum, then
// the one that left it later. What decides never changes while two lineages last,
// or each could give way to the other.
func outranks(a, b msg.Lineage) bool {
	if c := cmp.Compare(normals(a), normals(b)); c != 0 {
		return c > 0
	}
	if a.Normal != b.Normal {
		return a.Normal
	}
	return cmp.Or(
		comparePoints(a.Fork, b.Fork),
		cmp.Compare(a.Epoch.Number, b.Epoch.Number),
		cmp.Compare(b.Epoch.Founder.Slot(), a.Epoch.Founder.Slot()),
		cmp.Compare(b.Epoch.Founder, a.Epoch.Founder),
	) > 0
}

func comparePoints(a, b msg.Point) int {
	return cmp.Or(cmp.Compare(a.Term, b.Term), cmp.Compare(a.Index, b.Index))
}

// candidate is what somebody holds, for the choice of who founds an epoch.
type candidate struct {
	slot    int
	lineage msg.Lineage
	term    uint64 // of the last entry
	index   uint64
	member  bool
}

// base is where the candidate's history is, or was when it left the normal one.
func (c *candidate) base() msg.Point {
	if c.lineage.Normal {
		return msg.Point{Term: c.term, Index: c.index}
	}
	return c.lineage.Fork
}

// better tells whether a is to found rather than b: whoever has all that b may have
// answered, and more. Within one epoch that is raft's own order of logs.
func (a *candidate) better(b *candidate) bool {
	member := func(c *candidate) int {
		if c.member {
			return 1
		}
		return 0
	}
	return cmp.Or(
		cmp.Compare(normals(a.lineage), normals(b.lineage)),
		comparePoints(a.base(), b.base()),
		cmp.Compare(a.lineage.Epoch.Number, b.lineage.Epoch.Number),
		cmp.Compare(b.lineage.Epoch.Founder, a.lineage.Epoch.Founder),
		cmp.Compare(a.term, b.term),
		cmp.Compare(a.index, b.index),
		cmp.Compare(member(a), member(b)),
		cmp.Compare(b.slot, a.slot),
	) > 0
}

// replaces tells whether lineage w, which has a leader, has all that c holds, so
// that c's holder may join it. Where not, c's holder is to found an epoch that will.
func replaces(w msg.Lineage, c *candidate) bool {
	if a, b := normals(w), normals(c.lineage); a != b {
		return a > b
	}
	if w.Normal || !c.lineage.Normal {
		return w.Normal || outranks(w, c.lineage) || w.Epoch == c.lineage.Epoch
	}
	return comparePoints(w.Fork, c.base()) >= 0
}

// holds is what this node would found an epoch with.
func (n *Node) holds() candidate {
	c := candidate{slot: n.c.Slot}
	h, g := n.old, n.g
	switch {
	case g != nil && n.prefers(g):
		c.lineage, c.term, c.index, c.member = g.view().Lineage, g.lastTerm(), g.last, g.member()
	case h != nil:
		c.lineage, c.term, c.index, c.member = h.view.Lineage, h.term, h.index, h.member
	}
	return c
}

// bestLive returns the report of a node in the lineage that outranks all others
// that have a leader, of the leader itself if it was heard; nil if there is none.
// This node's own doesn't count.
func (n *Node) bestLive() *msg.Report {
	var best *msg.Report
	for s := range n.c.Slots {
		r := n.fresh(s)
		if r == nil || r.Leader == 0 || r.View.Lineage.Epoch == (msg.Epoch{}) {
			continue
		}
		if g := n.g; g != nil && g.epoch == r.View.Lineage.Epoch {
			continue
		}
		if best == nil || outranks(r.View.Lineage, best.View.Lineage) && r.View.Lineage.Epoch != best.View.Lineage.Epoch ||
			r.View.Lineage.Epoch == best.View.Lineage.Epoch && r.Leader == r.ID {
			best = r
		}
	}
	return best
}

// joining is the epoch that this node wants to be taken into; zero: none.
func (n *Node) joining() msg.Epoch {
	if g := n.g; g != nil {
		if !g.member() {
			return g.epoch
		}
		return msg.Epoch{}
	}
	if n.heal != nil {
		return msg.Epoch{}
	}
	best := n.bestLive()
	if best == nil {
		return msg.Epoch{}
	}
	if mine := n.holds(); mine.lineage.Epoch != (msg.Epoch{}) && !replaces(best.View.Lineage, &mine) {
		return msg.Epoch{}
	}
	return best.View.Lineage.Epoch
}

// hear takes what slot says of itself.
func (n *Node) hear(slot int, r *msg.Report) {
	if r == nil || r.ID.Slot() != slot {
		return
	}
	p := &n.peers[slot]
	before := p.report
	p.report, p.said = r, n.now
	n.highest = max(n.highest, r.Highest, r.View.Lineage.Epoch.Number)
	n.standSoon = true
	if g := n.g; g != nil && !g.leads() && g.lead.Slot() == slot && g.lead != 0 && g.lead != r.ID {
		// Another process runs there now, or it has left the epoch.
		n.leaderGone(g)
	}
	if before == nil || before.ID != r.ID {
		n.reportSoon = true
	}
}

// report tells everybody how this node stands.
func (n *Node) report() {
	n.reportSoon = false
	n.nextReport = n.now + n.ticks(reportTicks)
	for s := range n.c.Slots {
		n.sendReport(s)
	}
}

func (n *Node) sendReport(slot int) {
	if slot == n.c.Slot || !n.peers[slot].up {
		return
	}
	r := &msg.Report{ID: n.me, Joining: n.joining(), Lost: n.lost(), Highest: n.highest}
	for s := range n.c.Slots {
		if n.hears(s) {
			r.Hears |= 1 << s
		}
	}
	c := n.holds()
	r.Lineage, r.LastTerm, r.LastIndex, r.Member = c.lineage, c.term, c.index, c.member
	if g := n.g; g != nil && g.st != nil {
		if v := g.view(); v != nil {
			r.View = *v
		}
		if n.led() && g.member() {
			r.Leader = g.lead
		}
	}
	n.send(slot, &msg.Message{Kind: msg.KindReport, Report: r})
}

// stand looks at how this node stands among the others, and acts on it: it leaves
// an epoch that has gone on without it or gives way to another one, joins one, or
// founds one. It is the only place where a node changes its epoch.
func (n *Node) stand() {
	if !n.standSoon {
		return
	}
	n.standSoon, n.mindSoon = false, true
	if n.led() {
		n.beAlone()
	}
	g := n.g
	if g != nil && g.member() && n.old != nil {
		n.old = nil
		n.event(false, "is a member of epoch %d", g.epoch.Number)
	}
	switch {
	case g == nil:
	case n.ejected(g):
		n.sometimes("was ejected")
		n.event(true, "epoch %d went on without this server", g.epoch.Number)
		n.leave()
	case !g.member():
		n.standJoining(g)
	case g.leads() || !n.led():
		n.standAgainst(g)
	}
	n.standHealing()
	if g := n.g; g == nil || !n.led() || g.leads() && n.bereft(g) {
		n.standAlone()
	}
}

// bereft tells whether so many voters are dead, or go by other names now, that there
// can't be a majority again. raft only learns of silence, and that takes time.
func (n *Node) bereft(g *group) bool {
	return !n.majority(g.conf(), func(id msg.ID) bool { return id == g.id || !n.dead(id) })
}

// ejected tells whether the others have taken this member out of the view.
func (n *Node) ejected(g *group) bool {
	if !g.member() {
		return false
	}
	mine := g.view()
	for s := range n.c.Slots {
		r := n.fresh(s)
		if r != nil && r.Leader != 0 && r.View.Lineage.Epoch == g.epoch && r.View.Number > mine.Number && !r.View.Has(g.id) {
			return true
		}
	}
	return false
}

// standJoining: in a group, and not a member yet.
func (n *Node) standJoining(g *group) {
	best := n.bestLive()
	switch {
	case !n.led() && n.now-g.leadHeard > n.ticks(aloneTicks)/2:
		n.sometimes("joined in vain")
		n.leave()
	case best != nil && g.st != nil && g.view() != nil && outranks(best.View.Lineage, g.view().Lineage):
		n.leave()
	}
}

// standAgainst: a leader, or a member without one, who hears of another lineage.
func (n *Node) standAgainst(g *group) {
	best := n.bestLive()
	if best == nil {
		return
	}
	mine := n.holds()
	w := best.View.Lineage
	if g.leads() && !outranks(w, mine.lineage) || !g.leads() && !replaces(w, &mine) {
		return
	}
	n.sometimes("gives way")
	n.event(true, "epoch %d gives way to epoch %d", g.epoch.Number, w.Epoch.Number)
	n.leave()
}

// standAlone: without a leader.
func (n *Node) standAlone() {
	if n.heal != nil {
		n.beAlone() // it hands its writes to somebody who leads, and will be taken in
		return
	}
	mine := n.holds()
	has := mine.lineage.Epoch != (msg.Epoch{})
	if best := n.bestLive(); best != nil && (!has || replaces(best.View.Lineage, &mine)) {
		n.beAlone()
		return // it will be taken in
	}
	if g := n.g; g != nil && !g.member() {
		return // it has been taken in, or will give that up
	}
	if g := n.g; g != nil && g.member() && n.now-n.alone < 3*n.patient && n.majority(g.conf(), func(id msg.ID) bool { return n.votes(g, id) }) {
		return // they elect one of themselves
	}
	settled, all := n.settled(has)
	if !n.lost() && !settled {
		return
	}
	best := mine
	for s := range n.c.Slots {
		r := n.fresh(s)
		if r == nil || r.Leader != 0 {
			continue
		}
		c := candidate{slot: s, lineage: r.Lineage, term: r.LastTerm, index: r.LastIndex, member: r.Member}
		if c.better(&best) {
			best = c
		}
	}
	if best.slot != n.c.Slot && n.now-n.alone < 2*n.patient {
		return // it will found one
	}
	if !has && !all && n.c.RefuseMinority {
		return
	}
	n.found()
}

// votes tells whether voter id is within reach under that name.
func (n *Node) votes(g *group, id msg.ID) bool {
	if id == g.id {
		return true
	}
	r := n.fresh(id.Slot())
	return r != nil && r.ID == id && n.peers[id.Slot()].up
}

// settled tells whether there is nothing to wait for: each other member of the last
// view, and everybody else who is heard, is dead, or has said, after the last death
// that this node knows of, that it is without a leader as well: what was said before
// may have been overtaken by an epoch that died with its leader. Who is no member any
// more, or none yet, can't know who has been added to the view since: it looks at all
// addresses, of which none may be on its way into an epoch, and who holds nothing has
// to hear from all. all tells whether it does.
func (n *Node) settled(has bool) (yes, all bool) {
	yes, all = true, true
	var v *msg.View // none but for a member
	if g := n.g; g != nil && g.member() {
		v = g.view()
	}
	for s := range n.c.Slots {
		if s == n.c.Slot {
			continue
		}
		p, r := &n.peers[s], n.fresh(s)
		here := r != nil && r.Leader == 0 && p.said >= n.lastGone
		all = all && here
		unheard := r == nil && (p.ever || !p.up) // else it has just come, and will tell
		switch {
		case v != nil && !slotIn(v, s) && unheard:
		case here && (v != nil || r.Joining == (msg.Epoch{})):
		case has && p.refused:
		default:
			yes = false
		}
	}
	return yes, all
}

// voterIDs lists the voters of conf, both halves.
func voterIDs(conf *raftpb.ConfState) (ids []msg.ID) {
	for _, half := range [][]uint64{conf.GetVoters(), conf.GetVotersOutgoing()} {
		for _, id := range half {
			ids = append(ids, msg.ID(id))
		}
	}
	return ids
}
