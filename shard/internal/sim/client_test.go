package sim

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/torc-dht/torc/internal/check"
	"github.com/torc-dht/torc/internal/simnet"
	"github.com/torc-dht/torc/shard/internal/msg"
	"github.com/torc-dht/torc/shard/internal/server"
	"github.com/torc-dht/torc/shard/slots"
	"github.com/torc-dht/torc/store"
)

const (
	// giveUpAfter is how long a client tries one call.
	giveUpAfter = 6 * time.Second
	// retryAfter is how long it waits for an answer before it asks elsewhere too.
	retryAfter = 700 * time.Millisecond
)

// clientNode makes one call at a time.
type clientNode struct {
	w     *world
	port  *simnet.Port[any]
	id    int
	rng   *rand.Rand
	known map[simnet.Addr]bool // dialed

	next    time.Duration // when the next call begins
	call    *calling      // nil between two
	number  uint64        // of the last tagged write
	lastID  uint64
	values  int
	read    map[string]reply // what was read last
	routes  map[slots.Slot]simnet.Addr
	scripts []check.Operation // calls to be made before any others
}

// calling is a call that is not over.
type calling struct {
	op       check.Operation
	req      request
	deadline time.Duration
	retry    time.Duration // when to ask somebody, or somebody else
	asked    map[uint64]simnet.Addr
	doubt    bool // some attempt may have been carried out
}

func (c *calling) tagged() bool { return c.req.op.Client != 0 }
func (c *calling) reads() bool  { return c.op.Op == check.Get }

func newClientNode(w *world, id int, p *simnet.Port[any]) *clientNode {
	return &clientNode{
		w: w, port: p, id: id, rng: p.Rand(), next: p.Now() + 2*time.Second,
		known: make(map[simnet.Addr]bool), read: make(map[string]reply), routes: make(map[slots.Slot]simnet.Addr),
	}
}

func (n *clientNode) Connected(time.Duration, simnet.Conn) {}

func (n *clientNode) Disconnected(now time.Duration, c simnet.Conn) {
	q := n.call
	if q == nil || c.ID == 0 {
		return
	}
	for _, id := range n.w.sortedIDs(q.asked) {
		if q.asked[id] != c.Peer {
			continue
		}
		delete(q.asked, id)
		q.doubt = true
		if !q.reads() && !q.tagged() {
			n.finish(check.Unknown)
			return
		}
		q.retry = now + n.pause()
	}
}

func (n *clientNode) pause() time.Duration {
	return time.Duration(5+n.rng.IntN(45)) * time.Millisecond
}

func (n *clientNode) Tick(time.Duration) {}

func (n *clientNode) Drain(p *simnet.Port[any]) {
	for _, a := range n.w.serverAddrs() {
		if !n.known[a] {
			n.known[a] = true
			p.Dial(a)
		}
	}
	now := p.Now()
	if n.call == nil && now >= n.next {
		n.begin(now)
	}
	if q := n.call; q != nil {
		switch {
		case now >= q.deadline:
			n.giveUp()
		case now >= q.retry && (q.reads() || q.tagged() || len(q.asked) == 0):
			n.ask(now)
		}
	}
	switch q := n.call; {
	case q == nil:
		p.Alarm(max(n.next, now+time.Microsecond))
	case q.retry > now:
		p.Alarm(min(q.retry, q.deadline))
	default:
		p.Alarm(q.deadline)
	}
}

// begin begins a call, by chance or by script.
func (n *clientNode) begin(now time.Duration) {
	var op check.Operation
	switch {
	case len(n.scripts) > 0:
		op = n.scripts[0]
		n.scripts = n.scripts[1:]
	case n.w.resting:
		n.next = now + 20*time.Millisecond
		return
	default:
		op = n.pick()
	}
	n.values++
	op.Client = n.id
	if op.Op != check.Get && op.Op != check.Delete && op.Value == "" {
		op.Value = check.Text(fmt.Sprintf("%d.%d", n.id, n.values))
	}
	op.Call = n.w.net.Now()
	q := &calling{op: op, deadline: now + giveUpAfter, retry: now, asked: make(map[uint64]simnet.Addr)}
	q.req = request{key: string(op.Key), value: string(op.Value), do: action(&op, n.read[string(op.Key)].version), created: n.id}
	if !q.reads() && n.rng.IntN(5) > 0 {
		n.number++
		q.req.op = msg.Op{Client: uint64(n.id + 1), Number: n.number, Oldest: n.number}
	}
	n.call = q
}

// bulk are writes that make some slots larger than one part of a fill.
func (w *world) bulk() (all []check.Operation) {
	for i, s := range w.sampled[:3] {
		for k := range 4 {
			key := fmt.Sprint(int(s) + (k+2)*slots.Count)
			value := fmt.Sprint(i, ".", k, strings.Repeat(".", 12<<10))
			all = append(all, check.Operation{Op: check.Put, Key: check.Text(key), Value: check.Text(value)})
		}
	}
	return all
}

// pick chooses a call.
func (n *clientNode) pick() check.Operation {
	key := n.w.keys[n.rng.IntN(len(n.w.keys))]
	op := check.Operation{Key: check.Text(key), Op: check.Get}
	switch x := n.rng.IntN(10); {
	case x < 4:
	case x < 7:
		op.Op = check.Put
	case x == 7:
		op.Op = check.Delete
	case x == 8:
		op.Op = check.PutIfAbsent
	default:
		if was := n.read[key]; was.version != 0 {
			op.Op, op.Expect = check.Swap, check.Text(was.value)
		}
	}
	return op
}

// action is what a call does with an item; nil is a read.
func action(op *check.Operation, expect uint64) func(found bool, version uint64) store.Action {
	switch op.Op {
	case check.Put:
		return func(bool, uint64) store.Action { return store.Write }
	case check.PutIfAbsent:
		return func(found bool, _ uint64) store.Action {
			if found {
				return store.Keep
			}
			return store.Write
		}
	case check.Swap:
		return func(found bool, version uint64) store.Action {
			if found && version == expect {
				return store.Write
			}
			return store.Keep
		}
	case check.Delete:
		return func(found bool, _ uint64) store.Action {
			if found {
				return store.Remove
			}
			return store.Keep
		}
	}
	return nil
}

// ask sends the call to where the slot is, or to somebody.
func (n *clientNode) ask(now time.Duration) {
	q := n.call
	all := n.w.serverAddrs()
	to, ok := n.routes[slots.Of(q.req.key)]
	if !ok || len(q.asked) > 0 && n.rng.IntN(2) == 0 {
		to = all[n.rng.IntN(len(all))]
	}
	n.lastID++
	r := q.req
	r.id = n.lastID
	if !n.port.SendTo(to, &r) {
		delete(n.routes, slots.Of(q.req.key))
		q.retry = now + n.pause()
		return
	}
	q.asked[r.id] = to
	if q.retry = now + retryAfter; n.rng.IntN(8) == 0 {
		q.retry = now + n.pause()/16 // an impatient one
	}
}

func (n *clientNode) Receive(now time.Duration, c simnet.Conn, m any) {
	r, ok := m.(*reply)
	q := n.call
	if !ok || q == nil {
		return
	}
	if _, mine := q.asked[r.id]; !mine {
		return
	}
	delete(q.asked, r.id)
	slot := slots.Of(q.req.key)
	if !r.failed {
		n.routes[slot] = c.Peer
		n.answered(r)
		return
	}
	if r.failure.Kind != server.Answered {
		n.w.covered("answer " + [...]string{"moved", "lost", "unavailable", "unknown"}[r.failure.Kind])
	}
	delete(n.routes, slot)
	q.retry = now + n.pause()
	switch r.failure.Kind {
	case server.Moved:
		q.doubt = q.doubt || q.tagged()
		if n.rng.IntN(4) > 0 {
			q.retry = now + time.Millisecond
		}
		n.routes[slot] = nodeOf(r.failure.Addr)
	case server.Lost:
		q.doubt = q.doubt || q.tagged()
	case server.Unavailable:
	case server.Unknown:
		if q.doubt = true; !q.reads() && !q.tagged() {
			n.finish(check.Unknown)
		}
	case server.Answered:
		n.w.fail("client %d: its write %d is called answered before it was: %v", n.id, q.req.op.Number, q.op)
	}
}

// answered ends a call that was carried out.
func (n *clientNode) answered(r *reply) {
	q := n.call
	key := string(q.op.Key)
	switch {
	case r.full:
		n.finish(check.Failed)
	case r.again:
		n.w.covered("repeat answered")
		n.finish(check.OK)
	case q.reads():
		n.read[key] = *r
		if q.op.Value = check.Text(r.value); r.found {
			n.finish(check.OK)
		} else {
			n.finish(check.Missing)
		}
	case r.acted != store.Keep:
		n.finish(check.OK)
	case q.op.Op == check.PutIfAbsent:
		n.finish(check.Exists)
	case q.op.Op == check.Swap && r.found:
		n.finish(check.Conflict)
	default:
		n.finish(check.Missing)
	}
}

func (n *clientNode) giveUp() {
	q := n.call
	switch {
	case q.reads():
		n.finish(check.Failed)
	case q.doubt || len(q.asked) > 0:
		n.finish(check.Unknown)
	default:
		n.finish(check.Failed)
	}
}

func (n *clientNode) finish(o check.Outcome) {
	q := n.call
	n.call = nil
	q.op.Outcome, q.op.Return = o, n.w.net.Now()
	n.w.history = append(n.w.history, q.op)
	n.port.Note("client %d: %v", n.id, q.op)
	n.next = n.port.Now() + time.Duration(n.rng.IntN(int(2*n.w.cfg.pace)))
}
