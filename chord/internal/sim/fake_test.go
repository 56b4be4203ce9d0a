package sim

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/torc-dht/torc/chord/internal/msg"
	"github.com/torc-dht/torc/internal/simnet"
	"github.com/torc-dht/torc/store"
)

// fakeTable is one memory behind all addresses: a table that is right, but for the
// mistakes that it is told to make.
type fakeTable struct {
	rng     *rand.Rand
	items   map[string]fakeItem
	was     map[string]fakeItem // what was at a key before
	answers map[msg.OpID]reply
	version uint64

	loses, ages, revives, repeats, moves bool
}

type fakeItem struct {
	value   string
	version uint64
}

// fakeNode is the table at one address.
type fakeNode struct {
	t    *fakeTable
	w    *world
	port *simnet.Port[any]
}

func (n *fakeNode) Tick(time.Duration)                      {}
func (n *fakeNode) Connected(time.Duration, simnet.Conn)    {}
func (n *fakeNode) Disconnected(time.Duration, simnet.Conn) {}
func (n *fakeNode) Drain(*simnet.Port[any])                 {}

func (n *fakeNode) Receive(_ time.Duration, c simnet.Conn, m any) {
	q := m.(*request)
	r := reply{id: q.id}
	owner := n.w.nodes[int(q.key[len(q.key)-1])%len(n.w.nodes)]
	switch {
	case q.resolve || owner != n.port.Addr() && n.t.moves:
		r.answer, r.to = moved, owner
	default:
		r = n.t.do(q)
	}
	if n.t.rng.IntN(50) == 0 {
		n.w.net.Reset(n.port.Addr(), c.Peer) // the answer may be lost
	}
	n.port.Send(c, &r)
}

func (t *fakeTable) sometimes(is bool) bool { return is && t.rng.IntN(30) == 0 }

func (t *fakeTable) do(q *request) reply {
	if r, ok := t.answers[q.op]; ok && q.op.Client != 0 && !t.repeats {
		r.id = q.id
		r.again = r.acted != store.Keep
		return r
	}
	r := reply{id: q.id}
	it, found := t.items[q.key]
	if was, ok := t.was[q.key]; ok && q.do == nil && t.sometimes(t.ages) {
		it, found = was, true
	}
	if q.do == nil {
		r.found, r.value, r.version = found, it.value, it.version
		return r
	}
	r.found, r.acted = found, q.do(found, it.version)
	if r.acted != store.Keep && found {
		t.was[q.key] = it
	}
	switch lost := t.sometimes(t.loses); {
	case r.acted&store.Write != 0:
		t.version++
		r.version = t.version
		if !lost {
			t.items[q.key] = fakeItem{q.value, t.version}
		}
	case r.acted&store.Remove != 0:
		if delete(t.items, q.key); t.sometimes(t.revives) {
			t.items[q.key] = it
		}
	}
	t.answers[q.op] = r
	return r
}

func fakeWorld(seed uint64, t fakeTable) *world {
	t.rng = rand.New(rand.NewPCG(seed, 0))
	t.items, t.was = make(map[string]fakeItem), make(map[string]fakeItem)
	t.answers = make(map[msg.OpID]reply)
	c := chance(seed)
	c.boot = func(w *world, p *simnet.Port[any]) simnet.Node[any] { return &fakeNode{&t, w, p} }
	w := newWorld(c)
	w.net.StartAll()
	w.run(5 * time.Second)
	w.readAll()
	w.verify()
	return w
}

// The clients and the judge of what they saw find nothing wrong with a table that is
// right, and find each sort of mistake.
func TestJudge(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		w := fakeWorld(seed+1, fakeTable{moves: seed%2 == 0})
		if w.report(t); len(w.history) < 50 {
			t.Errorf("seed %d: %d calls", seed+1, len(w.history))
		}
	}
	for name, broken := range map[string]fakeTable{
		"a write is lost":               {loses: true},
		"a read is stale":               {ages: true},
		"what was removed comes back":   {revives: true},
		"repeats are carried out again": {repeats: true},
	} {
		found := false
		for seed := uint64(1); seed <= 10 && !found; seed++ {
			if w := fakeWorld(seed, broken); w.failed() {
				t.Logf("%s: seed %d: %.300s", name, seed, w.errs[0])
				found = true
			}
		}
		if !found {
			t.Errorf("%s: not found", name)
		}
	}
}
