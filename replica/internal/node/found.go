package node

import (
	"slices"

	"github.com/torc-dht/torc/replica/internal/msg"
	"github.com/torc-dht/torc/replica/internal/state"
)

// holding is what a node has of an epoch that it takes no part in any more.
type holding struct {
	view   *msg.View
	st     *state.State // with all that was known to be committed
	tail   [][]byte     // batches behind that: they may have been committed
	term   uint64       // of the last entry
	index  uint64
	member bool // it was one of the view
	// counted: others may have counted on it. Else it is a copy of what others have,
	// and have whole: good for nothing while any of them, or who goes on from there,
	// is heard.
	counted bool
}

// hold takes what the group has: nil if that is nothing.
func (n *Node) hold(g *group) *holding {
	if g.st == nil {
		return nil
	}
	h := &holding{view: g.view(), term: g.lastTerm(), index: g.last, member: g.member(), counted: g.counted()}
	g.visible = g.commit
	g.lead_ = nil
	n.apply(g)
	h.st = g.st
	if g.last > g.commit {
		entries, err := g.store.Entries(g.commit+1, g.last+1, 1<<62)
		if err != nil {
			panic("node: the log's end: " + err.Error())
		}
		for _, e := range entries {
			if d := e.GetData(); len(d) > 0 && d[0] == msg.EntryBatch {
				h.tail = append(h.tail, d)
			}
		}
	}
	return h
}

// prefers tells whether this node would rather go on with what the group has than
// with what it came with.
func (n *Node) prefers(g *group) bool {
	return g.st != nil && (n.old == nil || !n.old.counted || g.counted())
}

// whole carries out the tail as writes of epoch. Nobody knows whether they were
// answered; so they must not be lost, and may take effect now.
func (h *holding) whole(epoch uint64) {
	for _, d := range h.tail {
		head, ops, err := msg.DecodeBatch(d, nil)
		if err != nil {
			panic("node: a batch in the log: " + err.Error())
		}
		for i := range ops {
			h.st.Apply(epoch, head.Time, &ops[i])
		}
	}
	h.tail = nil
}

// leave ends this node's part in its group. What it holds it keeps until it is a
// member elsewhere; a joiner on whom nobody counts yet keeps what it came with. From
// here on it goes by another name: the old one never votes again.
func (n *Node) leave() {
	g := n.g
	n.drop(g)
	if n.prefers(g) {
		n.old = n.hold(g)
	}
	n.g = nil
	if !n.c.Bugs.KeepID {
		n.me = msg.NewID(n.c.Slot, n.c.Rand.Uint64())
	}
	n.beAlone()
	n.reportSoon = true
	n.standSoon = true
	n.startHealing()
}

// drop lets go of all that depends on the group.
func (n *Node) drop(g *group) {
	if g.lead_ != nil {
		n.fall(g)
	}
	n.recallQueued()
	n.recallHanded(func(int) bool { return true })
	n.raftOut = [msg.MaxNodes]*msg.Message{}
	n.sending = [msg.MaxNodes]*transfer{}
	n.coming = nil
}

// found begins an epoch with this node alone, and with all that it holds.
func (n *Node) found() {
	h := n.old
	if g := n.g; g != nil {
		n.drop(g)
		if n.prefers(g) {
			h = n.hold(g)
		}
		n.g = nil
	}
	n.old, n.coming = nil, nil
	n.highest++
	if h == nil {
		// Above whatever there may have been before everything died, so that no
		// version of then ever names a write of now.
		n.highest = max(n.highest, n.c.Wall(n.now)/1000)
	}
	// No two servers ever found epochs of one number: a version would name two writes.
	for n.highest%msg.MaxNodes != uint64(n.c.Slot) {
		n.highest++
	}
	id := msg.NewID(n.c.Slot, n.c.Rand.Uint64())
	n.me = id
	view := &msg.View{Number: 1, Members: []msg.ID{id}, Since: n.c.Wall(n.now) / 1000}
	view.Lineage.Epoch = msg.Epoch{Number: n.highest, Founder: id}
	st := state.New(n.c.Limits)
	if h != nil {
		st = h.st
		view.Normals = slices.Clone(h.view.Normals)
		view.Lineage.Fork = h.view.Lineage.Fork
		if h.view.Lineage.Normal {
			view.Lineage.Fork = msg.Point{Epoch: h.view.Lineage.Epoch, Term: h.term, Index: h.index, Seq: st.Seq()}
		}
		h.whole(n.highest)
		n.sometimes("founds with data")
	} else {
		n.sometimes("founds afresh")
		n.logTime, n.logAt = n.c.Wall(n.now), n.now
		// Who joins before anything was written has to know the time, too.
		st.Apply(n.highest, n.logTime, &msg.Op{Kind: msg.Expire})
	}
	n.g = n.begin(view.Lineage.Epoch, id, st, view)
	n.reportSoon = true
	if h != nil {
		n.event(true, "founds epoch %d: no quorum can be reached", n.highest)
	} else {
		n.event(false, "founds epoch %d with nothing in it", n.highest)
	}
}

// healing is the handing over of the writes of an epoch that gives way: those since
// it left its last normal one, to the epoch that goes on.
type healing struct {
	number  uint64 // the ref of its flights
	from    msg.Epoch
	into    msg.Epoch // if another is to be joined after all, that gets them all again
	ops     []*msg.Op
	waiting int
	taken   int
	dropped int
}

// healWindow is how many of them are under way at once.
const healWindow = 256

// startHealing begins it, if what this node holds has such writes. They go to
// whatever epoch this node would join. A mere copy is thrown away instead.
func (n *Node) startHealing() {
	h := n.old
	if h == nil {
		return
	}
	best := n.bestLive()
	if best == nil || !outranks(best.View.Lineage, h.view.Lineage) {
		return
	}
	if !h.counted {
		n.old = nil
		return
	}
	epoch, into := h.view.Lineage.Epoch, best.View.Lineage.Epoch
	if h.view.Lineage.Normal || n.merged == epoch && n.mergedInto == into {
		return
	}
	h.whole(epoch.Number)
	fork := h.view.Lineage.Fork
	n.numbers++
	n.heal = &healing{number: n.numbers, from: epoch, into: into}
	for _, op := range h.st.Since(fork) {
		op.Fork = fork
		if op.ID.Client == 0 {
			op.ID = msg.OpID{Client: uint64(epoch.Founder), Seq: op.Version.Seq}
		}
		op.ID.Acked = 0
		n.heal.ops = append(n.heal.ops, op)
	}
	n.sometimes("heals")
}

// standHealing goes on with it, and begins it for one who has been without a
// leader since before there was anybody to give way to.
func (n *Node) standHealing() {
	if n.g == nil && n.heal == nil {
		n.startHealing()
	}
	h := n.heal
	if h == nil {
		return
	}
	if best := n.bestLive(); best == nil || n.old == nil || best.View.Lineage.Epoch != h.into {
		n.heal = nil
		n.standSoon = true
		return
	}
	for h.waiting < healWindow && len(h.ops) > 0 {
		h.waiting++
		n.take(&flight{from: healer, ref: h.number, op: h.ops[0], since: n.now})
		h.ops = h.ops[1:]
	}
	if h.waiting == 0 && len(h.ops) == 0 {
		n.heal = nil
		n.merged, n.mergedInto = h.from, h.into
		n.reportSoon = true
		n.event(h.dropped > 0, "epoch %d is healed: %d keys written meanwhile were taken over, %d lost to later writes", h.from.Number, h.taken, h.dropped)
	}
}

// healed counts what became of one of the writes.
func (n *Node) healed(number uint64, r msg.Result) {
	h := n.heal
	if h == nil || h.number != number {
		return
	}
	h.waiting--
	if r.Status == msg.OK {
		h.taken++
	} else {
		h.dropped++
	}
	n.standSoon = true
}

// unhealed has one of them try again, since nobody has taken it.
func (n *Node) unhealed(number uint64, op *msg.Op) {
	if h := n.heal; h != nil && h.number == number {
		h.waiting--
		h.ops = append(h.ops, op)
		n.standSoon = true
	}
}
