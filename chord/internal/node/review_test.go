package node

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/torc-dht/torc/chord/internal/msg"
)

// large fills a ring with what takes a while to be copied.
func large(r *rig, keys int) map[string]string {
	r.t.Helper()
	want := make(map[string]string)
	for i := range keys {
		key := fmt.Sprint("large", i)
		want[key] = strings.Repeat("x", 20_000) + key
		r.put(key, want[key])
	}
	return want
}

// holdsUnder is what n is being sent of what owner owns; nil if that is nothing.
func holdsUnder(n, owner *Node) *holding {
	for i := range n.holds {
		if h := &n.holds[i]; h.Claim.Owner == owner.Self() && h.fill != 0 {
			return h
		}
	}
	return nil
}

// TestRefilledIsNotComplete: who was silent, and is sent everything anew, has not got
// what was written meanwhile until all of it is there, even if its owner dies before.
func TestRefilledIsNotComplete(t *testing.T) {
	t.Parallel()
	r := newRig(t, 8, 1)
	owner := r.start("200", nil)
	holder := r.join("10", owner)
	r.join("20", owner)
	r.join("30", owner)
	want := large(r, 60)
	r.whole(want)
	r.frozen[holder.Self().Boot] = true
	r.run(time.Second)
	r.until(10*time.Second, func() bool { return owner.own.firm })
	for key := range want {
		want[key] = "new"
		r.put(key, "new")
	}
	for i := range 200 { // so that there is something to send
		key := fmt.Sprint("more", i)
		want[key] = strings.Repeat("y", 20_000)
		r.put(key, want[key])
	}
	r.frozen[holder.Self().Boot] = false
	r.until(5*time.Second, func() bool { return holdsUnder(holder, owner) != nil })
	if holdsUnder(holder, owner).Complete {
		t.Error("it says that it has everything")
	}
	r.kill(owner)
	r.whole(want)
}

// TestGivenBackIsNotComplete: who was taken over from while it was frozen, and is given
// its share back, has not got what was written meanwhile until all of it is there.
func TestGivenBackIsNotComplete(t *testing.T) {
	t.Parallel()
	r := newRig(t, 8, 1)
	first := r.start("200", nil)
	next := r.join("10", first)
	r.join("20", first)
	r.join("30", first)
	want := large(r, 60)
	r.whole(want)
	r.frozen[first.Self().Boot] = true
	r.run(time.Second)
	r.until(10*time.Second, func() bool { return covers(next.own.claim.Span, first.Self().Place) && next.own.firm })
	for key := range want {
		want[key] = "new"
		r.put(key, "new")
	}
	for i := range 200 {
		key := fmt.Sprint("more", i)
		want[key] = strings.Repeat("y", 20_000)
		r.put(key, want[key])
	}
	r.frozen[first.Self().Boot] = false
	r.until(5*time.Second, func() bool { return holdsUnder(first, next) != nil })
	r.kill(next)
	r.whole(want)
}

// TestHolderDiesBeforeGrant: a leaving node grants all that it has when the last holder
// that its writes waited for is dead.
func TestHolderDiesBeforeGrant(t *testing.T) {
	t.Parallel()
	r := newRig(t, 8, 2)
	leaver := r.start("200", nil)
	r.join("10", leaver)
	second := r.join("20", leaver)
	r.join("30", leaver)
	want := fillUp(r, 30)
	r.whole(want)
	r.cut[[2]uint64{leaver.Self().Boot, second.Self().Boot}] = true
	key := ""
	for k := range want {
		if r.whose(k, nil) == leaver {
			key = k
		}
	}
	leaver.Do(r.time(), &Call{Keys: [][]byte{[]byte(key)}, Exec: &op{key: key, value: "new"}, Op: opID(1)})
	want[key] = "new"
	leaver.Leave(r.time())
	r.flush(leaver)
	r.run(20 * time.Millisecond)
	if leaver.own == nil || leaver.own.handing == nil || !leaver.own.handing.frozen || leaver.writes.len() == 0 {
		t.Fatal("it doesn't wait\n", r.dump())
	}
	clear(r.cut)
	r.kill(second)
	leaver.Down(r.time(), second.Self(), true)
	r.flush(leaver)
	r.until(10*time.Second, leaver.Left)
	r.whole(want)
}

// TestNumbersAreKept: a node to which items were sent is not forgotten while it may
// live, for it passes over what has a number that it had.
func TestNumbersAreKept(t *testing.T) {
	t.Parallel()
	r := newRig(t, 8, 1)
	a := r.start("200", nil)
	b := r.join("10", a)
	r.whole(nil)
	p := a.peers[b.Self()]
	p.taken = 0
	p.at, p.met, a.tidyAt = -time.Hour, -time.Hour, 0
	a.tidy()
	if a.peers[b.Self()] != p {
		t.Fatal("forgotten after", p.acked, "items")
	}
}

// TestAllLeave: the nodes of a ring that all leave at once do come to an end.
func TestAllLeave(t *testing.T) {
	t.Parallel()
	for nodes := 2; nodes < 5; nodes++ {
		r := newRig(t, 8, 1)
		first := r.start("200", nil)
		for i := 1; i < nodes; i++ {
			r.join(fmt.Sprint(10*i), first)
		}
		r.whole(fillUp(r, 30))
		for _, b := range r.boots {
			r.nodes[b].Leave(r.time())
			r.flush(r.nodes[b])
		}
		r.until(20*time.Second, func() bool { return len(r.boots) == 0 })
	}
}

// TestHeirFrozen: a leaving node whose successor is frozen before it takes what it is
// granted has it taken by the next one.
func TestHeirFrozen(t *testing.T) {
	t.Parallel()
	r := newRig(t, 8, 1)
	leaver := r.start("200", nil)
	heir := r.join("10", leaver)
	r.join("20", leaver)
	want := fillUp(r, 30)
	r.whole(want)
	leaver.Leave(r.time())
	r.until(time.Second, func() bool {
		p := leaver.peers[heir.Self()]
		return p.passing != nil
	})
	r.frozen[heir.Self().Boot] = true
	r.until(10*time.Second, leaver.Left)
	r.frozen[heir.Self().Boot] = false
	r.whole(want)
}

// TestDropOfWhatIsAnothers: a node is told to drop what it holds of a span by who owned
// that once. What it holds there of others stays.
func TestDropOfWhatIsAnothers(t *testing.T) {
	t.Parallel()
	r := newRig(t, 8, 1)
	first := r.start("200", nil)
	holder := r.join("10", first)
	other := r.join("20", first)
	r.whole(fillUp(r, 30))
	h := holder.holds[0]
	c := other.own.claim
	c.Term.Number = h.Claim.Term.Number + 10
	holder.take(holder.peer(other.Self()), 0, &msg.Item{Kind: msg.Drop, Span: h.Span, Claim: c})
	if x := holder.holdAt(h.Span.To); x == nil || x.Claim.Owner != h.Claim.Owner {
		t.Fatal("dropped\n", r.dump())
	}
}

// TestFillDuringFetch: who fetches a span to take it over, and is made a holder of it by
// another one that was faster, fetches no more.
func TestFillDuringFetch(t *testing.T) {
	t.Parallel()
	r := newRig(t, 8, 1)
	n := r.start("200", nil)
	other := r.join("10", n)
	r.whole(fillUp(r, 30))
	p, c := n.peer(other.Self()), other.own.claim
	best := msg.Holding{Span: c.Span, Claim: c, Complete: true}
	n.gap = &gap{span: c.Span, pieces: []*piece{{span: c.Span, best: best, from: p.ref, want: 77}}}
	c.Term.Number++
	n.take(p, 0, &msg.Item{Kind: msg.Begin, Purpose: msg.ToTake, Span: c.Span, Claim: best.Claim, Nonce: 77})
	n.take(p, 0, &msg.Item{Kind: msg.Begin, Span: c.Span, Claim: c, Nonce: 5})
	n.take(p, 0, &msg.Item{Kind: msg.End, Purpose: msg.ToTake, Span: c.Span, Nonce: 77})
	if h := n.holdAt(c.Span.To); h == nil || h.fill != 5 {
		t.Fatalf("%+v", h)
	}
}

// TestRefusedTogether: a holder that lacks everything is sent it once, however many
// writes it refuses.
func TestRefusedTogether(t *testing.T) {
	t.Parallel()
	r := newRig(t, 8, 1)
	owner := r.start("200", nil)
	holder := r.join("10", owner)
	want := large(r, 60)
	r.whole(want)
	holder.unhold(owner.own.claim.Span)
	before := owner.nonce
	for i := range 100 {
		key := fmt.Sprint("large", i%60)
		if r.whose(key, nil) == owner {
			want[key] = fmt.Sprint("new", i)
			owner.Do(r.time(), &Call{Keys: [][]byte{[]byte(key)}, Exec: &op{key: key, value: want[key]}})
			owner.Flush(r.time())
		}
	}
	for _, o := range owner.Out() { // each in a frame of its own
		r.wire = append(r.wire, parcel{r.now + time.Millisecond, owner.Self(), o.To, o.Message})
	}
	r.whole(want)
	if fills := owner.nonce - before; fills > 3 {
		t.Fatal(fills, "fills")
	}
}

// TestLeavesCopiesBehind: when a node has left, all have as many copies as before. So
// whoever dies next takes nothing along.
func TestLeavesCopiesBehind(t *testing.T) {
	t.Parallel()
	for _, victim := range []string{"128", "250"} {
		r := newRig(t, 8, 1)
		leaver := r.start("192", nil)
		nodes := map[string]*Node{"64": r.join("64", leaver), "128": r.join("128", leaver), "250": r.join("250", leaver)}
		want := large(r, 200)
		r.whole(want)
		leaver.Leave(r.time())
		r.until(10*time.Second, leaver.Left)
		r.kill(nodes[victim])
		r.whole(want)
	}
}

// TestFillLeavesNoRecords: who is sent all that there is of a span has no record of a
// write there that its owner doesn't know of, even if it had no entries.
func TestFillLeavesNoRecords(t *testing.T) {
	t.Parallel()
	r := newRig(t, 8, 1)
	owner := r.start("200", nil)
	holder := r.join("10", owner)
	r.whole(nil)
	at := owner.Self().Place
	holder.data.Record(msg.Record{Op: opID(5), Place: at, Stamp: 1})
	owner.fill(owner.own.holders[0], owner.own.claim.Span)
	r.run(100 * time.Millisecond)
	if _, known, _ := holder.data.Recall(opID(5)); known || !holder.holdAt(at).Complete {
		t.Fatal(known, r.dump())
	}
}

// TestPromiseIsForAClaim: what was promised to a node before it claimed a span is not
// for that span.
func TestPromiseIsForAClaim(t *testing.T) {
	t.Parallel()
	r := newRig(t, 8, 1)
	n := r.start("200", nil)
	first := r.join("10", n)
	r.whole(nil)
	p := n.peer(first.Self())
	if !n.mayServe() {
		t.Fatal("no promise")
	}
	asked := n.now.Mono
	r.now += time.Millisecond
	n.at(r.time())
	n.raise(n.own.claim.Term)
	if n.ponged(p, &msg.Pong{Sent: asked, Promise: true}); n.mayServe() {
		t.Fatal("it serves what nothing is promised for")
	}
	if n.ponged(p, &msg.Pong{Sent: n.now.Mono, Promise: true}); !n.mayServe() {
		t.Fatal("it doesn't serve")
	}
}

// TestGravesSpread: that somebody is lost who may come back is known to nodes that don't
// know that one, so that what is removed there doesn't come back with it.
func TestGravesSpread(t *testing.T) {
	t.Parallel()
	r := newRig(t, 8, 1)
	n := r.start("200", nil)
	other := r.join("10", n)
	r.whole(nil)
	other.own.claim.Graves = n.micros() + 1e9
	r.run(time.Second)
	if n.own.claim.Graves != other.own.claim.Graves {
		t.Fatal(n.own.claim.Graves)
	}
}
