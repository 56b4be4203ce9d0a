package node

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/torc-dht/torc/chord/internal/msg"
	"github.com/torc-dht/torc/chord/internal/place"
	"github.com/torc-dht/torc/chord/internal/ring"
	"github.com/torc-dht/torc/store"
)

// rig is some nodes and the wires between them: each message takes a millisecond, and
// what goes from one to another stays in order.
type rig struct {
	t      testing.TB
	c      Config
	now    time.Duration
	nodes  map[uint64]*Node // by boot
	boots  []uint64
	frozen map[uint64]bool
	cut    map[[2]uint64]bool
	wire   []parcel
	rand   *rand.Rand
	last   uint64
	plan   []planned
}

// planned is what is to be done at a time.
type planned struct {
	at time.Duration
	do func()
}

type parcel struct {
	at   time.Duration
	from ring.Ref
	to   ring.Ref
	m    msg.Message
}

func newRig(t testing.TB, n place.Circle, replicas int) *rig {
	return &rig{
		t: t, c: Config{Circle: n, Replicas: replicas}, nodes: make(map[uint64]*Node), frozen: make(map[uint64]bool),
		cut: make(map[[2]uint64]bool), rand: rand.New(rand.NewPCG(1, 2)),
	}
}

func (r *rig) time() Time {
	return Time{Mono: int64(r.now), Wall: int64(r.now) + int64(1_800_000_000*time.Second)}
}

// start starts a node at id; contact nil: the first.
func (r *rig) start(id string, contact *Node) *Node {
	r.t.Helper()
	at, err := r.c.Circle.Parse(id)
	if err != nil {
		r.t.Fatal(err)
	}
	r.last++
	c := r.c
	c.Self = ring.Ref{Place: at, Boot: r.last, Addr: fmt.Sprintf("n%s:%d", id, r.last)}
	c.Rand = rand.New(rand.NewPCG(7, r.last))
	var n *Node
	if contact == nil {
		n = New(c, r.time())
	} else {
		n = Join(c, r.time(), contact.Self())
	}
	r.nodes[r.last] = n
	r.boots = append(r.boots, r.last)
	r.flush(n)
	return n
}

// join starts a node and runs until it has its share.
func (r *rig) join(id string, contact *Node) *Node {
	r.t.Helper()
	n := r.start(id, contact)
	r.until(10*time.Second, func() bool { return n.Joined() })
	return n
}

func (r *rig) flush(n *Node) {
	n.Pump(r.time())
	n.Flush(r.time())
	for _, o := range n.Out() {
		r.wire = append(r.wire, parcel{r.now + time.Millisecond, n.Self(), o.To, o.Message})
	}
}

// after has do done in d.
func (r *rig) after(d time.Duration, do func()) {
	r.plan = append(r.plan, planned{r.now + d, do})
	slices.SortStableFunc(r.plan, func(a, b planned) int { return cmp.Compare(a.at, b.at) })
}

// kill ends a node's process: others notice at once.
func (r *rig) kill(n *Node) {
	delete(r.nodes, n.Self().Boot)
	r.boots = slices.DeleteFunc(r.boots, func(b uint64) bool { return b == n.Self().Boot })
	r.wire = slices.DeleteFunc(r.wire, func(p parcel) bool { return p.from == n.Self() })
}

// step runs for a millisecond.
func (r *rig) step() {
	r.now += time.Millisecond
	for len(r.plan) > 0 && r.plan[0].at <= r.now {
		p := r.plan[0]
		r.plan = r.plan[1:]
		p.do()
	}
	due := r.wire
	r.wire = nil
	for _, p := range due {
		n := r.nodes[p.to.Boot]
		switch {
		case p.at > r.now || r.frozen[p.to.Boot]:
			r.wire = append(r.wire, p)
		case r.cut[[2]uint64{p.from.Boot, p.to.Boot}]:
		case n == nil:
			if s := r.nodes[p.from.Boot]; s != nil && !r.frozen[p.from.Boot] {
				s.Down(r.time(), p.to, true)
				r.flush(s)
			}
		default:
			n.Receive(r.time(), p.from, p.m)
			r.flush(n)
		}
	}
	for _, b := range slices.Clone(r.boots) {
		n := r.nodes[b]
		if n == nil || r.frozen[b] {
			continue
		}
		n.Tick(r.time())
		r.flush(n)
		if n.Left() {
			delete(r.nodes, b)
			r.boots = slices.DeleteFunc(r.boots, func(x uint64) bool { return x == b })
		}
	}
}

func (r *rig) run(d time.Duration) {
	for end := r.now + d; r.now < end; {
		r.step()
	}
}

func (r *rig) until(within time.Duration, done func() bool) {
	r.t.Helper()
	for end := r.now + within; !done(); {
		if r.now >= end {
			r.t.Fatalf("not after %v\n%s", within, r.dump())
		}
		r.step()
	}
}

func (r *rig) dump() string {
	var b strings.Builder
	for _, boot := range r.boots {
		n := r.nodes[boot]
		fmt.Fprintf(&b, "%v pred %v succ %v", n.Self(), n.ring.Predecessor(), n.ring.Successors())
		if o := n.own; o != nil {
			fmt.Fprintf(&b, " owns (%v, %v] term %v config %d firm %v keys %d holders", o.claim.Span.From, o.claim.Span.To, o.claim.Term, o.claim.Config, o.firm, n.data.Count(o.claim.Span))
			for _, h := range o.holders {
				fmt.Fprintf(&b, " %v/%v", h.peer.ref.Place, h.complete())
			}
			if o.handing != nil {
				fmt.Fprintf(&b, " handing to %v frozen %v", o.handing.to.ref, o.handing.frozen)
			}
		}
		if n.gap != nil {
			fmt.Fprintf(&b, " gap %v living %v pieces %d", n.gap.span, n.gap.living, len(n.gap.pieces))
		}
		for _, h := range n.holds {
			fmt.Fprintf(&b, "\n   holds (%v, %v] of %v term %v config %d seq %d complete %v", h.Span.From, h.Span.To, h.Claim.Owner.Place, h.Claim.Term, h.Claim.Config, h.Seq, h.Complete)
		}
		fmt.Fprintf(&b, "\n   %+v\n", n.counts)
	}
	return b.String()
}

// op is a call of the tests: a put, or a get if value is "", or a removal.
type op struct {
	key, value string
	remove     bool

	got   string
	fail  *Failure
	stamp uint64
	again bool
}

func (o *op) Execute(n *Node) uint8 {
	switch {
	case o.remove:
		found := false
		_, _ = n.Update([]byte(o.key), func(_ *store.Item, f bool) store.Action { found = f; return store.Remove })
		if !found {
			return 1
		}
	case o.value != "":
		o.stamp, _ = n.Update([]byte(o.key), func(it *store.Item, _ bool) store.Action {
			it.Value = []byte(o.value)
			return store.Write
		})
	default:
		it, _ := n.Get([]byte(o.key))
		o.got = string(it.Value)
	}
	return 0
}
func (o *op) Repeat(stamp uint64, _ uint8) { o.again, o.stamp = true, stamp }
func (o *op) Fail(f Failure)               { o.fail = &f }

// do asks n, and whoever it names, until there is an answer.
func (r *rig) do(n *Node, o *op, id msg.OpID) {
	r.t.Helper()
	for end := r.now + 20*time.Second; r.now < end; {
		o.fail = nil
		c := &Call{Keys: [][]byte{[]byte(o.key)}, Exec: o, Op: id}
		answered := false
		for asked := r.now; r.nodes[n.Self().Boot] == n && r.now < asked+5*time.Second; r.step() {
			if r.frozen[n.Self().Boot] {
				continue
			}
			if c.parkedAt == 0 {
				n.Do(r.time(), c)
				r.flush(n)
			}
			if answered = slices.Contains(n.Done(), c); answered {
				break
			}
		}
		switch {
		case answered && o.fail == nil:
			return
		case answered && o.fail.Kind == Moved && r.nodes[o.fail.Owner.Node.Boot] != nil:
			n = r.nodes[o.fail.Owner.Node.Boot]
		default:
			r.run(5 * time.Millisecond)
			n = r.whose(o.key, r.nodes[r.boots[r.rand.IntN(len(r.boots))]])
		}
	}
	r.t.Fatalf("%+v has no answer: %+v\n%s", o, o.fail, r.dump())
}

// whose is who owns the key, and isn't frozen, or n.
func (r *rig) whose(key string, n *Node) *Node {
	at := r.c.Circle.OfKey(key)
	for _, b := range r.boots {
		if o := r.nodes[b]; o.own != nil && !r.frozen[b] && covers(o.own.claim.Span, at) {
			return o
		}
	}
	return n
}

func (r *rig) put(key, value string) {
	r.t.Helper()
	r.last++
	o := &op{key: key, value: value}
	r.do(r.whose(key, r.nodes[r.boots[0]]), o, msg.OpID{Client: 99, Number: r.last, Oldest: r.last})
}

func (r *rig) get(key string) string {
	r.t.Helper()
	o := &op{key: key}
	r.do(r.whose(key, r.nodes[r.boots[0]]), o, msg.OpID{})
	return o.got
}

// settled tells whether each node owns what it should, with as many holders as it
// should have, and nobody holds what it should not.
func (r *rig) settled() bool {
	boots := slices.Clone(r.boots)
	slices.SortFunc(boots, func(a, b uint64) int { return byPlace(r.nodes[a].Self(), r.nodes[b].Self()) })
	for i, b := range boots {
		n := r.nodes[b]
		before := r.nodes[boots[(i+len(boots)-1)%len(boots)]].Self().Place
		switch {
		case n.own == nil || !n.own.firm || n.own.claim.Span.From != before || n.own.handing != nil || len(n.own.holders) != min(r.c.Replicas, len(boots)-1):
			return false
		case len(n.trash) > 0 || n.writes.len() > 0:
			return false
		}
		for _, h := range n.holds {
			owner := r.nodes[h.Claim.Owner.Boot]
			if owner == nil || owner.holderOf(n.Self()) == nil || owner.own == nil || !within(r.c.Circle, h.Span, owner.own.claim.Span) {
				return false
			}
		}
		for k, h := range n.own.holders {
			if !h.complete() {
				return false
			}
			want := r.nodes[boots[(i+k+1)%len(boots)]]
			if !slices.ContainsFunc(n.own.holders, func(h *holder) bool { return h.peer.ref == want.Self() }) {
				return false
			}
		}
	}
	return true
}

// whole fails the test unless each of want is with its owner and with each holder.
func (r *rig) whole(want map[string]string) {
	r.t.Helper()
	r.until(30*time.Second, r.settled)
	for key, value := range want {
		n := 0
		for _, b := range r.boots {
			if e := r.nodes[b].data.Get([]byte(key)); e != nil && !e.Removed {
				n++
				if string(e.Value) != value {
					r.t.Fatalf("%s is %q at %v, not %q", key, e.Value, r.nodes[b].Self(), value)
				}
			}
		}
		if n != min(r.c.Replicas+1, len(r.boots)) {
			r.t.Fatalf("%s is in %d places\n%s", key, n, r.dump())
		}
	}
}

// opID names the tests' own client's write; 0: nothing.
func opID(number uint64) (id msg.OpID) {
	if number > 0 {
		id = msg.OpID{Client: 7, Number: number, Oldest: 1}
	}
	return id
}
