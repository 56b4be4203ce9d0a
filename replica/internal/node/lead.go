package node

import (
	"slices"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/torc-dht/torc/replica/internal/msg"
)

// leadership is what only a leader has.
type leadership struct {
	first   uint64                      // the entry with which its term began
	since   time.Duration               // when
	gather  time.Duration               // before this it waits for those who are about to join
	time    uint64                      // of the last batch
	stuck   uint64                      // how far was visible when that last changed, and
	moved   time.Duration               // when
	acked   [msg.MaxNodes]time.Duration // when a slot last answered raft
	batches map[uint64][]*flight        // under way, by number
	confAt  time.Duration               // when a change of the configuration was proposed; 0: none is
	asked   []asker                     // who waits for a place to read at
	rounds  map[uint64]*round           // of reads that raft is asked about
	forgets []*flight                   // a person's words that are not in the log yet
}

// rise makes this node the leader that raft says it is.
func (n *Node) rise(g *group) {
	n.sometimes("rises")
	l := &leadership{first: g.last, since: n.now, moved: n.now, batches: make(map[uint64][]*flight), rounds: make(map[uint64]*round)}
	for i := range l.acked {
		l.acked[i] = n.peers[i].heard // who has been silent before is not given all the time again
	}
	if v := g.views[len(g.views)-1].view; v.Number == 1 && len(v.Members) == 1 && !v.Lineage.Normal {
		l.gather = n.now + n.ticks(gatherTicks)
		if v.Lineage.Fork.Epoch == (msg.Epoch{}) {
			l.gather = max(n.now, n.began+n.patient)
		}
	}
	g.lead_ = l
	n.toldAll = true
	n.standSoon, n.mindSoon = true, true
	n.event(false, "leads epoch %d, term %d", g.epoch.Number, g.term)
}

// fall ends the leadership: what was under way starts again.
func (n *Node) fall(g *group) {
	n.sometimes("falls")
	l := g.lead_
	g.lead_ = nil
	for _, k := range sortedKeys(l.batches) {
		for _, f := range l.batches[k] {
			n.again(f)
		}
	}
	n.recallRounds(l)
	for _, f := range l.forgets {
		n.again(f)
	}
	n.recallQueued()
	n.sending = [msg.MaxNodes]*transfer{}
	n.standSoon = true
}

// heardFrom takes note of an answer to a leader: only those show that words go
// both ways.
func (l *leadership) heardFrom(now time.Duration, r *raftpb.Message) {
	switch r.GetType() {
	case raftpb.MsgAppResp, raftpb.MsgHeartbeatResp:
		l.acked[msg.ID(r.GetFrom()).Slot()] = now
	}
}

// open tells whether the leader may carry something out: all that was answered
// before its time is visible to it, and who is about to join a new epoch is in.
func (n *Node) open(g *group) bool {
	l := g.lead_
	return g.applied >= l.first && n.now >= l.gather
}

// refuses tells whether clients are not answered, for want of a quorum.
func (n *Node) refuses(g *group) bool {
	return n.c.RefuseMinority && !g.appliedView().Lineage.Normal
}

// gathered tells whether all who could be in the view are. Once they are, nobody is
// waited for again: who comes later is no reason to answer nobody meanwhile.
func (n *Node) gathered(v *msg.View) bool {
	fresh := v.Lineage.Fork.Epoch == (msg.Epoch{}) && !v.Lineage.Normal
	for s := range n.c.Slots {
		if !slotIn(v, s) && (fresh || n.hears(s)) {
			return false
		}
	}
	return true
}

func slotIn(v *msg.View, slot int) bool {
	return slices.ContainsFunc(v.Members, func(m msg.ID) bool { return m.Slot() == slot })
}

// lead does a leader's duties.
func (n *Node) lead(g *group) {
	if n.mindSoon {
		n.mindSoon = false
		n.mindView(g)
		n.mindConf(g)
	}
	if l := g.lead_; n.now < l.gather && n.gathered(g.appliedView()) {
		l.gather = n.now
	}
	switch {
	case !n.open(g):
	case n.refuses(g):
		// What others hand over has to get in, or they never can.
		merges := func(f *flight) bool { return f.op.Kind == msg.Merge }
		if queue := n.queue; slices.ContainsFunc(queue, merges) {
			n.queue = slices.DeleteFunc(slices.Clone(queue), func(f *flight) bool { return !merges(f) })
			n.propose(g)
			n.queue = append(n.queue, slices.DeleteFunc(queue, merges)...)
		}
	default:
		n.propose(g)
		n.startRounds(g)
	}
}

// lostMember tells whether m is to leave the view: its process is gone, another one
// runs in its place, or it has left the leader without an answer for too long.
func (n *Node) lostMember(g *group, m msg.ID) bool {
	if m == g.id {
		return false
	}
	return n.dead(m) || n.now-g.lead_.acked[m.Slot()] > n.ticks(silentTicks) || n.holdsUp(g, m)
}

// dead tells whether m is known to be no more: nobody listens at its slot, or somebody
// who goes by another name is there.
func (n *Node) dead(m msg.ID) bool {
	p := &n.peers[m.Slot()]
	return p.refused || p.report != nil && p.report.ID != m && n.hears(m.Slot())
}

// holdsUp tells whether it is m, which answers but doesn't get on with the log, for
// whom everybody has been waiting.
func (n *Node) holdsUp(g *group, m msg.ID) (yes bool) {
	l := g.lead_
	if n.now-l.moved <= n.ticks(stuckTicks) {
		return false
	}
	g.matched(func(id msg.ID, match uint64) {
		yes = yes || id == m && match <= l.stuck && match < g.commit
	})
	return yes
}

// mindView proposes the next view, if another one is due.
func (n *Node) mindView(g *group) {
	v := g.view()
	if g.viewPending() {
		return
	}
	next := *v
	next.Members = nil
	for _, m := range v.Members {
		if !n.lostMember(g, m) {
			next.Members = append(next.Members, m)
		}
	}
	if len(next.Members) < len(v.Members) && !n.backed(g) {
		// Who can't get a majority's word is the one that is cut off.
		return
	}
	n.admit(g, &next)
	n.mindForgotten(g, v, &next)
	if !next.Lineage.Normal && n.complete(&next) {
		n.sometimes("becomes normal")
		next.Lineage.Normal = true
		next.Normals = append(slices.Clone(next.Normals), next.Lineage.Epoch)
		if k := len(next.Normals) - msg.MaxNormals; k > 0 {
			next.Normals = next.Normals[k:]
		}
		next.Since = n.c.Wall(n.now) / 1000
	}
	if slices.Equal(next.Members, v.Members) && next.Lineage.Normal == v.Lineage.Normal && slices.Equal(next.Forgotten, v.Forgotten) {
		return
	}
	next.Number++
	if g.raw.Propose(msg.AppendView(nil, &next)) == nil {
		n.tellView(v, &next)
	}
}

func (n *Node) tellView(old, v *msg.View) {
	for _, m := range old.Members {
		if !v.Has(m) {
			n.sometimes("ejects")
			n.event(true, "%s leaves the view: it doesn't answer", n.name(m.Slot()))
		}
	}
	for _, m := range v.Members {
		if !old.Has(m) {
			n.sometimes("admits")
			n.event(false, "%s enters the view", n.name(m.Slot()))
		}
	}
	if v.Lineage.Normal && !old.Lineage.Normal {
		n.event(false, "epoch %d is normal: all servers are in", v.Lineage.Epoch.Number)
	}
}

// backed tells whether a majority of the voters has answered lately, in both halves
// of a joint configuration.
func (n *Node) backed(g *group) bool {
	return n.majority(g.conf(), func(id msg.ID) bool { return id == g.id || !n.lostMember(g, id) })
}

// majority tells whether ok holds of a majority of the voters of conf.
func (n *Node) majority(conf *raftpb.ConfState, ok func(msg.ID) bool) bool {
	for _, half := range [][]uint64{conf.GetVoters(), conf.GetVotersOutgoing()} {
		yes := 0
		for _, id := range half {
			if ok(msg.ID(id)) {
				yes++
			}
		}
		if len(half) > 0 && yes <= len(half)/2 {
			return false
		}
	}
	return true
}

// admit adds to v who has nearly all of the log. The leader may be one of them: it
// was ejected and, still a voter, elected before raft's configuration followed.
func (n *Node) admit(g *group, v *msg.View) {
	if !slotIn(v, n.c.Slot) {
		n.sometimes("admits itself")
		v.Members = append(v.Members, g.id)
	}
	g.matched(func(id msg.ID, match uint64) {
		s := id.Slot()
		if !slices.Contains(g.conf().GetLearners(), uint64(id)) || slotIn(v, s) || match == 0 || match+batchesBehind < g.last || n.lostMember(g, id) || !n.hears(s) {
			return
		}
		v.Members = append(v.Members, id)
	})
	slices.SortFunc(v.Members, func(a, b msg.ID) int { return a.Slot() - b.Slot() })
}

// batchesBehind is how many entries who enters the view may still lack.
const batchesBehind = 4

// complete tells whether every address is in v, under the name its process goes by
// now, or given up and not heard of since.
func (n *Node) complete(v *msg.View) bool {
	for s := range n.c.Slots {
		if s == n.c.Slot {
			continue
		}
		in := slices.ContainsFunc(v.Members, func(m msg.ID) bool {
			return m.Slot() == s && n.hears(s) && n.peers[s].report != nil && n.peers[s].report.ID == m
		})
		if !in && (slotIn(v, s) || n.hears(s) || !givenUp(v, s)) {
			return false
		}
	}
	return true
}

// mindConf proposes the next change of raft's configuration: towards an odd number
// of voters out of the view, and learners for the rest and for who wants to join.
func (n *Node) mindConf(g *group) {
	l, conf := g.lead_, g.conf()
	if g.commit < l.first || g.viewPending() || l.confAt != 0 && n.now-l.confAt < n.ticks(electionTicks) {
		return
	}
	if len(conf.GetVotersOutgoing()) > 0 {
		l.confAt = n.now
		_ = g.raw.ProposeConfChange(&raftpb.ConfChangeV2{})
		return
	}
	voters, learners := n.target(g, conf)
	var changes []*raftpb.ConfChangeSingle
	add := func(t raftpb.ConfChangeType, id uint64) {
		changes = append(changes, &raftpb.ConfChangeSingle{Type: t.Enum(), NodeId: new(id)})
	}
	moved := false // a voter comes or goes
	for _, id := range voters {
		if !slices.Contains(conf.GetVoters(), id) {
			add(raftpb.ConfChangeAddNode, id)
			moved = true
		}
	}
	for _, id := range learners {
		if !slices.Contains(conf.GetLearners(), id) {
			add(raftpb.ConfChangeAddLearnerNode, id)
			moved = moved || slices.Contains(conf.GetVoters(), id)
		}
	}
	for _, id := range slices.Concat(conf.GetVoters(), conf.GetLearners()) {
		if !slices.Contains(voters, id) && !slices.Contains(learners, id) {
			add(raftpb.ConfChangeRemoveNode, id)
			moved = moved || slices.Contains(conf.GetVoters(), id)
		}
	}
	if len(changes) == 0 {
		return
	}
	cc := &raftpb.ConfChangeV2{Changes: changes}
	if moved || len(changes) > 1 {
		cc.Transition = raftpb.ConfChangeTransitionJointExplicit.Enum()
	}
	l.confAt = n.now
	_ = g.raw.ProposeConfChange(cc)
}

// target says what raft's configuration should be: three voters out of a view of
// three or four, else the leader alone. A four-node cluster cut in half has a
// majority on one side, a two-node one where the leader is.
func (n *Node) target(g *group, conf *raftpb.ConfState) (voters, learners []uint64) {
	v := g.view()
	want := 1
	if len(v.Members) >= 3 {
		want = 3
	}
	voters = append(voters, uint64(g.id))
	for _, already := range []bool{true, false} {
		for _, m := range v.Members {
			if len(voters) < want && m != g.id && slices.Contains(conf.GetVoters(), uint64(m)) == already {
				voters = append(voters, uint64(m))
			}
		}
	}
	for _, m := range v.Members {
		if !slices.Contains(voters, uint64(m)) {
			learners = append(learners, uint64(m))
		}
	}
	for s := range n.c.Slots {
		if r := n.peers[s].report; r != nil && !slotIn(v, s) && n.wantsIn(g, s, r) {
			learners = append(learners, uint64(r.ID))
		}
	}
	return voters, learners
}

// wantsIn tells whether the node at slot s asks to join g, and can.
func (n *Node) wantsIn(g *group, s int, r *msg.Report) bool {
	return s != n.c.Slot && n.hears(s) && n.peers[s].up && r.Joining == g.epoch && r.Hears&(1<<n.c.Slot) != 0
}

// propose makes batches of the writes that wait.
func (n *Node) propose(g *group) {
	l := g.lead_
	for len(l.batches) < pipeline && len(n.queue) > 0 {
		size, k := 0, 0
		ops := n.proposal[:0]
		h := n.header(g)
		for ; k < len(n.queue) && size < maxBatchBytes && k < msg.MaxOps; k++ {
			op := n.queue[k].op
			if op.TTL > 0 {
				timed := *op
				timed.Expires = h.Time + uint64(op.TTL/time.Microsecond)
				op = &timed
			}
			if op.Kind == msg.Merge {
				judged := *op
				judged.Cond = mergeCond(g.view(), op)
				op = &judged
			}
			size += len(op.Key) + len(op.Value)
			ops = append(ops, op)
		}
		n.proposal = ops
		if g.raw.Propose(msg.AppendBatch(nil, h, ops)) != nil {
			return
		}
		batch := slices.Clone(n.queue[:k])
		for _, f := range batch {
			f.where, f.tried = inBatch, true
		}
		clear(ops)
		l.batches[h.Number] = batch
		rest := copy(n.queue, n.queue[k:])
		clear(n.queue[rest:])
		n.queue = n.queue[:rest]
	}
	if len(l.batches) == 0 {
		if due, ok := g.st.Due(); ok && due <= n.logNow() {
			h := n.header(g)
			if g.raw.Propose(msg.AppendBatch(nil, h, []*msg.Op{{Kind: msg.Expire}})) == nil {
				l.batches[h.Number] = nil
			}
		}
	}
}

// mergeCond says how a write of a lineage that left epoch fork is taken over by one
// with view v. Where v's has gone on from there with its quorum, or the other began
// with nothing, the write counts only if nothing happened to its key since; else the
// later one by the clock wins.
// Who hands it over can't say: it may be taken over by another lineage than it
// thought.
func mergeCond(v *msg.View, op *msg.Op) msg.Cond {
	fork := op.Fork.Epoch
	if v.Lineage.Normal && (fork == msg.Epoch{} || fork == v.Lineage.Epoch || slices.Contains(v.Normals, fork)) {
		return op.Cond
	}
	return msg.IfVersion
}

// header begins a batch: time goes on, by a microsecond at least.
func (n *Node) header(g *group) msg.BatchHeader {
	l := g.lead_
	l.time = max(l.time+1, n.logNow())
	n.batchNumber++
	return msg.BatchHeader{Origin: g.id, Number: n.batchNumber, Time: l.time}
}
