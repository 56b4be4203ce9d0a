package node

import (
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/torc-dht/torc/replica/internal/msg"
	"github.com/torc-dht/torc/replica/internal/state"
)

// A snapshot travels in chunks, so that heartbeats and writes pass between them:
// the view first, then the state, then raft's own message, which makes it count.
const (
	chunkBytes  = 64 << 10
	chunkWindow = 4 // chunks that were sent and not acknowledged
)

// transfer is a snapshot on its way to a slot.
type transfer struct {
	to    msg.ID
	index uint64
	m     *raftpb.Message
	view  *msg.View
	image *state.Image
	next  uint64        // the number of the next chunk
	acked uint64        // chunks that have arrived
	moved time.Duration // when the last of them did
	last  bool          // the last one was sent
}

// arrival is a snapshot on its way here.
type arrival struct {
	from  msg.ID
	epoch msg.Epoch
	index uint64
	next  uint64
	view  *msg.View
	load  *state.Loader
	st    *state.State // once it is whole
}

// sendSnapshot begins to send what raft wants sent.
func (n *Node) sendSnapshot(g *group, to msg.ID, m *raftpb.Message) {
	slot := to.Slot()
	if m.GetSnapshot().GetMetadata().GetIndex() != g.applied || !n.peers[slot].up {
		g.raw.ReportSnapshot(uint64(to), raft.SnapshotFailure)
		return
	}
	n.sometimes("sends a snapshot")
	n.sending[slot] = &transfer{to: to, index: g.applied, m: m, view: g.appliedView(), image: g.st.Image(), moved: n.now}
	n.sendChunks(g, slot)
}

func (n *Node) sendChunks(g *group, slot int) {
	t := n.sending[slot]
	for !t.last && t.next < t.acked+chunkWindow {
		c := &msg.Message{Kind: msg.KindChunk, Epoch: g.epoch, From: g.id, To: t.to, Ref: t.index, Index: t.next}
		if t.next == 0 {
			c.Data = msg.AppendView(nil, t.view)
		} else {
			c.Data, c.Last = t.image.Next(chunkBytes)
			t.last = c.Last
		}
		t.next++
		n.send(slot, c)
	}
	if t.last && t.m != nil {
		n.flushRaft()
		o := n.outRaft(g, t.to)
		o.Raft = append(o.Raft, t.m)
		t.m = nil
		g.raw.ReportSnapshot(uint64(t.to), raft.SnapshotFinish)
	}
}

// chunkOK: the receiver has another one.
func (n *Node) chunkOK(slot int, m *msg.Message) {
	g, t := n.g, n.sending[slot]
	if t == nil || g == nil || g.epoch != m.Epoch || t.to != m.From || t.index != m.Ref {
		return
	}
	t.acked, t.moved = max(t.acked, m.Index+1), n.now
	n.sendChunks(g, slot)
	if t.last && t.acked == t.next {
		n.sending[slot] = nil
	}
}

// mindTransfers gives snapshots up that don't get on: the receiver can't use them, or
// its word was lost with a connection whose end nobody told the sender of. While one
// is under way the log is kept from there on, so none may be for ever.
func (n *Node) mindTransfers() {
	for slot, t := range n.sending {
		if t != nil && n.now-t.moved > n.ticks(stuckTicks) {
			n.sometimes("gives a snapshot up")
			n.endTransfer(slot)
		}
	}
}

// endTransfer has raft try again, by and by.
func (n *Node) endTransfer(slot int) {
	t := n.sending[slot]
	n.sending[slot] = nil
	if g := n.g; g != nil && t != nil {
		g.raw.ReportSnapshot(uint64(t.to), raft.SnapshotFailure)
	}
}

// chunk takes a part of a snapshot.
func (n *Node) chunk(slot int, m *msg.Message) {
	g := n.g
	if g == nil || g.epoch != m.Epoch || m.To != g.id || n.now < n.balks {
		return
	}
	a := n.coming
	if m.Index == 0 {
		v, err := msg.DecodeView(m.Data)
		if err != nil {
			n.event(true, "snapshot from %s: %v", n.name(slot), err)
			return
		}
		a = &arrival{from: m.From, epoch: m.Epoch, index: m.Ref, view: v, load: state.NewLoader(n.c.Limits)}
		n.coming = a
	} else {
		if a == nil || a.from != m.From || a.index != m.Ref || a.next != m.Index || a.st != nil {
			return
		}
		if err := a.load.Add(m.Data); err != nil {
			n.balk(slot, err)
			return
		}
	}
	a.next++
	if m.Last {
		st, err := a.load.State()
		if err != nil {
			n.balk(slot, err)
			return
		}
		a.st, a.load = st, nil
	}
	n.send(slot, &msg.Message{Kind: msg.KindChunkOK, Epoch: m.Epoch, From: g.id, To: m.From, Ref: m.Ref, Index: m.Index})
}

// balk gives up a snapshot that this node can't take, and for a while all others:
// they would be no better.
func (n *Node) balk(slot int, err error) {
	n.event(true, "snapshot from %s: %v", n.name(slot), err)
	n.coming = nil
	n.balks = n.now + n.ticks(aloneTicks)
}

// arrived tells whether what raft's message names is here, whole.
func (n *Node) arrived(g *group, _ int, r *raftpb.Message) bool {
	a := n.coming
	return a != nil && a.st != nil && a.epoch == g.epoch && uint64(a.from) == r.GetFrom() && a.index == r.GetSnapshot().GetMetadata().GetIndex()
}

// restore begins anew with the snapshot that raft has taken.
func (n *Node) restore(g *group, s *raftpb.Snapshot) {
	a := n.coming
	if a == nil || a.st == nil || a.index != s.GetMetadata().GetIndex() {
		panic("node: raft took a snapshot that isn't here")
	}
	n.sometimes("takes a snapshot")
	n.coming = nil
	if err := g.store.ApplySnapshot(s); err != nil {
		panic("node: snapshot: " + err.Error())
	}
	g.st = a.st
	n.logTime, n.logAt = a.st.Now(), n.now
	g.applied, g.commit, g.last = a.index, a.index, a.index
	g.visible = max(g.visible, a.index)
	g.pending = nil
	g.views = []viewAt{{a.index, a.view}}
	g.confs = []confAt{{a.index, s.GetMetadata().GetConfState()}}
	g.bytes = 0
	n.standSoon = true
}

// cutOff: what was sent to slot and not acknowledged may be lost.
func (n *Node) cutOff(slot int) {
	g := n.g
	n.endTransfer(slot)
	if g != nil && g.leads() {
		g.matched(func(id msg.ID, _ uint64) {
			if id.Slot() == slot {
				g.raw.ReportUnreachable(uint64(id))
			}
		})
	}
	n.recallHanded(func(s int) bool { return s == slot })
	if n.coming != nil && n.coming.from.Slot() == slot {
		n.coming = nil
	}
}
