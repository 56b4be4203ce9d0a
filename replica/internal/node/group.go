package node

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
	"google.golang.org/protobuf/proto"

	"github.com/torc-dht/torc/replica/internal/msg"
	"github.com/torc-dht/torc/replica/internal/state"
)

// viewAt is a view and the index of its entry.
type viewAt struct {
	index uint64
	view  *msg.View
}

// confAt is a configuration of raft's and the index of the entry that made it.
type confAt struct {
	index uint64
	conf  *raftpb.ConfState
}

// group is a node's part in one raft group, so in one epoch. Raft applies its
// changes of configuration when they are committed; data are applied later, when
// they are visible.
type group struct {
	epoch msg.Epoch
	id    msg.ID
	raw   *raft.RawNode
	store *storage

	st      *state.State // nil until there is something: a joiner has to be sent it
	applied uint64       // st is as of this entry
	visible uint64       // entries up to this one may be applied once they are committed
	pending []*raftpb.Entry
	commit  uint64
	last    uint64 // the index of the last entry in the log
	term    uint64

	// views and confs, by index. The first of each is the one in force at applied,
	// further ones come after it; views has uncommitted ones at its end.
	views []viewAt
	confs []confAt

	lead       msg.ID // whom raft takes for the leader
	leadHeard  time.Duration
	electionAt time.Duration // when to campaign, unless a leader is heard
	eager      int           // how often yet to campaign at once: the leader is known to be gone

	bytes uint64 // about how much the log holds
	lead_ *leadership
}

// storage is raft's log in memory, with snapshots that are made when they are
// asked for.
type storage struct {
	*raft.MemoryStorage
	g *group
}

// Snapshot describes what the group has applied. Its data is the index alone: what
// a snapshot holds travels in chunks, ahead of it.
func (s *storage) Snapshot() (*raftpb.Snapshot, error) {
	g := s.g
	if g.st == nil || g.applied == 0 {
		return nil, raft.ErrSnapshotTemporarilyUnavailable
	}
	term, err := s.Term(g.applied)
	if err != nil {
		return nil, raft.ErrSnapshotTemporarilyUnavailable
	}
	return &raftpb.Snapshot{
		Data: binary.BigEndian.AppendUint64(nil, g.applied),
		Metadata: &raftpb.SnapshotMetadata{
			ConfState: proto.Clone(g.confs[0].conf).(*raftpb.ConfState),
			Index:     new(g.applied),
			Term:      new(term),
		},
	}, nil
}

func (n *Node) newGroup(epoch msg.Epoch, id msg.ID) *group {
	g := &group{epoch: epoch, id: id}
	g.store = &storage{MemoryStorage: raft.NewMemoryStorage(), g: g}
	return g
}

// start lets raft begin with what is in the store.
func (n *Node) start(g *group) {
	raw, err := raft.NewRawNode(&raft.Config{
		ID:                        uint64(g.id),
		ElectionTick:              electionTicks,
		HeartbeatTick:             heartbeatTicks,
		Storage:                   g.store,
		Applied:                   g.applied,
		MaxSizePerMsg:             1 << 20,
		MaxCommittedSizePerReady:  1 << 62,
		MaxUncommittedEntriesSize: 64 << 20,
		MaxInflightMsgs:           64,
		MaxInflightBytes:          16 << 20,
		CheckQuorum:               true,
		PreVote:                   true,
		ReadOnlyOption:            raft.ReadOnlySafe,
		DisableProposalForwarding: true,
		StepDownOnRemoval:         true,
		Logger:                    quiet{},
	})
	if err != nil {
		panic(fmt.Sprintf("node: raft refuses its configuration: %v", err))
	}
	g.raw = raw
	g.leadHeard = n.now
	n.resetElection(g)
}

// found begins an epoch of which this node is the only member: what is held, if
// anything, is what it begins with.
func (n *Node) begin(epoch msg.Epoch, id msg.ID, st *state.State, view *msg.View) *group {
	g := n.newGroup(epoch, id)
	conf := &raftpb.ConfState{Voters: []uint64{uint64(id)}}
	err := g.store.ApplySnapshot(&raftpb.Snapshot{Metadata: &raftpb.SnapshotMetadata{
		ConfState: conf, Index: new(uint64(1)), Term: new(uint64(1)),
	}})
	if err != nil {
		panic(fmt.Sprintf("node: an empty log refuses to begin: %v", err))
	}
	g.st = st
	g.applied, g.visible, g.commit, g.last, g.term = 1, 1, 1, 1, 1
	g.views = []viewAt{{1, view}}
	g.confs = []confAt{{1, conf}}
	n.start(g)
	_ = g.raw.Campaign()
	return g
}

// view is the last committed view; nil while there is none.
func (g *group) view() *msg.View {
	for i := len(g.views) - 1; i >= 0; i-- {
		if g.views[i].index <= g.commit {
			return g.views[i].view
		}
	}
	return nil
}

// viewPending tells whether a view is in the log and not committed.
func (g *group) viewPending() bool {
	return len(g.views) > 0 && g.views[len(g.views)-1].index > g.commit
}

// appliedView is the view in force at what is applied.
func (g *group) appliedView() *msg.View { return g.views[0].view }

// conf is raft's configuration now; nil while there is none.
func (g *group) conf() *raftpb.ConfState {
	if len(g.confs) == 0 {
		return nil
	}
	return g.confs[len(g.confs)-1].conf
}

// member tells whether this node counts itself a member: it has seen the entry
// that made it one committed.
func (g *group) member() bool {
	v := g.view()
	return v != nil && v.Has(g.id)
}

// counted tells whether others may count on this node: a view in its log, committed
// or not, has it as a member. From that entry on nothing was answered that isn't in
// this log, whether or not this node ever learns that the view has become valid.
func (g *group) counted() bool {
	return slices.ContainsFunc(g.views, func(at viewAt) bool { return at.view.Has(g.id) })
}

// leads tells whether this node is the leader.
func (g *group) leads() bool { return g.lead_ != nil }

// label is the number that answers are marked with, 0 for none.
func (g *group) label() uint64 {
	if l := g.appliedView().Lineage; !l.Normal {
		return l.Epoch.Number
	}
	return 0
}

// lastTerm is the term of the last entry.
func (g *group) lastTerm() uint64 {
	t, err := g.store.Term(g.last)
	if err != nil {
		return 0
	}
	return t
}

// ready does all that raft has to do.
func (n *Node) ready(g *group) {
	for n.g == g && g.raw.HasReady() {
		rd := g.raw.Ready()
		if !raft.IsEmptySnap(rd.Snapshot) {
			n.restore(g, rd.Snapshot)
		}
		if !raft.IsEmptyHardState(rd.HardState) {
			g.term = rd.HardState.GetTerm()
			_ = g.store.SetHardState(rd.HardState)
		}
		if len(rd.Entries) > 0 {
			n.append(g, rd.Entries)
		}
		if rd.SoftState != nil {
			n.role(g, rd.SoftState)
		}
		for _, e := range rd.CommittedEntries {
			g.commit = e.GetIndex()
			n.mindSoon = n.mindSoon || len(e.GetData()) == 0 || e.GetData()[0] != msg.EntryBatch
			if e.GetType() == raftpb.EntryConfChangeV2 || e.GetType() == raftpb.EntryConfChange {
				n.reconfigure(g, e)
			}
		}
		g.pending = append(g.pending, rd.CommittedEntries...)
		for _, rs := range rd.ReadStates {
			n.readConfirmed(g, rs.RequestCtx)
		}
		n.post(g, rd.Messages)
		g.raw.Advance(rd)
	}
}

// append keeps entries, and remembers the views among them: those of the log that
// they replace are forgotten.
func (n *Node) append(g *group, entries []*raftpb.Entry) {
	first := entries[0].GetIndex()
	for len(g.views) > 1 && g.views[len(g.views)-1].index >= first {
		g.views = g.views[:len(g.views)-1]
	}
	if err := g.store.Append(entries); err != nil {
		panic(fmt.Sprintf("node: log in memory: %v", err))
	}
	for _, e := range entries {
		g.bytes += uint64(len(e.GetData()))
		if d := e.GetData(); e.GetType() == raftpb.EntryNormal && len(d) > 0 && d[0] == msg.EntryView {
			v, err := msg.DecodeView(d)
			if err != nil {
				panic(fmt.Sprintf("node: a view in the log: %v", err))
			}
			g.views = append(g.views, viewAt{e.GetIndex(), v})
		}
	}
	g.last = entries[len(entries)-1].GetIndex()
}

// reconfigure carries out a committed change of raft's configuration.
func (n *Node) reconfigure(g *group, e *raftpb.Entry) {
	var cc raftpb.ConfChangeV2
	if err := proto.Unmarshal(e.GetData(), &cc); err != nil {
		panic(fmt.Sprintf("node: a configuration change in the log: %v", err))
	}
	conf := g.raw.ApplyConfChange(&cc)
	g.confs = append(g.confs, confAt{e.GetIndex(), conf})
	if l := g.lead_; l != nil {
		l.confAt = 0
		// raft looks at reads when a voter answers: those it waits for may be voters
		// no more, and the leader alone needs no answer.
		n.recallRounds(l)
	}
}

// role takes note of who leads.
func (n *Node) role(g *group, s *raft.SoftState) {
	lead := msg.ID(s.Lead)
	if lead != g.lead {
		n.recallAsked()
		g.lead = lead
		g.leadHeard = n.now
		n.reportSoon, n.standSoon = true, true
		if lead != 0 {
			g.eager = 0
			n.sometimes("leader")
			// Who was the leader may be unable to pass on what it has, or to say so.
			n.recallHanded(func(slot int) bool { return slot != lead.Slot() })
		}
	}
	switch {
	case s.RaftState == raft.StateLeader && g.lead_ == nil:
		n.rise(g)
	case s.RaftState != raft.StateLeader && g.lead_ != nil:
		n.fall(g)
	}
}

// post sends raft's messages, gathered by receiver, with how far is visible.
func (n *Node) post(g *group, ms []*raftpb.Message) {
	for _, m := range ms {
		to := msg.ID(m.GetTo())
		switch m.GetType() {
		case raftpb.MsgSnap:
			n.sendSnapshot(g, to, m)
			continue
		case raftpb.MsgVoteResp:
			if !m.GetReject() {
				n.resetElection(g)
			}
		}
		o := n.outRaft(g, to)
		o.Raft = append(o.Raft, m)
		size := 0
		for _, e := range m.Entries {
			size += len(e.GetData())
		}
		if n.raftBytes[to.Slot()] += size; n.raftBytes[to.Slot()] >= messageBytes {
			n.flushRaft()
		}
	}
}

// outRaft is the message with raft's messages for to that is about to be sent.
func (n *Node) outRaft(g *group, to msg.ID) *msg.Message {
	o := n.raftOut[to.Slot()]
	if o == nil || o.To != to || o.Epoch != g.epoch {
		if o != nil {
			n.send(to.Slot(), o)
		}
		o = &msg.Message{Kind: msg.KindRaft, Epoch: g.epoch, From: g.id, To: to}
		n.raftOut[to.Slot()] = o
	}
	return o
}

// flushRaft sends what outRaft has gathered.
func (n *Node) flushRaft() {
	for slot, o := range n.raftOut {
		if o == nil {
			continue
		}
		n.raftOut[slot], n.raftBytes[slot] = nil, 0
		if g := n.g; g != nil && g.epoch == o.Epoch {
			o.Visible = g.visible
		}
		n.send(slot, o)
	}
}

// matched calls f with how far each node of the configuration has the log.
func (g *group) matched(f func(id msg.ID, match uint64)) {
	g.raw.WithProgress(func(id uint64, _ raft.ProgressType, p tracker.Progress) { f(msg.ID(id), p.Match) })
}

// see works out, at the leader, how far is visible: to the last committed entry
// that everyone in the view has, and in views that are not committed yet.
func (n *Node) see(g *group) {
	var match [msg.MaxNodes]struct {
		id    msg.ID
		match uint64
	}
	g.raw.WithProgress(func(id uint64, _ raft.ProgressType, p tracker.Progress) {
		// Of two IDs of one slot the one in the view is asked for below.
		s := &match[msg.ID(id).Slot()]
		if s.id == 0 || g.wanted(msg.ID(id)) {
			s.id, s.match = msg.ID(id), p.Match
		}
	})
	visible := g.commit
	for i := len(g.views) - 1; i >= 0; i-- {
		at := g.views[i]
		for _, m := range at.view.Members {
			if m == g.id {
				continue
			}
			if s := match[m.Slot()]; s.id == m {
				visible = min(visible, s.match)
			} else {
				visible = 0
			}
		}
		if at.index <= g.commit {
			break
		}
	}
	if n.c.Bugs.AnswerEarly {
		visible = g.commit
	}
	if visible > g.visible {
		g.visible = visible
		n.toldAll = false
	}
	if l := g.lead_; visible >= g.commit || visible > l.stuck {
		l.stuck, l.moved = visible, n.now
	}
}

// wanted tells whether id has to be asked before an entry is visible.
func (g *group) wanted(id msg.ID) bool {
	for i := len(g.views) - 1; i >= 0; i-- {
		if g.views[i].view.Has(id) {
			return true
		}
		if g.views[i].index <= g.commit {
			break
		}
	}
	return false
}

// apply carries out what is committed and visible.
func (n *Node) apply(g *group) (moved bool) {
	i := 0
	for ; i < len(g.pending) && g.pending[i].GetIndex() <= g.visible; i++ {
		n.applyEntry(g, g.pending[i])
		moved = true
	}
	if i > 0 {
		k := copy(g.pending, g.pending[i:])
		clear(g.pending[k:])
		g.pending = g.pending[:k]
	}
	for len(g.views) > 1 && g.views[1].index <= g.applied {
		g.views = g.views[1:]
		n.reportSoon = true
	}
	for len(g.confs) > 1 && g.confs[1].index <= g.applied {
		g.confs = g.confs[1:]
	}
	if moved {
		n.compact(g)
	}
	return moved
}

// applyEntry carries out one entry of the log.
func (n *Node) applyEntry(g *group, e *raftpb.Entry) {
	g.applied = e.GetIndex()
	d := e.GetData()
	if e.GetType() != raftpb.EntryNormal || len(d) == 0 || d[0] != msg.EntryBatch {
		return
	}
	h, ops, err := msg.DecodeBatch(d, n.opsBuf[:0])
	if err != nil {
		panic(fmt.Sprintf("node: a batch in the log: %v", err))
	}
	n.opsBuf = ops
	var waiting []*flight
	if l := g.lead_; l != nil && h.Origin == g.id {
		waiting = l.batches[h.Number]
		delete(l.batches, h.Number)
	}
	for i := range ops {
		if n.c.Bugs.ForgetOps {
			ops[i].ID = msg.OpID{}
		}
		r := g.st.Apply(g.epoch.Number, h.Time, &ops[i])
		if i < len(waiting) {
			r.Degraded = g.label()
			n.finish(waiting[i], r)
		}
	}
	clear(ops)
	n.heardTime(h.Time)
}

// Log kept beyond what is applied, for members that are a little behind: less than
// a snapshot costs, more than a batch or two.
const (
	keepEntries = 4096
	keepBytes   = 16 << 20
	// catchUpBytes is how much is kept for one who is sent a snapshot, or what came
	// after it: who is further behind can't keep up and needs another one.
	catchUpBytes = 16 * keepBytes
)

// compact drops the log's beginning when there is too much of it.
func (n *Node) compact(g *group) {
	first, _ := g.store.FirstIndex()
	if g.last-first < 2*keepEntries && g.bytes < 2*keepBytes {
		return
	}
	to := g.applied
	if g.applied > keepEntries && g.bytes < 2*keepBytes {
		to = g.applied - keepEntries
	}
	if g.bytes < catchUpBytes {
		to = n.catchUpFrom(g, first, to)
	}
	if to <= first || (to-first)*8 < g.last-first {
		return // nothing that is worth the walk
	}
	if g.store.Compact(to) == nil {
		g.bytes = 0
		if es, err := g.store.Entries(to+1, g.last+1, 1<<62); err == nil {
			for _, e := range es {
				g.bytes += uint64(len(e.GetData()))
			}
		}
	}
}

// catchUpFrom returns the entry behind which somebody who joins still needs the log,
// of which first is the first one, or to if nobody does.
func (n *Node) catchUpFrom(g *group, first, to uint64) uint64 {
	for _, t := range n.sending {
		if t != nil && t.index+1 >= first {
			to = min(to, t.index)
		}
	}
	if g.leads() {
		g.matched(func(id msg.ID, match uint64) {
			if match+1 >= first && n.hears(id.Slot()) {
				to = min(to, match)
			}
		})
	}
	return to
}

// quiet is raft's log: what it would say is either said better by events or a
// mistake, which ends the program.
type quiet struct{}

func (quiet) Debug(...any)                   {}
func (quiet) Debugf(string, ...any)          {}
func (quiet) Info(...any)                    {}
func (quiet) Infof(string, ...any)           {}
func (quiet) Warning(...any)                 {}
func (quiet) Warningf(string, ...any)        {}
func (quiet) Error(...any)                   {}
func (quiet) Errorf(string, ...any)          {}
func (quiet) Fatal(v ...any)                 { panic(fmt.Sprint(v...)) }
func (quiet) Fatalf(format string, v ...any) { panic(fmt.Sprintf(format, v...)) }
func (quiet) Panic(v ...any)                 { panic(fmt.Sprint(v...)) }
func (quiet) Panicf(format string, v ...any) { panic(fmt.Sprintf(format, v...)) }
