package sim

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/torc-dht/torc/internal/simnet"
	"github.com/torc-dht/torc/replica/internal/msg"
	"github.com/torc-dht/torc/replica/internal/node"
)

const (
	// giveUpAfter is how long a client tries one call.
	giveUpAfter = 6 * time.Second
	// hedgeAfter is how long it waits for an answer to a read before it asks
	// another node too, and resendAfter for one to a write.
	hedgeAfter  = 30 * time.Millisecond
	resendAfter = 100 * time.Millisecond
)

// client makes one call at a time, as replica.Table does: at the node that answered
// last, and at another one when that says nothing or is gone.
type client struct {
	w    *world
	port *simnet.Port[any]
	id   int
	rng  *rand.Rand
	name uint64 // in the IDs of its operations

	at     []simnet.Addr // the nodes that it asks
	last   int           // the index of that which answered last
	next   time.Duration // when the next call begins
	call   *call         // nil between two
	number uint64        // of the last tagged write
	lastID uint64
	values int
	read   map[string]msg.Result // what was read last
	script []msg.Op              // to be done before any others
	done   func(*call)           // called with each call that is over
}

// call is what a client does, did and saw.
type call struct {
	client       int
	op           msg.Op
	expect       []byte // of IfVersion: the value whose version that is
	began, ended time.Duration
	outcome      outcome
	result       msg.Result
	err          error         // why it failed
	answeredBy   simnet.Addr   // unless it failed
	deadline     time.Duration // by the client's clock, as retry
	retry        time.Duration
	asked        map[uint64]simnet.Addr // attempts without an answer
	doubt        bool                   // some attempt may have been carried out
	attempts     int
}

// outcome is how a call ended.
type outcome uint8

const (
	answered outcome = iota + 1
	failed           // nothing was done
	unknown          // it may have been done, or may be yet
)

func (c *call) reads() bool  { return c.op.Kind == msg.Get }
func (c *call) tagged() bool { return c.op.ID.Client != 0 }

// again tells whether it may be sent while another attempt has no answer.
func (c *call) again() bool { return c.reads() || c.tagged() || len(c.asked) == 0 }

func (c *call) labelled() bool { return c.result.Degraded != 0 }

func (c *call) String() string {
	s := fmt.Sprintf("client %d, %v to %v: %s", c.client, c.began, c.ended, describeOp(&c.op))
	switch c.outcome {
	case answered:
		return s + fmt.Sprintf(": %s by %s", describeResult(&c.result), c.answeredBy)
	case failed:
		return s + fmt.Sprintf(": failed: %v", c.err)
	}
	return s + ": unknown"
}

func newClient(w *world, id int, p *simnet.Port[any]) *client {
	n := &client{
		w: w, port: p, id: id, rng: p.Rand(), next: p.Now() + w.cfg.startClients,
		at: w.servers, read: make(map[string]msg.Result),
	}
	n.name = n.rng.Uint64() | 1
	n.last = n.rng.IntN(len(n.at))
	for _, a := range w.servers {
		p.Dial(a)
	}
	return n
}

// use lets a client ask these nodes alone.
func (n *client) use(at ...simnet.Addr) { n.at, n.last = at, n.rng.IntN(len(at)) }

func (n *client) Connected(time.Duration, simnet.Conn) {}

func (n *client) Disconnected(now time.Duration, c simnet.Conn) {
	q := n.call
	if q == nil || c.ID == 0 {
		return
	}
	for id, a := range q.asked {
		if a != c.Peer {
			continue
		}
		delete(q.asked, id)
		q.doubt = true
		if !q.reads() && !q.tagged() {
			n.finish(unknown)
			return
		}
		q.retry = now
	}
}

func (n *client) Tick(time.Duration) {}

func (n *client) Drain(p *simnet.Port[any]) {
	now := p.Now()
	if n.call == nil && now >= n.next {
		n.begin(now)
	}
	if q := n.call; q != nil {
		switch {
		case now >= q.deadline:
			n.giveUp()
		case now >= q.retry && q.again():
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
	var op msg.Op
	switch {
	case len(n.script) > 0:
		op = n.script[0]
		n.script = n.script[1:]
	case n.w.resting:
		n.next = now + 10*time.Millisecond
		return
	default:
		op = n.pick()
	}
	if op.Kind == msg.Put && op.Value == nil {
		n.values++
		op.Value = fmt.Appendf(nil, "%d.%d", n.id, n.values)
	}
	if op.Kind != msg.Get && (n.w.cfg.tagged || n.rng.IntN(8) > 0) {
		n.number++
		op.ID = msg.OpID{Client: n.name, Seq: n.number, Acked: n.number - 1}
	}
	n.call = &call{
		client: n.id, op: op, began: n.w.net.Now(),
		deadline: now + giveUpAfter, retry: now, asked: make(map[uint64]simnet.Addr),
		expect: n.read[op.Key].Old,
	}
}

// pick chooses an operation.
func (n *client) pick() msg.Op {
	op := msg.Op{Kind: msg.Put, Key: n.w.keys[n.rng.IntN(len(n.w.keys))]}
	switch x := n.rng.IntN(100); {
	case x < n.w.cfg.reads:
		op.Kind = msg.Get
	case !n.w.cfg.mixed:
	case x < 80:
	case x < 87:
		op.Kind = msg.Delete
	case x < 91:
		op.Cond = msg.IfAbsent
	case x < 94:
		op.Cond = msg.IfPresent
	default:
		if was := n.read[op.Key]; was.Found {
			op.Cond, op.Version = msg.IfVersion, was.OldVersion
		}
	}
	return op
}

// ask sends the call to the node that answered last, or to the next one. One that
// there is no connection with is passed over, as one that refuses is.
func (n *client) ask(now time.Duration) {
	q := n.call
	if q.attempts > 0 {
		n.last = (n.last + 1) % len(n.at)
	} else if q.reads() && n.rng.IntN(2) == 0 {
		n.last = n.rng.IntN(len(n.at)) // reads are spread
	}
	q.attempts++
	for range n.at {
		n.lastID++
		to := n.at[n.last]
		if n.port.SendTo(to, &request{id: n.lastID, op: &q.op}) {
			q.asked[n.lastID] = to
			q.retry = now + resendAfter
			if q.reads() {
				q.retry = now + hedgeAfter
			}
			if n.w.cfg.impatient && n.rng.IntN(8) == 0 {
				q.retry = now + time.Duration(n.rng.IntN(2000))*time.Microsecond
			}
			return
		}
		n.last = (n.last + 1) % len(n.at)
	}
	q.retry = now + 2*time.Millisecond
}

func (n *client) Receive(now time.Duration, c simnet.Conn, m any) {
	r, ok := m.(*reply)
	q := n.call
	if !ok || q == nil {
		return
	}
	if _, mine := q.asked[r.id]; !mine {
		return
	}
	delete(q.asked, r.id)
	switch r.err {
	case nil:
		for i, a := range n.at {
			if a == c.Peer {
				n.last = i
			}
		}
		q.result, q.answeredBy = r.result, c.Peer
		n.finish(answered)
		return
	case node.ErrUnavailable, node.ErrBusy:
		n.w.covered("answer unavailable")
	case node.ErrUnknown:
		n.w.covered("answer unknown")
		q.doubt = true
		if !q.reads() && !q.tagged() {
			n.finish(unknown)
			return
		}
	default:
		n.w.fail("client %d: %s answers with error %v", n.id, c.Peer, r.err)
	}
	q.err = r.err
	q.retry = now + time.Duration(1+n.rng.IntN(20))*time.Millisecond
}

func (n *client) giveUp() {
	q := n.call
	if !q.reads() && (q.doubt || len(q.asked) > 0) {
		n.finish(unknown)
	} else {
		n.finish(failed)
	}
}

func (n *client) finish(o outcome) {
	q := n.call
	n.call = nil
	q.outcome, q.ended = o, n.w.net.Now()
	if o == answered && q.result.Status == msg.Repeated {
		n.w.covered("answer repeated")
	}
	if o == answered {
		n.learn(q)
		if q.labelled() {
			n.w.covered("answer labelled")
		}
	}
	q.asked = nil
	n.w.calls = append(n.w.calls, q)
	n.port.Note("%s", q)
	n.next = n.port.Now()
	if pace := n.w.cfg.pace; pace > 0 {
		n.next += time.Duration(n.rng.Int64N(int64(2 * pace)))
	}
	if n.done != nil {
		n.done(q)
	}
}

// learn remembers which version a key has.
func (n *client) learn(q *call) {
	switch {
	case q.reads():
		n.read[q.op.Key] = q.result
	case q.op.Kind == msg.Put && q.result.Status == msg.OK:
		n.read[q.op.Key] = msg.Result{Found: true, Old: q.op.Value, OldVersion: q.result.Version}
	}
}
