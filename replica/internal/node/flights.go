package node

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/torc-dht/torc/replica/internal/msg"
)

// where a flight is.
type where uint8

const (
	idle    where = iota // waits to be routed
	queued               // at the leader, waits for a batch
	inBatch              // proposed
	handed               // with another node, under a number
	reading              // in a round of reads, or waiting for one
	landed               // done
)

// Senders that are no slot.
const (
	ownClient = -1 // a client of this node
	healer    = -2 // this node itself: the writes of an epoch it has left
)

// flight is an operation under way: taken from a client, or from another node that
// passed it on. It comes to one end, an answer or a failure, whatever becomes of
// the nodes that it is sent to meanwhile.
type flight struct {
	from  int // whose it is: a slot, or one of the above
	ref   uint64
	hops  uint8
	where where
	tried bool // handed on or proposed at least once: it may have been carried out
	op    *msg.Op
	since time.Duration

	to     int // handed: the slot
	number uint64
}

func (f *flight) read() bool { return f.op.Kind == msg.Get }

// flights are all operations under way.
type flights struct {
	idle     []*flight
	queue    []*flight // writes, at the leader
	reads    []*flight // waiting for a round
	asked    map[uint64]*round
	handed   map[uint64]*flight
	handedTo [msg.MaxNodes]int // how many of them, by slot
	order    []*flight         // all, the oldest first
	active   int
	numbers  uint64
	proposal []*msg.Op

	batchNumber uint64
	outOps      [msg.MaxNodes][]msg.Request
	outReplies  [msg.MaxNodes][]msg.Reply
	outBytes    [msg.MaxNodes]int
}

func (fs *flights) init(random uint64) {
	fs.handed = make(map[uint64]*flight)
	fs.asked = make(map[uint64]*round)
	fs.numbers = random // contexts of reads must never come again, in any process
}

// Do takes a client's operation. Its answer will carry ref.
func (n *Node) Do(now time.Duration, ref uint64, op *msg.Op) {
	n.at(now)
	n.take(&flight{from: ownClient, ref: ref, op: op, since: n.now})
}

// carry takes an operation that another node passes on.
func (n *Node) carry(slot int, r msg.Request) {
	if r.Op == nil || r.Op.Kind == 0 {
		return
	}
	n.take(&flight{from: slot, ref: r.Ref, hops: r.Hops, op: r.Op, since: n.now})
}

func (n *Node) take(f *flight) {
	if n.active >= maxFlights && f.from != healer {
		n.sometimes("busy")
		if f.from == ownClient {
			n.out.Replies = append(n.out.Replies, Answer{Ref: f.ref, Err: ErrBusy})
		} else {
			n.reply(f.from, msg.Reply{Ref: f.ref, Again: true})
		}
		return
	}
	n.active++
	n.order = append(n.order, f)
	n.idle = append(n.idle, f)
}

// finish answers f.
func (n *Node) finish(f *flight, r msg.Result) {
	if !n.land(f) {
		return
	}
	switch f.from {
	case ownClient:
		n.out.Replies = append(n.out.Replies, Answer{Ref: f.ref, Result: r})
	case healer:
		n.healed(f.ref, r)
	default:
		n.reply(f.from, msg.Reply{Ref: f.ref, Result: r})
	}
}

// fail ends f without an answer.
func (n *Node) fail(f *flight) {
	if f.where == landed {
		return
	}
	read, op := f.read(), f.op
	n.land(f)
	switch f.from {
	case ownClient:
		err := ErrUnavailable
		if f.tried && !read {
			err = ErrUnknown
		}
		n.out.Replies = append(n.out.Replies, Answer{Ref: f.ref, Err: err})
	case healer:
		n.unhealed(f.ref, op)
	default:
		n.reply(f.from, msg.Reply{Ref: f.ref, Again: true})
	}
}

func (n *Node) land(f *flight) bool {
	if f.where == landed {
		return false
	}
	n.unhand(f)
	f.where = landed
	f.op = nil
	n.active--
	return true
}

// again has f routed anew, since whoever had it won't answer. One that can't be
// told from a second one like it is not sent twice.
func (n *Node) again(f *flight) {
	if f.where == landed || f.where == idle {
		return
	}
	n.unhand(f)
	if f.tried && !f.read() && f.op.ID.Client == 0 {
		n.fail(f)
		return
	}
	f.where = idle
	n.idle = append(n.idle, f)
}

// recallQueued takes back what waits for this node to do it.
func (n *Node) recallQueued() {
	for _, f := range n.queue {
		n.again(f)
	}
	for _, f := range n.reads {
		n.again(f)
	}
	n.queue, n.reads = nil, nil
	n.recallAsked()
}

// recallAsked takes back the reads for which a leader was asked that won't answer.
func (n *Node) recallAsked() {
	for _, k := range sortedKeys(n.asked) {
		for _, f := range n.asked[k].flights {
			n.again(f)
		}
	}
	clear(n.asked)
}

// unhand ends that f lies with another node, if it does.
func (n *Node) unhand(f *flight) {
	if f.where == handed {
		delete(n.handed, f.number)
		n.handedTo[f.to]--
	}
}

// recallHanded takes back what was handed to slots of which gone holds.
func (n *Node) recallHanded(gone func(slot int) bool) {
	var from [msg.MaxNodes]bool
	for slot, k := range n.handedTo {
		from[slot] = k > 0 && gone(slot)
	}
	if from == [msg.MaxNodes]bool{} {
		return // as nearly always: the walk takes its time when there are many
	}
	for _, k := range sortedKeys(n.handed) {
		if f := n.handed[k]; from[f.to] {
			n.sometimes("sent again")
			n.again(f)
		}
	}
}

// route finds each idle flight a way: to this node's own queues, to the leader, or
// to somebody who knows one.
func (n *Node) route() {
	if len(n.idle) == 0 {
		return
	}
	g := n.g
	kept := n.idle[:0]
	via, viaOK := -1, false
	for _, f := range n.idle {
		if f.where != idle {
			continue
		}
		switch {
		case g != nil && g.leads():
			if f.op.Kind == msg.Forget {
				n.forgetAsked(g, f)
			} else if f.read() {
				f.where = reading
				n.reads = append(n.reads, f)
			} else {
				f.where = queued
				n.queue = append(n.queue, f)
			}
		case f.read() && g != nil && g.lead != 0 && g.member():
			f.where = reading
			n.reads = append(n.reads, f)
		default:
			if !viaOK {
				via, viaOK = n.via(), true
			}
			if via < 0 || via == f.from || f.hops >= maxHops {
				kept = append(kept, f)
				continue
			}
			n.hand(f, via)
		}
	}
	clear(n.idle[len(kept):])
	n.idle = kept
}

// via is the slot to pass operations to: the leader's, or that of another member
// that knows it; -1 if there is none.
func (n *Node) via() int {
	var epoch msg.Epoch
	var lead msg.ID
	if g := n.g; g != nil && g.lead != 0 {
		epoch, lead = g.epoch, g.lead
	} else if best := n.bestLive(); best != nil {
		epoch, lead = best.View.Lineage.Epoch, best.Leader
	} else {
		return -1
	}
	if s := lead.Slot(); n.reaches(s) {
		return s
	}
	for s := range n.c.Slots {
		if r := n.fresh(s); r != nil && r.Leader != 0 && r.View.Lineage.Epoch == epoch && n.reaches(s) {
			return s
		}
	}
	return -1
}

// reaches tells whether words go to slot and come back, as far as can be known.
func (n *Node) reaches(slot int) bool {
	r := n.fresh(slot)
	return r != nil && r.Hears&(1<<n.c.Slot) != 0 && n.peers[slot].up
}

func (n *Node) hand(f *flight, slot int) {
	n.numbers++
	f.number, f.to, f.where, f.tried = n.numbers, slot, handed, true
	n.handed[f.number] = f
	n.handedTo[slot]++
	n.outOps[slot] = append(n.outOps[slot], msg.Request{Ref: f.number, Hops: f.hops + 1, Op: f.op})
	n.outgrown(slot, len(f.op.Key)+len(f.op.Value))
}

// outgrown sends what has gathered for slot once it is large.
func (n *Node) outgrown(slot, more int) {
	if n.outBytes[slot] += more; n.outBytes[slot] >= messageBytes || len(n.outOps[slot]) >= msg.MaxOps || len(n.outReplies[slot]) >= msg.MaxOps {
		n.flushFlights()
	}
}

// reply answers another node.
func (n *Node) reply(slot int, r msg.Reply) {
	n.outReplies[slot] = append(n.outReplies[slot], r)
	n.outgrown(slot, len(r.Result.Old))
}

// replied takes the answer of a node that an operation was handed to.
func (n *Node) replied(slot int, r *msg.Reply) {
	f := n.handed[r.Ref]
	if f == nil || f.to != slot {
		return
	}
	if r.Again {
		// Not at once: who could not do it now can't do it in an instant.
		n.unhand(f)
		f.where = idle
		n.later = append(n.later, f)
		return
	}
	n.finish(f, r.Result)
}

// flushFlights sends what was handed on and answered.
func (n *Node) flushFlights() {
	for s := range n.outOps {
		n.outBytes[s] = 0
		if ops := n.outOps[s]; len(ops) > 0 {
			n.outOps[s] = nil
			n.send(s, &msg.Message{Kind: msg.KindOps, Ops: ops})
		}
		if rs := n.outReplies[s]; len(rs) > 0 {
			n.outReplies[s] = nil
			n.send(s, &msg.Message{Kind: msg.KindReplies, Replies: rs})
		}
	}
}

// overdue ends what has waited for too long, and takes back what lies with nodes
// that can't be reached any more.
func (n *Node) overdue() {
	n.idle = append(n.idle, n.later...)
	n.later = n.later[:0]
	i, failed := 0, false
	for ; i < len(n.order); i++ {
		f := n.order[i]
		if f.where != landed {
			if n.now-f.since < n.ticks(giveUpTicks) {
				break
			}
			n.fail(f)
			failed = true
		}
	}
	if failed {
		n.queue = slices.DeleteFunc(n.queue, func(f *flight) bool { return f.where == landed })
	}
	if i > 0 {
		k := copy(n.order, n.order[i:])
		clear(n.order[k:])
		n.order = n.order[:k]
	}
	n.recallHanded(func(slot int) bool { return !n.reaches(slot) })
	for _, k := range sortedKeys(n.asked) {
		if r := n.asked[k]; n.now-r.at > n.ticks(2*reportTicks) && r.index == 0 {
			n.sometimes("read asked again")
			delete(n.asked, k)
			for _, f := range r.flights {
				n.again(f)
			}
		}
	}
}

// sortedKeys makes walks over maps come out alike each time.
func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	if len(m) == 0 {
		return nil
	}
	return slices.Sorted(maps.Keys(m))
}
