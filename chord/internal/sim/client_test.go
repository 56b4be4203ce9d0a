package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/torc-dht/torc/chord/internal/msg"
	"github.com/torc-dht/torc/internal/check"
	"github.com/torc-dht/torc/internal/simnet"
	"github.com/torc-dht/torc/store"
)

const (
	// giveUpAfter is how long a client tries one call.
	giveUpAfter = 8 * time.Second
	// retryAfter is how long it waits for an answer before it asks elsewhere too.
	retryAfter = 700 * ms
)

// client makes one call at a time. It asks any node, goes where it is sent, and
// remembers for each key who answered last.
type client struct {
	w     *world
	port  *simnet.Port[any]
	id    int
	rng   *rand.Rand
	known map[simnet.Addr]bool // dialed
	only  []simnet.Addr        // whom it asks; nil: all

	next    time.Duration // when the next call begins
	call    *calling      // nil between two
	number  uint64        // of the last tagged write
	lastID  uint64
	values  int
	read    map[string]reply // what was read last
	routes  map[string]simnet.Addr
	scripts []check.Operation // calls to be made before any others
	done    func(*calling)    // unless nil, is told of each call's end
	ttl     time.Duration     // of what it writes; 0: it stays
}

// calling is a call that is not over.
type calling struct {
	op       check.Operation
	req      request
	deadline time.Duration
	retry    time.Duration // when to ask somebody, or somebody else
	asked    map[uint64]simnet.Addr
	doubt    bool        // some attempt may have been carried out
	lost     bool        // somebody didn't know who is to be asked
	guide    simnet.Addr // who is asked that
	answer   reply
}

func (c *calling) tagged() bool { return c.req.op.Client != 0 }
func (c *calling) reads() bool  { return c.op.Op == check.Get }

func newClient(w *world, id int, p *simnet.Port[any]) *client {
	return &client{
		w: w, port: p, id: id, rng: p.Rand(), next: p.Now(),
		known: make(map[simnet.Addr]bool), read: make(map[string]reply), routes: make(map[string]simnet.Addr),
	}
}

func (n *client) Connected(time.Duration, simnet.Conn) {}

func (n *client) Disconnected(now time.Duration, c simnet.Conn) {
	q := n.call
	if q == nil || c.ID == 0 {
		return
	}
	if q.guide == c.Peer {
		q.guide, q.retry = "", now+n.pause()
	}
	for _, id := range sortedIDs(q.asked) {
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

func sortedIDs(m map[uint64]simnet.Addr) (all []uint64) {
	for id := range m {
		all = append(all, id)
	}
	slices.Sort(all)
	return all
}

func (n *client) pause() time.Duration { return time.Duration(5+n.rng.IntN(45)) * ms }

func (n *client) Tick(time.Duration) {}

func (n *client) Drain(p *simnet.Port[any]) {
	for _, a := range n.w.nodes {
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
func (n *client) begin(now time.Duration) {
	var op check.Operation
	switch {
	case len(n.scripts) > 0:
		op = n.scripts[0]
		n.scripts = n.scripts[1:]
	case n.w.resting:
		n.next = now + 20*ms
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
	q.req = request{key: string(op.Key), value: string(op.Value), do: action(&op, n.read[string(op.Key)].version), ttl: n.ttl}
	if !q.reads() && (n.w.cfg.tagged || n.rng.IntN(5) > 0) {
		n.number++
		q.req.op = msg.OpID{Client: uint64(n.id + 1), Number: n.number, Oldest: n.number}
	}
	n.call = q
}

// pick chooses a call.
func (n *client) pick() check.Operation {
	key := n.w.keys[n.rng.IntN(len(n.w.keys))]
	op := check.Operation{Key: check.Text(key), Op: check.Get}
	if n.rng.IntN(100) < n.w.cfg.reads {
		return op
	}
	switch n.rng.IntN(6) {
	case 0, 1, 2:
		op.Op = check.Put
	case 3:
		op.Op = check.Delete
	case 4:
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

// ask sends the call to where the key is, or to somebody.
func (n *client) ask(now time.Duration) {
	q := n.call
	all := n.w.nodes
	if n.only != nil {
		all = n.only
	}
	n.lastID++
	r := q.req
	r.id = n.lastID
	to, ok := n.routes[q.req.key]
	if !ok || n.only != nil && !slices.Contains(n.only, to) || len(q.asked) > 0 && n.rng.IntN(2) == 0 {
		to = all[n.rng.IntN(len(all))]
		r.resolve = q.lost || n.rng.IntN(2) == 0
	}
	if !n.port.SendTo(to, &r) {
		delete(n.routes, q.req.key)
		q.retry = now + n.pause()
		return
	}
	if q.guide = to; !r.resolve {
		q.guide, q.asked[r.id] = "", to
	}
	if q.retry = now + retryAfter; n.w.cfg.impatient && n.rng.IntN(8) == 0 {
		q.retry = now + n.pause()/16
	}
}

func (n *client) Receive(now time.Duration, c simnet.Conn, m any) {
	r, ok := m.(*reply)
	q := n.call
	if !ok || q == nil {
		return
	}
	if _, mine := q.asked[r.id]; !mine {
		if r.id == n.lastID && r.answer == moved && r.to != "" { // it was to resolve
			n.routes[q.req.key] = r.to
			q.retry = now
		}
		return
	}
	delete(q.asked, r.id)
	key := q.req.key
	if r.answer == done {
		n.routes[key] = c.Peer
		n.answered(r)
		return
	}
	n.w.covered("answer " + r.answer.String())
	delete(n.routes, key)
	q.retry = now + n.pause()
	switch r.answer {
	case moved:
		if q.retry = now; r.to != "" {
			n.routes[key] = r.to
		} else {
			q.lost = true
		}
	case unavailable:
	case unknown:
		if q.doubt = true; !q.reads() && !q.tagged() {
			n.finish(check.Unknown)
		}
	case forgotten:
		n.w.fail("client %d: its write %d is called answered before it was: %v", n.id, q.req.op.Number, q.op)
	}
}

// answered ends a call that was carried out.
func (n *client) answered(r *reply) {
	q := n.call
	q.answer = *r
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

func (n *client) giveUp() {
	q := n.call
	if !q.reads() && (q.doubt || len(q.asked) > 0) {
		n.finish(check.Unknown)
		return
	}
	n.finish(check.Failed)
}

func (n *client) finish(o check.Outcome) {
	q := n.call
	n.call = nil
	q.op.Outcome, q.op.Return = o, n.w.net.Now()
	if q.req.ttl == 0 {
		n.w.history = append(n.w.history, q.op)
		n.w.noteAnswer(q)
	}
	n.port.Note("client %d: %v", n.id, q.op)
	n.next = n.port.Now() + time.Duration(n.rng.IntN(int(2*n.w.cfg.pace)))
	if n.done != nil {
		n.done(q)
	}
}
