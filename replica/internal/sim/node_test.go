package sim

import (
	"slices"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/torc-dht/torc/internal/simnet"
	"github.com/torc-dht/torc/replica/internal/msg"
	"github.com/torc-dht/torc/replica/internal/node"
)

// request is a client's, and reply what it is answered.
type request struct {
	id uint64
	op *msg.Op
}

type reply struct {
	id     uint64
	result msg.Result
	err    error
}

// server is a node's process: the state machine, and what the loop around it does
// in a real one.
type server struct {
	w     *world
	port  *simnet.Port[any]
	addr  simnet.Addr
	slot  int
	core  *node.Node
	peers [msg.MaxNodes]simnet.Conn // that were dialed; the zero Conn is none
	in    [msg.MaxNodes]simnet.Conn // that were accepted, the newest

	context []byte // of the last heartbeat that asks for reads to be confirmed
	lastRef uint64
	asked   map[uint64]asked // by ref
	// Of requests without a number, which get one here.
	client, number uint64
	open           []uint64 // numbers that are not answered, in order
}

// asked is a client's request that waits for its answer.
type asked struct {
	conn   simnet.Conn
	id     uint64
	number uint64 // 0: it came with one
}

func newServer(w *world, slot int, p *simnet.Port[any]) *server {
	n := &server{w: w, port: p, addr: p.Addr(), slot: slot, asked: make(map[uint64]asked)}
	n.client = p.Rand().Uint64() | 1
	n.core = w.newCore(n)
	for _, a := range w.servers {
		if a != n.addr {
			p.Dial(a)
		}
	}
	return n
}

func (n *server) Connected(now time.Duration, c simnet.Conn) {
	slot := n.w.slotOf(c.Peer)
	switch {
	case slot < 0:
	case c.Dialed:
		n.peers[slot] = c
		n.core.Connected(now, slot)
	default:
		n.in[slot] = c
	}
}

func (n *server) Disconnected(now time.Duration, c simnet.Conn) {
	slot := n.w.slotOf(c.Peer)
	switch {
	case slot < 0:
	case c.ID == 0 || c == n.peers[slot]:
		n.peers[slot] = simnet.Conn{}
		// As in package mesh: whoever holds a connection to here lives, so the refusal
		// is of the time before it did.
		n.core.Disconnected(now, slot, c.Refused && n.in[slot] == simnet.Conn{})
	case c == n.in[slot]:
		n.in[slot] = simnet.Conn{}
	}
}

func (n *server) Receive(now time.Duration, c simnet.Conn, m any) {
	switch m := m.(type) {
	case *msg.Message:
		slot := n.w.slotOf(c.Peer)
		for _, f := range n.w.onReceived {
			f(n, slot, m)
		}
		if n.w.cfg.lateConfirm {
			m = n.confirmLate(m)
		}
		n.core.Receive(now, slot, m)
	case *request:
		n.do(now, c, m)
	}
}

// confirmLate has answers to heartbeats carry the context that was sent last, as
// they do where a context is used twice.
func (n *server) confirmLate(m *msg.Message) *msg.Message {
	late := *m
	late.Raft = nil
	for _, r := range m.Raft {
		if r.GetType() == raftpb.MsgHeartbeatResp && len(r.GetContext()) > 0 {
			r = proto.Clone(r).(*raftpb.Message)
			r.Context = n.context
		}
		late.Raft = append(late.Raft, r)
	}
	return &late
}

// do hands a request to the core. One that has no number gets it here, so that a
// node can send it to another one again.
func (n *server) do(now time.Duration, c simnet.Conn, r *request) {
	a := asked{conn: c, id: r.id}
	op := r.op
	if n.w.cfg.forgetful && op.Kind != msg.Get { // each attempt is one of its own
		own := *op
		own.ID = msg.OpID{}
		op = &own
	}
	if op.ID.Client == 0 && op.Kind != msg.Get {
		n.number++
		a.number = n.number
		n.open = append(n.open, n.number)
		own := *op
		own.ID = msg.OpID{Client: n.client, Seq: n.number, Acked: n.open[0] - 1}
		op = &own
	}
	n.lastRef++
	n.asked[n.lastRef] = a
	n.core.Do(now, n.lastRef, op)
}

func (n *server) Tick(now time.Duration) { n.core.Tick(now) }

func (n *server) Drain(p *simnet.Port[any]) {
	var out node.Output
	n.core.Drain(&out)
	for _, o := range out.Send {
		m := n.w.overTheWire(o.M)
		for _, r := range m.Raft {
			if r.GetType() == raftpb.MsgHeartbeat && len(r.GetContext()) > 0 {
				n.context = r.GetContext()
			}
		}
		for _, f := range n.w.onSent {
			f(n, o.Slot, m)
		}
		if c := n.peers[o.Slot]; c.ID != 0 {
			p.Send(c, m)
		}
	}
	for _, r := range out.Replies {
		a, ok := n.asked[r.Ref]
		if !ok {
			n.w.fail("%s answers request %d, which was answered or never asked", n.addr, r.Ref)
			continue
		}
		delete(n.asked, r.Ref)
		if a.number != 0 {
			i := slices.Index(n.open, a.number)
			n.open = slices.Delete(n.open, i, i+1)
		}
		p.Send(a.conn, &reply{id: a.id, result: r.Result, err: r.Err})
	}
	for _, e := range out.Events {
		p.Note("%s", e.Text)
	}
	p.Alarm(n.core.Next())
	n.w.after(n)
}
