package server_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/torc-dht/torc/shard/internal/msg"
	"github.com/torc-dht/torc/shard/internal/server"
	"github.com/torc-dht/torc/shard/slots"
)

// replace makes one of a rig's servers another one, before there is a map.
func (r *rig) replace(i int, c server.Config) {
	c.Addr, c.Boot = r.m.Servers[i].Addr, r.m.Servers[i].Boot
	r.servers[i] = server.New(c)
	r.servers[i].Connected(r.now, server.Master)
	r.servers[i].Receive(r.now, server.Master, &msg.Prepare{Term: 1, Boot: 7})
}

// A copy has less room than there is to be copied. It takes what was on its way
// when that was known, and no more.
func TestFullCopyIsFilledNoFurther(t *testing.T) {
	r := newRig(t, 2, 2)
	const limit = 128 << 10
	r.replace(1, server.Config{Limit: limit})
	r.fresh()
	for i := range 90 {
		r.put(0, fmt.Sprint(i), strings.Repeat("v", 10<<10))
	}
	r.rows(func(row *slots.Row) { row.Set(1, slots.Filling) })
	r.pass(time.Second)
	if _, bytes := r.servers[1].Usage(); bytes < limit || bytes > limit+server.DefaultWindow+64<<10 {
		t.Errorf("holds %d bytes, and may %d", bytes, limit)
	}
	if f := told[*msg.Filled](r, 0); len(f) > 0 {
		t.Errorf("the master was told %v", f)
	}
}

// A copy is being filled and can't be reached. What is written meanwhile doesn't
// gather in its queue for ever.
func TestFillIsDroppedWhenCutOff(t *testing.T) {
	r := newRig(t, 2, 2)
	r.fresh()
	r.rows(func(row *slots.Row) { row.Set(1, slots.Filling) })
	r.part(0, 1)
	r.servers[0].Disconnected(r.now, bootOf+1)
	r.put(0, "1", "x")
	r.pass(400 * time.Millisecond)
	if d := told[*msg.DropCopy](r, 0); len(d) > 0 {
		t.Fatalf("the master was asked too early: %v", d)
	}
	r.pass(300 * time.Millisecond)
	if d := told[*msg.DropCopy](r, 0); len(d) == 0 || d[0].Boot != bootOf+1 {
		t.Errorf("the master was asked: %v", d)
	}
	r.rows(func(row *slots.Row) { row.Remove(1) }, 0)
	told[*msg.DropCopy](r, 0)
	r.pass(time.Second)
	if d := told[*msg.DropCopy](r, 0); len(d) > 0 {
		t.Errorf("the master was asked again: %v", d)
	}
}

// A write waits for a second copy. One that joins counts when it has the write.
func TestJoiningCopyIsWaitedFor(t *testing.T) {
	r := newRig(t, 2, 2)
	r.m.MinCopies = 2
	r.fresh()
	r.rows(func(row *slots.Row) { row.Set(1, slots.Filling) })
	r.cut[[2]int{0, 1}] = true
	q := r.do(0, "1", "x", msg.Op{})
	r.want(q, "")
	r.rows(func(row *slots.Row) { row.Set(1, slots.Joining) })
	r.pass(20 * time.Millisecond)
	r.want(q, "")
	r.mend(0, 1)
	r.want(q, "done")
}

// A client that never says which of its writes were answered is remembered for as
// long as any other.
func TestWritesOfABusyClientAreForgotten(t *testing.T) {
	r := newRig(t, 1, 1)
	r.replace(0, server.Config{Limit: 1 << 20, Remember: 10 * time.Second})
	r.fresh()
	number := uint64(0)
	put := func() {
		number++
		r.want(r.do(0, "1", "x", msg.Op{Client: 5, Number: number}), "done")
	}
	for range 20 {
		put()
	}
	r.pass(55 * time.Second) // all slots are looked through in that
	put()
	r.pass(time.Second)
	if _, ops := r.servers[0].Dump(slots.Of("1")); len(ops) != 1 {
		t.Errorf("%d writes are remembered, want 1: %v", len(ops), ops)
	}
}

// A copy doesn't answer, and no map comes: whoever waits is told at last that
// nobody knows. The write stands.
func TestAnswersAreNotHeldForEver(t *testing.T) {
	r := newRig(t, 2, 2)
	r.fresh()
	r.joined(1)
	r.part(0, 1)
	op := msg.Op{Client: 5, Number: 1, Oldest: 1}
	w := r.do(0, "1", "x", op)
	again := r.do(0, "1", "x", op)
	read := r.do(0, "1", "", msg.Op{})
	r.pass(server.DefaultHold - time.Second)
	r.want(w, "")
	r.want(again, "")
	r.want(read, "")
	r.pass(2 * time.Second)
	r.want(w, "unknown")
	r.want(again, "unknown")
	r.want(read, "unavailable")
	r.mend(0, 1)
	r.pass(time.Second)
	r.get(0, "1", "x")
	r.want(r.do(0, "1", "x", op), "done before")
}

// A server that was stopped for a while doesn't take for the silence of others what
// was its own.
func TestOwnSleepIsNobodysSilence(t *testing.T) {
	r := newRig(t, 2, 2)
	r.fresh()
	r.joined(1)
	q := &request{value: []byte("x")}
	q.call = server.Call{Keys: [][]byte{[]byte("1")}, Exec: q}
	r.servers[0].Do(r.now, &q.call)
	told[*msg.DropCopy](r, 0)
	r.now.Mono += int64(3 * time.Second)
	r.servers[0].Tick(r.now) // what has come meanwhile is not taken in yet
	if silent := r.servers[0].Silent(r.now); len(silent) > 0 {
		t.Errorf("%v are silent", silent)
	}
	r.settle()
	if d := told[*msg.DropCopy](r, 0); len(d) > 0 {
		t.Errorf("the master was asked: %v", d)
	}
	r.want(q, "done")
}

// What is remembered of a slot goes in parts, however much it is.
func TestFillOfManyWrites(t *testing.T) {
	r := newRig(t, 2, 2)
	r.fresh()
	const n = 5000
	for i := range n {
		r.want(r.do(0, "1", "x", msg.Op{Client: 5, Number: uint64(i + 1)}), "done")
	}
	r.late = map[[2]int]bool{{0, 1}: true}
	r.rows(func(row *slots.Row) { row.Set(1, slots.Filling) })
	for _, m := range r.underWay {
		if b, ok := m.(*msg.Batch); ok {
			for _, it := range b.Items {
				if len(it.Ops) > 1000 {
					t.Errorf("%d writes in one item", len(it.Ops))
				}
			}
		}
	}
	if _, ops := r.servers[1].Dump(1); len(ops) != n {
		t.Errorf("the copy remembers %d writes, not %d", len(ops), n)
	}
}
