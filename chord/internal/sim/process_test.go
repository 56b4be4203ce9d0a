package sim

import (
	"math/rand/v2"
	"time"

	"github.com/torc-dht/torc/chord/internal/msg"
	"github.com/torc-dht/torc/chord/internal/node"
	"github.com/torc-dht/torc/chord/internal/place"
	"github.com/torc-dht/torc/chord/internal/ring"
	"github.com/torc-dht/torc/internal/simnet"
	"github.com/torc-dht/torc/store"
)

// tick is how often a process looks at its clock.
const tick = 10 * ms

// bugs are mistakes made on purpose.
type bugs struct {
	node node.Bugs
	ring ring.Bugs
}

// process is a node, and what the loop around it does in a real one.
type process struct {
	w       *world
	port    *simnet.Port[any]
	addr    simnet.Addr
	self    ring.Ref
	core    *node.Node
	mesh    *mesh
	contact ring.Ref // whom it joined by
	began   time.Duration
	ticked  time.Duration
	going   bool // it has been told to leave, or to fail
	resolve map[uint64]resolving
}

// resolving is a client's question that a lookup is to answer.
type resolving struct {
	conn simnet.Conn
	id   uint64
}

// newProcess begins a life: the first of all nodes makes a ring, the others join by one
// that is there.
func newProcess(w *world, p *simnet.Port[any]) *process {
	n := &process{w: w, port: p, addr: p.Addr()}
	n.self = ring.Ref{Place: n.w.at[n.addr], Boot: n.port.Rand().Uint64() | 1, Addr: string(n.addr)}
	n.mesh = newMesh(n.port, n.self)
	n.resolve = make(map[uint64]resolving)
	n.began = n.port.Now()
	c := node.Config{
		Circle: n.w.circle, Replicas: n.w.cfg.replicas, Self: n.self, Limit: n.w.cfg.limit, List: n.w.cfg.list,
		Rand: rand.New(rand.NewPCG(n.port.Rand().Uint64(), 0)),
		Bugs: n.w.cfg.bugs.node, Ring: n.w.cfg.bugs.ring, Sometimes: n.w.covered,
	}
	contact := n.w.contactFor(n)
	if contact == nil {
		n.core = node.New(c, n.time())
	} else {
		n.contact = contact.self
		n.core = node.Join(c, n.time(), contact.self)
	}
	n.port.Note("place %v boot %x joins by %v", n.self.Place, n.self.Boot, n.contact)
	return n
}

// time is what the clocks of the process show.
func (n *process) time() node.Time {
	now := n.port.Now()
	return node.Time{Mono: int64(now + time.Hour), Wall: n.w.wall(n.addr, now)}
}

func (n *process) Receive(_ time.Duration, c simnet.Conn, m any) {
	switch m := m.(type) {
	case opening:
		n.mesh.opened(c, m.from)
	case welcome:
		n.mesh.welcomed(c, m.from)
	case *request:
		n.call(c, m)
	case msg.Message:
		if from, ok := n.mesh.callers[c]; ok {
			n.w.received(n, m)
			n.core.Receive(n.time(), from, m)
		}
	}
}

func (n *process) Connected(_ time.Duration, c simnet.Conn) {
	if c.Dialed {
		n.mesh.connected(c)
	}
}

func (n *process) Disconnected(_ time.Duration, c simnet.Conn) { n.mesh.disconnected(c) }

func (n *process) Tick(time.Duration) {}

func (n *process) Drain(p *simnet.Port[any]) {
	if n.w.goneFor[n.addr] {
		n.put()
		return
	}
	now := p.Now()
	if now-n.ticked >= tick {
		n.ticked = now
		n.core.Tick(n.time())
		n.mesh.tidy()
		n.patience()
	}
	more := n.core.Pump(n.time())
	n.put()
	for len(n.mesh.events) > 0 {
		events := n.mesh.events
		n.mesh.events = nil
		for _, e := range events {
			if e.up {
				n.core.Up(n.time(), e.peer)
			} else {
				n.core.Down(n.time(), e.peer, e.refused)
			}
		}
		n.put()
	}
	if n.core.Left() && n.going {
		n.exit()
		return
	}
	if more {
		p.Alarm(now + 100*time.Microsecond)
	} else {
		p.Alarm(n.ticked + tick)
	}
	n.w.looked(n)
}

// put sends what there is to send, and answers what is done.
func (n *process) put() {
	n.core.Flush(n.time())
	for _, o := range n.core.Out() {
		if n.w.goneFor[n.addr] {
			break
		}
		n.w.sent(n, o.Message)
		n.mesh.send(o.To, o.Message)
	}
	for _, f := range n.core.Found() {
		if q, ok := n.resolve[f.Number]; ok {
			delete(n.resolve, f.Number)
			r := &reply{id: q.id, answer: moved}
			if f.Err == nil {
				r.to = simnet.Addr(f.Owner.Addr)
			}
			n.port.Send(q.conn, r)
		}
	}
	for _, c := range n.core.Done() {
		q := c.Exec.(*served)
		n.port.Send(q.conn, &q.reply)
	}
}

// patience ends a process that can't be part of the ring, and one whose contact gave
// no answer: a person starts it again.
func (n *process) patience() {
	switch {
	case n.core.Refused() != nil:
		n.w.refusedProcess(n)
	case !n.core.Joined() && !n.contact.None() && n.port.Now()-n.began > 5*time.Second && !n.w.lives(n.contact):
		n.w.covered("joins by another")
		n.w.restart(n)
	}
}

// exit ends a process that may go, when what it has sent is with who is to get it.
func (n *process) exit() {
	n.mesh.close()
	n.w.goneFor[n.addr] = true
	n.w.after(5*ms, func() { n.w.net.Kill(n.addr) })
}

// served is a client's call at a node.
type served struct {
	call  node.Call
	req   *request
	reply reply
	conn  simnet.Conn
	wall  int64
}

func (n *process) call(c simnet.Conn, r *request) {
	if r.resolve {
		target := n.w.circle.OfKey(r.key)
		n.resolve[n.core.Lookup(n.time(), target)] = resolving{c, r.id}
		return
	}
	q := &served{req: r, conn: c, reply: reply{id: r.id}, wall: n.time().Wall}
	q.call = node.Call{Keys: [][]byte{[]byte(r.key)}, Op: r.op, Exec: q}
	n.core.Do(n.time(), &q.call)
}

// Execute carries a request out.
func (q *served) Execute(n *node.Node) (refusal uint8) {
	key := []byte(q.req.key)
	if q.req.do == nil {
		it, found := n.Get(key)
		q.reply.found, q.reply.value, q.reply.version = found, string(it.Value), it.CAS
		return refusedAbsent
	}
	version, err := n.Update(key, func(it *store.Item, found bool) store.Action {
		q.reply.found = found
		q.reply.acted = q.req.do(found, it.CAS)
		if q.reply.acted&store.Write != 0 {
			it.Value = []byte(q.req.value)
			if q.req.ttl > 0 {
				it.Expires = q.wall + int64(q.req.ttl)
			}
		}
		return q.reply.acted
	})
	q.reply.version, q.reply.full = version, err != nil
	switch {
	case err != nil:
		return refusedFull
	case q.reply.found:
		return refusedPresent
	}
	return refusedAbsent
}

// Repeat notes what it came to before.
func (q *served) Repeat(version uint64, refusal uint8) {
	if refusal == 0 {
		q.reply.again, q.reply.version = true, version
		return
	}
	q.reply.acted, q.reply.found, q.reply.full = store.Keep, refusal == refusedPresent, refusal == refusedFull
}

// Fail notes a failure.
func (q *served) Fail(f node.Failure) {
	q.reply.answer = [...]answer{node.Moved: moved, node.Unavailable: unavailable, node.Unknown: unknown, node.Answered: forgotten}[f.Kind]
	if f.Kind == node.Moved {
		q.reply.to = simnet.Addr(f.Owner.Node.Addr)
	}
}

var _ = place.Place{}
