package server_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/torc-dht/torc/shard/internal/msg"
	"github.com/torc-dht/torc/shard/internal/server"
	"github.com/torc-dht/torc/shard/slots"
)

func TestAlone(t *testing.T) {
	r := newRig(t, 1, 1)
	q := r.do(0, "a", "1", msg.Op{})
	r.want(q, "") // no map yet
	r.fresh()
	r.want(q, "done")
	r.get(0, "a", "1")
	r.get(0, "b", "(none)")
	r.mute = true
	r.pass(2 * time.Second)
	q = r.do(0, "a", "", msg.Op{})
	r.want(q, "") // without the master's promise
	r.pass(patient + time.Second)
	r.want(q, "unavailable")
}

func TestCopyAndPromotion(t *testing.T) {
	r := newRig(t, 2, 2)
	r.fresh()
	for i := range 100 {
		r.put(0, fmt.Sprint(i), fmt.Sprint("v", i))
	}
	r.joined(1)
	r.put(0, "1", "new")
	r.get(1, "1", "moved 10.0.0.0:1")
	r.mute = true // no need of the master
	r.pass(3 * time.Second)
	r.get(0, "1", "new")
	r.dead[0] = true
	r.issue(func(m *slots.Map) {
		m.Servers[0].Dead, m.Servers[0].Deposed = true, m.Epoch
		for i := range m.Rows {
			m.Rows[i].Primary = 1
			m.Rows[i].Remove(1)
		}
	})
	r.mute = false
	q := r.do(1, "1", "", msg.Op{})
	r.want(q, "") // its promise runs
	r.pass(server.DefaultLease)
	r.want(q, "new")
	for i := 2; i < 100; i++ {
		r.get(1, fmt.Sprint(i), fmt.Sprint("v", i))
	}
}

func TestWriteWaitsForCopy(t *testing.T) {
	r := newRig(t, 2, 2)
	r.fresh()
	r.joined(1)
	r.cut[[2]int{0, 1}] = true
	w := r.do(0, "k", "x", msg.Op{})
	read := r.do(0, "k", "", msg.Op{})
	r.want(w, "")
	r.want(read, "")
	r.get(0, "other", "(none)")
	told[*msg.DropCopy](r, 0)
	r.pass(700 * time.Millisecond)
	d := told[*msg.DropCopy](r, 0)
	if len(d) == 0 || d[0].Epoch != r.m.Epoch || d[0].Boot != bootOf+1 {
		t.Fatalf("the master was asked: %v", d)
	}
	r.rows(func(row *slots.Row) { row.Remove(1) }, 0)
	r.want(w, "done")
	r.want(read, "x")
}

func TestHandOver(t *testing.T) {
	r := newRig(t, 2, 2)
	r.fresh()
	r.put(0, "1", "a")
	r.joined(1)
	all := make([]slots.Slot, slots.Count)
	for i := range all {
		all[i] = slots.Slot(i)
	}
	r.servers[0].Receive(r.now, server.Master, &msg.HandOver{Epoch: r.m.Epoch, To: bootOf + 1, Slots: all})
	r.settle()
	g := told[*msg.GaveUp](r, 0)
	if len(g) != 1 || len(g[0].Slots) != slots.Count || g[0].To != bootOf+1 {
		t.Fatalf("gave up %v", g)
	}
	q := r.do(0, "1", "", msg.Op{})
	r.want(q, "")
	r.issue(func(*slots.Map) {}) // made before the master heard of it
	r.want(q, "a")
	r.servers[0].Receive(r.now, server.Master, &msg.HandOver{Epoch: r.m.Epoch, To: bootOf + 1, Slots: all})
	r.settle()
	if g := told[*msg.GaveUp](r, 0); len(g) != 1 || g[0].Epoch != r.m.Epoch {
		t.Fatalf("gave up again %v", g)
	}
	q = r.do(0, "1", "", msg.Op{})
	r.want(q, "")
	r.rows(func(row *slots.Row) {
		row.Primary = 1
		row.Remove(1)
		row.Set(0, slots.InSync)
	})
	r.want(q, "moved 10.0.0.1:1")
	r.get(1, "1", "a")
	r.put(1, "1", "b")
	r.get(1, "1", "b")
}

func TestRepeat(t *testing.T) {
	r := newRig(t, 2, 2)
	r.fresh()
	op := msg.Op{Client: 5, Number: 1, Oldest: 1}
	r.want(r.do(0, "k", "x", op), "done")
	r.want(r.do(0, "k", "x", op), "done before")
	r.joined(1)
	r.put(0, "k", "y")
	r.dead[0] = true
	r.issue(func(m *slots.Map) {
		m.Servers[0].Dead, m.Servers[0].Deposed = true, m.Epoch
		for i := range m.Rows {
			m.Rows[i].Primary = 1
			m.Rows[i].Remove(1)
		}
	})
	r.pass(2 * time.Second)
	r.want(r.do(1, "k", "x", op), "done before")
	r.get(1, "k", "y")
	r.want(r.do(1, "k", "z", msg.Op{Client: 5, Number: 3, Oldest: 3}), "done")
	r.want(r.do(1, "k", "x", op), "answered")
}

// A server that had handed over all it had leaves, and in the same epoch a slot goes
// from one of the others to the other: nobody sits out what was promised to who left.
func TestHandOverWhileAnotherLeaves(t *testing.T) {
	r := newRig(t, 3, 3)
	r.fresh()
	r.put(0, "1", "a")
	r.joined(1)
	r.joined(2)
	all := make([]slots.Slot, slots.Count)
	for i := range all {
		all[i] = slots.Slot(i)
	}
	hand := func(from, to int) {
		r.servers[from].Receive(r.now, server.Master, &msg.HandOver{Epoch: r.m.Epoch, To: bootOf + slots.Boot(to), Slots: all})
		r.settle()
	}
	hand(0, 1)
	r.rows(func(row *slots.Row) {
		row.Remove(1)
		row.Set(0, slots.InSync)
		row.Primary = 1
	})
	r.pass(300 * time.Millisecond) // promises are given
	hand(1, 2)
	r.issue(func(m *slots.Map) {
		m.Servers = m.Servers[1:]
		for i := range m.Rows {
			m.Rows[i] = slots.Row{Primary: 1}
			m.Rows[i].Set(0, slots.InSync)
		}
	}, 1, 2)
	r.get(2, "1", "a")
}

// Who is leaving and hears from a peer of a map without it may go: it does not begin
// anew.
func TestLeftByAPeersWord(t *testing.T) {
	r := newRig(t, 2, 1)
	r.fresh()
	r.servers[1].Leave(r.now)
	r.settle()
	if n := len(told[*msg.Leave](r, 1)); n == 0 {
		t.Fatal("the master was not asked")
	}
	without := r.m.Clone()
	without.Epoch.Counter++
	without.Servers = without.Servers[:1]
	r.servers[1].Receive(r.now, bootOf, &msg.MapUpdate{Map: without})
	if s := r.servers[1]; !s.Released() || s.Reset() {
		t.Errorf("released: %v, to begin anew: %v", s.Released(), s.Reset())
	}
	q := r.do(1, "k", "", msg.Op{})
	r.want(q, "moved 10.0.0.0:1")
}

// A write that was refused stays refused, whatever has become of the key: its
// first copy may come after a repeat was answered.
func TestRefusalIsRemembered(t *testing.T) {
	r := newRig(t, 2, 2)
	r.fresh()
	r.joined(1)
	r.put(0, "k", "old")
	op := msg.Op{Client: 5, Number: 1, Oldest: 1}
	add := func(at int) *request {
		q := &request{value: []byte("new"), absent: true}
		q.call = server.Call{Keys: [][]byte{[]byte("k")}, Op: op, Exec: q}
		r.servers[at].Do(r.now, &q.call)
		r.settle()
		return q
	}
	r.want(add(0), "exists")
	r.want(r.remove(0, "k"), "done")
	r.want(add(0), "refused before")
	r.dead[0] = true
	r.issue(func(m *slots.Map) {
		m.Servers[0].Dead, m.Servers[0].Deposed = true, m.Epoch
		for i := range m.Rows {
			m.Rows[i].Primary = 1
			m.Rows[i].Remove(1)
		}
	})
	r.pass(2 * time.Second)
	r.want(add(1), "refused before")
	r.get(1, "k", "(none)")
}

// A refusal that no copy has to know of is answered at once, and once only.
func TestRefusedWithoutCopies(t *testing.T) {
	r := newRig(t, 2, 2)
	r.fresh()
	r.put(0, "k", "old")
	r.cut[[2]int{0, 1}] = true
	r.rows(func(row *slots.Row) { row.Set(1, slots.Filling) })
	q := &request{value: []byte("new"), absent: true}
	q.call = server.Call{Keys: [][]byte{[]byte("k")}, Op: msg.Op{Client: 5, Number: 1, Oldest: 1}, Exec: q}
	r.servers[0].Do(r.now, &q.call)
	r.want(q, "exists")
}

// A call at several keys that fails at one is done when no write knows of it any
// more: who made it may use it again then.
func TestFailedInPart(t *testing.T) {
	r := newRig(t, 2, 2)
	r.fresh()
	r.joined(1)
	r.cut[[2]int{0, 1}] = true
	a, b := "a", "b"
	r.want(r.do(0, a, "x", msg.Op{}), "")
	r.want(r.do(0, b, "x", msg.Op{}), "")
	q := &request{}
	q.call = server.Call{Keys: [][]byte{[]byte(a), []byte(b)}, Exec: q}
	r.servers[0].Do(r.now, &q.call)
	r.want(q, "")
	r.issue(func(m *slots.Map) { m.Rows[slots.Of(a)].Primary = 1; m.Rows[slots.Of(a)].Remove(1) }, 0)
	r.want(q, "")
	r.issue(func(m *slots.Map) { m.Rows[slots.Of(b)].Remove(1) }, 0)
	r.want(q, "moved 10.0.0.1:1")
}

// The old primary's last write reached one of two copies, the other is promoted.
func TestResync(t *testing.T) {
	r := newRig(t, 3, 3)
	r.fresh()
	r.put(0, "k", "old")
	r.joined(1)
	r.joined(2)
	r.cut[[2]int{0, 2}] = true
	w := r.do(0, "k", "lost", msg.Op{})
	n := r.do(0, "n", "lost too", msg.Op{})
	r.want(w, "")
	r.want(n, "")
	r.dead[0] = true
	r.issue(func(m *slots.Map) {
		m.Servers[0].Dead, m.Servers[0].Deposed = true, m.Epoch
		for i := range m.Rows {
			m.Rows[i].Primary = 2
			m.Rows[i].Remove(2)
		}
	})
	r.pass(2 * time.Second)
	r.get(2, "k", "old")
	r.get(2, "n", "(none)")
	r.dead[2] = true
	r.issue(func(m *slots.Map) {
		m.Servers[2].Dead, m.Servers[2].Deposed = true, m.Epoch
		for i := range m.Rows {
			m.Rows[i].Primary = 1
			m.Rows[i].Remove(1)
		}
	})
	r.pass(2 * time.Second)
	r.get(1, "k", "old")
	r.get(1, "n", "(none)")
}

// The same, and the copy that has the write is promoted: then it stands.
func TestTailStands(t *testing.T) {
	r := newRig(t, 3, 3)
	r.fresh()
	r.put(0, "k", "old")
	r.joined(1)
	r.joined(2)
	r.cut[[2]int{0, 2}] = true
	r.want(r.do(0, "k", "new", msg.Op{}), "")
	r.dead[0] = true
	r.cut[[2]int{1, 2}] = true
	r.issue(func(m *slots.Map) {
		m.Servers[0].Dead, m.Servers[0].Deposed = true, m.Epoch
		for i := range m.Rows {
			m.Rows[i].Primary = 1
			m.Rows[i].Remove(1)
		}
	})
	r.pass(1600 * time.Millisecond)
	q := r.do(1, "k", "", msg.Op{})
	r.want(q, "") // not at its other copy yet
	delete(r.cut, [2]int{1, 2})
	r.pass(time.Second)
	r.want(q, "new")
}

// A copy is dropped and made again, and its primary sees only the last of these
// maps: what it had sent is not there any more.
func TestFillOfSkippedMap(t *testing.T) {
	r := newRig(t, 2, 2)
	r.fresh()
	r.put(0, "k", "x")
	r.rows(func(row *slots.Row) { row.Set(1, slots.Filling) })
	r.cut[[2]int{1, 0}] = true
	r.rows(func(row *slots.Row) { row.Remove(1) }, 1)
	r.rows(func(row *slots.Row) { row.Set(1, slots.Filling) })
	delete(r.cut, [2]int{1, 0})
	r.issue(func(*slots.Map) {}) // over new connections
	r.rows(func(row *slots.Row) { row.Set(1, slots.Joining) })
	r.pass(time.Second)
	r.rows(func(row *slots.Row) { row.Set(1, slots.InSync) })
	r.dead[0] = true
	r.issue(func(m *slots.Map) {
		m.Servers[0].Dead, m.Servers[0].Deposed = true, m.Epoch
		for i := range m.Rows {
			m.Rows[i].Primary = 1
			m.Rows[i].Remove(1)
		}
	})
	r.pass(2 * time.Second)
	r.get(1, "k", "x")
	if f := r.servers[1].Faults(); f > 0 {
		t.Errorf("%d slots to be served that aren't whole", f)
	}
}

// A peer that is lost once is distrusted for a moment, one that is lost again and
// again for longer each time.
func TestDistrust(t *testing.T) {
	r := newRig(t, 2, 2)
	r.fresh()
	s, peer := r.servers[0], bootOf+1
	distrusted := func() (d time.Duration) {
		for ; ; d += 100 * time.Millisecond {
			told[*msg.Beat](r, 0)
			r.pass(100 * time.Millisecond)
			if b := told[*msg.Beat](r, 0); len(b) > 0 && !slices.Contains(b[len(b)-1].Distrusted, peer) {
				return d
			}
		}
	}
	var last time.Duration
	for i := range 5 {
		s.Disconnected(r.now, peer)
		s.Connected(r.now, peer)
		d := distrusted()
		if i == 0 && d > time.Second || i > 0 && i < 4 && d <= last || d > server.DefaultDistrust+time.Second {
			t.Errorf("time %d: distrusted for %v, after %v", i+1, d, last)
		}
		last = d
	}
	r.pass(5 * server.DefaultDistrust)
	s.Disconnected(r.now, peer)
	s.Connected(r.now, peer)
	if d := distrusted(); d > time.Second {
		t.Errorf("after it was good for long: distrusted for %v", d)
	}
}
