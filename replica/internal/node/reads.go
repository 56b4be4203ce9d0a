package node

import (
	"encoding/binary"
	"slices"
	"time"

	"github.com/torc-dht/torc/replica/internal/msg"
)

// round is reads that are confirmed together: at a leader by raft, elsewhere by the
// leader's word.
type round struct {
	at      time.Duration
	index   uint64 // to be applied before they are answered; 0: not known yet
	flights []*flight
	askers  []asker // at a leader: other nodes' rounds
}

// asker is another node that asks where to read.
type asker struct {
	slot int
	ref  uint64
}

// startRounds has the leader ask raft whether it still is one, for all reads that
// wait. What has been answered by anybody before that is applied here already.
func (n *Node) startRounds(g *group) {
	l := g.lead_
	if len(n.reads) == 0 && len(l.asked) == 0 || len(l.rounds) >= readRounds {
		return
	}
	n.numbers++
	l.rounds[n.numbers] = &round{at: n.now, index: g.applied, flights: n.reads, askers: l.asked}
	n.reads, l.asked = nil, nil
	ctx := binary.BigEndian.AppendUint64(nil, n.numbers)
	if n.c.Bugs.ReadUnchecked {
		n.readConfirmed(g, ctx)
		return
	}
	g.raw.ReadIndex(ctx)
}

// readConfirmed: raft says that the leader was one when it asked.
func (n *Node) readConfirmed(g *group, ctx []byte) {
	l := g.lead_
	if l == nil || len(ctx) != 8 {
		return
	}
	number := binary.BigEndian.Uint64(ctx)
	r := l.rounds[number]
	if r == nil {
		return
	}
	delete(l.rounds, number)
	for _, a := range r.askers {
		n.send(a.slot, &msg.Message{Kind: msg.KindReadAt, Epoch: g.epoch, Ref: a.ref, Index: r.index})
	}
	n.answerRound(g, r)
}

// recallRounds has the reads that raft was asked about start anew.
func (n *Node) recallRounds(l *leadership) {
	for _, k := range sortedKeys(l.rounds) {
		r := l.rounds[k]
		l.asked = append(l.asked, r.askers...)
		for _, f := range r.flights {
			n.again(f)
		}
	}
	clear(l.rounds)
}

// readAsked takes another node's question. Of those that it has asked and that wait
// here only the newest count: the others it has given up.
func (n *Node) readAsked(slot int, m *msg.Message) {
	g := n.g
	if g == nil || !g.leads() || g.epoch != m.Epoch {
		return
	}
	l := g.lead_
	l.asked = append(l.asked, asker{slot, m.Ref})
	oldest, k := -1, 0
	for i, a := range l.asked {
		if a.slot == slot {
			if k++; oldest < 0 {
				oldest = i
			}
		}
	}
	if k > readRounds {
		l.asked = slices.Delete(l.asked, oldest, oldest+1)
	}
}

// readAt takes the leader's answer.
func (n *Node) readAt(_ int, m *msg.Message) {
	if r := n.asked[m.Ref]; r != nil && n.g != nil && n.g.epoch == m.Epoch {
		r.index = m.Index
	}
}

// answerReads asks for what waits, and answers what can be.
func (n *Node) answerReads(g *group) {
	if len(n.asked) > 0 {
		for _, k := range sortedKeys(n.asked) {
			if r := n.asked[k]; r.index != 0 && r.index <= g.applied {
				delete(n.asked, k)
				n.answerRound(g, r)
			}
		}
	}
	if g.leads() || len(n.reads) == 0 || g.lead == 0 || len(n.asked) >= readRounds {
		return
	}
	n.numbers++
	n.asked[n.numbers] = &round{at: n.now, flights: n.reads}
	n.reads = nil
	n.send(g.lead.Slot(), &msg.Message{Kind: msg.KindRead, Epoch: g.epoch, To: g.lead, Ref: n.numbers})
}

func (n *Node) answerRound(g *group, r *round) {
	label := g.label()
	for _, f := range r.flights {
		if f.where != reading {
			continue
		}
		res := g.st.Get(f.op.Key)
		res.Degraded = label
		n.finish(f, res)
	}
}
