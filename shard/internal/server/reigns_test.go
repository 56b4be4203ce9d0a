package server_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/torc-dht/torc/shard/internal/msg"
	"github.com/torc-dht/torc/shard/internal/server"
	"github.com/torc-dht/torc/shard/slots"
)

// part cuts both ways between two servers, mend undoes that.
func (r *rig) part(a, b int) {
	r.cut[[2]int{a, b}], r.cut[[2]int{b, a}] = true, true
}

func (r *rig) mend(a, b int) {
	delete(r.cut, [2]int{a, b})
	delete(r.cut, [2]int{b, a})
	for _, p := range [][2]int{{a, b}, {b, a}} {
		r.servers[p[0]].Disconnected(r.now, bootOf+slots.Boot(p[1]))
		r.servers[p[0]].Connected(r.now, bootOf+slots.Boot(p[1]))
	}
	r.settle()
}

// giveUp has a server give all its slots up to another.
func (r *rig) giveUp(from, to int) {
	r.t.Helper()
	all := make([]slots.Slot, slots.Count)
	for i := range all {
		all[i] = slots.Slot(i)
	}
	told[*msg.GaveUp](r, from)
	r.servers[from].Receive(r.now, server.Master, &msg.HandOver{Epoch: r.m.Epoch, To: bootOf + slots.Boot(to), Slots: all})
	r.settle()
	if g := told[*msg.GaveUp](r, from); len(g) != 1 || len(g[0].Slots) != slots.Count || g[0].Epoch != r.m.Epoch {
		r.t.Fatalf("gave up %v", g)
	}
}

// handOver makes another server the primary of all slots, with the consent of the
// one that is.
func (r *rig) handOver(from, to int) {
	r.t.Helper()
	r.giveUp(from, to)
	r.rows(func(row *slots.Row) {
		row.Primary = int16(to)
		row.Remove(int16(to))
		row.Set(int16(from), slots.InSync)
	})
}

// depose makes a copy the primary, without those named.
func (r *rig) depose(to int, without []int, hear ...int) {
	r.t.Helper()
	r.issue(func(m *slots.Map) {
		for _, i := range without {
			m.Servers[i].Deposed = m.Epoch
		}
		for i := range m.Rows {
			m.Rows[i].Primary = int16(to)
			m.Rows[i].Remove(int16(to))
			for _, i2 := range without {
				m.Rows[i].Remove(int16(i2))
			}
		}
	}, hear...)
}

// A primary has given up its slots, hears nothing of the map that makes the other
// one primary, and is made primary again when that one seems dead. It has to wait
// for the promise that it gave it.
func TestGivenBackAfterAnotherHadIt(t *testing.T) {
	r := newRig(t, 2, 2)
	r.fresh()
	r.put(0, "k", "old")
	r.joined(1)
	r.giveUp(0, 1)
	r.part(0, 1)
	r.rows(func(row *slots.Row) {
		row.Primary = 1
		row.Remove(1)
		row.Set(0, slots.InSync)
	}, 1)
	r.get(1, "k", "old")
	r.depose(0, []int{1}, 0)
	r.pass(300 * time.Millisecond)
	q := r.do(0, "k", "new", msg.Op{})
	r.get(1, "k", "old")
	r.want(q, "")
	r.pass(server.DefaultLease)
	r.want(q, "done")
}

// The same, and the other one had sent a third a write that nobody else has.
func TestGivenBackUndoesWhatAnotherWrote(t *testing.T) {
	r := newRig(t, 3, 3)
	r.fresh()
	r.put(0, "k", "old")
	r.joined(1)
	r.joined(2)
	r.giveUp(0, 1)
	r.part(0, 1)
	r.part(0, 2)
	r.rows(func(row *slots.Row) {
		row.Primary = 1
		row.Remove(1)
		row.Set(0, slots.InSync)
	}, 1, 2)
	r.want(r.do(1, "k", "lost", msg.Op{}), "")
	r.dead[1] = true
	r.depose(0, []int{1}, 0, 2)
	r.mend(0, 2)
	r.pass(2 * time.Second)
	r.get(0, "k", "old")
	r.put(0, "k", "new")
	r.dead[0] = true
	r.depose(2, []int{0}, 2)
	r.pass(2 * time.Second)
	r.get(2, "k", "new")
}

// A fill is on its way to a copy when its primary hands the slots over. The next
// primary fills the copy, and hands back to the first, whose old items come then.
func TestItemsOfAnEarlierReignAreVoid(t *testing.T) {
	r := newRig(t, 3, 3)
	r.fresh()
	r.put(0, "1", "old") // in one of the slots that are filled first
	r.joined(1)
	r.part(0, 2)
	r.rows(func(row *slots.Row) { row.Set(2, slots.Filling) })
	r.handOver(0, 1)
	r.rows(func(row *slots.Row) { row.Set(2, slots.Joining) })
	r.pass(300 * time.Millisecond)
	r.rows(func(row *slots.Row) { row.Set(2, slots.InSync) })
	r.put(1, "1", "new")
	r.pass(300 * time.Millisecond) // everybody knows that it was answered
	r.handOver(1, 0)
	r.mend(0, 2)
	r.get(0, "1", "new")
	r.dead[0], r.dead[1] = true, true
	r.depose(2, []int{0, 1}, 2)
	r.pass(2 * time.Second)
	r.get(2, "1", "new")
}

// Items of an earlier reign are on their way, on one connection, until the copy
// stands on a map in which their sender is primary again.
func TestItemsUnderWayThroughAnotherReign(t *testing.T) {
	r := newRig(t, 3, 3)
	r.fresh()
	r.put(0, "1", "old")
	r.joined(1)
	r.part(0, 2)
	r.late = map[[2]int]bool{{0, 2}: true}
	r.rows(func(row *slots.Row) { row.Set(2, slots.Filling) })
	r.handOver(0, 1)
	r.rows(func(row *slots.Row) { row.Set(2, slots.Joining) })
	r.pass(300 * time.Millisecond)
	r.rows(func(row *slots.Row) { row.Set(2, slots.InSync) })
	r.put(1, "1", "new")
	r.pass(300 * time.Millisecond) // everybody knows that it was answered
	r.handOver(1, 0)
	r.late = nil
	for _, m := range r.underWay {
		r.servers[2].Receive(r.now, bootOf, m)
	}
	r.mend(0, 2)
	r.dead[0], r.dead[1] = true, true
	r.depose(2, []int{0, 1}, 2)
	r.pass(2 * time.Second)
	r.get(2, "1", "new")
}

// A copy has a write of a primary that lost it with the slot, hears of nothing, and
// next of a map in which the same server is primary again.
func TestLostWriteIsNotAnswered(t *testing.T) {
	r := newRig(t, 3, 3)
	r.fresh()
	r.put(0, "k", "old")
	r.joined(1)
	r.joined(2)
	r.part(0, 1)
	r.want(r.do(0, "k", "lost", msg.Op{}), "")
	r.part(0, 2)
	r.part(1, 2)
	r.depose(1, []int{0}, 0, 1)
	r.mend(0, 1)
	r.rows(func(row *slots.Row) { row.Set(0, slots.Filling) }, 0, 1)
	r.rows(func(row *slots.Row) { row.Set(0, slots.Joining) }, 0, 1)
	r.pass(server.DefaultLease + 100*time.Millisecond)
	r.rows(func(row *slots.Row) { row.Set(0, slots.InSync) }, 0, 1)
	r.handOver(1, 0)
	r.mend(1, 2)
	r.mend(0, 2)
	r.get(0, "k", "old")
	r.put(0, "k", "new")
	r.dead[0], r.dead[1] = true, true
	r.depose(2, []int{0, 1}, 2)
	r.pass(2 * time.Second)
	r.get(2, "k", "new")
}

// Two primaries are deposed one after the other, and the second is proven dead: the
// promise to the first is yet to be waited for.
func TestPromiseToWhoWasDeposedBefore(t *testing.T) {
	r := newRig(t, 3, 3)
	r.fresh()
	r.put(0, "k", "old")
	r.joined(1)
	r.joined(2)
	r.part(0, 1)
	r.part(0, 2)
	r.depose(1, []int{0}, 1, 2)
	r.dead[1] = true
	r.servers[2].Gone(r.now, bootOf+1)
	r.depose(2, []int{1}, 2)
	r.pass(300 * time.Millisecond)
	q := r.do(2, "k", "new", msg.Op{})
	r.get(0, "k", "old")
	r.want(q, "")
	r.pass(server.DefaultLease)
	r.want(q, "done")
}

// The acknowledgement of a fill is lost with the connection that it went over.
func TestAckIsRepeated(t *testing.T) {
	r := newRig(t, 2, 2)
	r.fresh()
	r.put(0, "k", "x")
	r.cut[[2]int{1, 0}] = true
	r.rows(func(row *slots.Row) { row.Set(1, slots.Filling) })
	told[*msg.Filled](r, 0)
	delete(r.cut, [2]int{1, 0})
	r.servers[1].Disconnected(r.now, bootOf)
	r.servers[1].Connected(r.now, bootOf)
	r.pass(time.Second)
	if len(told[*msg.Filled](r, 0)) == 0 {
		t.Error("the master isn't told that the copy is filled")
	}
}

// A slot is handed over while copies don't know yet that its last writes were
// answered. Its new primary dies while it sends them again: they are there.
func TestAnsweredWritesAreNeverUndone(t *testing.T) {
	r := newRig(t, 3, 3)
	r.fresh()
	r.joined(1)
	r.joined(2)
	const n = 400 // more than go into one batch
	var all []*request
	for i := range n {
		q := &request{value: []byte("x")}
		q.call = server.Call{Keys: [][]byte{fmt.Append(nil, 1+i*slots.Count)}, Exec: q}
		r.servers[0].Do(r.now, &q.call)
		all = append(all, q)
	}
	r.settle()
	for _, q := range all {
		r.want(q, "done")
	}
	r.giveUp(0, 1)
	r.part(0, 1)
	r.part(0, 2)
	r.part(1, 2)
	r.late = map[[2]int]bool{{1, 2}: true}
	r.rows(func(row *slots.Row) {
		row.Primary = 1
		row.Remove(1)
		row.Set(0, slots.InSync)
	}, 1)
	for _, m := range r.underWay {
		r.servers[2].Receive(r.now, bootOf+1, m)
		if _, ok := m.(*msg.Batch); ok {
			break // the others are lost
		}
	}
	r.dead[0], r.dead[1] = true, true
	r.depose(2, []int{0, 1}, 2)
	r.pass(2 * time.Second)
	for _, q := range all {
		r.get(2, string(q.call.Keys[0]), "x")
	}
}

// A fill is reported, and begins again because its primary has not seen a map; by
// its word of before the copy joins meanwhile. It is not taken for whole before it is.
func TestFillThatBeginsAgainAfterItWasReported(t *testing.T) {
	r := newRig(t, 2, 2)
	r.fresh()
	r.put(0, "20000", "old") // in one of the slots that are filled last
	r.rows(func(row *slots.Row) { row.Set(1, slots.Filling) })
	if len(told[*msg.Filled](r, 0)) == 0 {
		t.Fatal("the fill was not reported")
	}
	r.cut[[2]int{1, 0}] = true
	r.issue(func(*slots.Map) {}, 1)
	r.issue(func(*slots.Map) {})
	r.rows(func(row *slots.Row) { row.Set(1, slots.Joining) })
	r.pass(100 * time.Millisecond)
	for _, b := range told[*msg.Beat](r, 0) {
		if b.Acked == r.m.Epoch {
			t.Fatal("the epoch was acknowledged")
		}
	}
	q := r.do(0, "20000", "new", msg.Op{})
	r.mend(0, 1)
	r.pass(300 * time.Millisecond)
	r.want(q, "done")
	if b := told[*msg.Beat](r, 0); len(b) == 0 || b[len(b)-1].Acked != r.m.Epoch {
		t.Fatalf("the epoch was not acknowledged: %v", b)
	}
	r.rows(func(row *slots.Row) { row.Set(1, slots.InSync) })
	r.dead[0] = true
	r.depose(1, []int{0}, 1)
	r.pass(2 * time.Second)
	r.get(1, "20000", "new")
	if f := r.servers[1].Faults(); f > 0 {
		t.Errorf("%d slots to be served that aren't whole", f)
	}
}
