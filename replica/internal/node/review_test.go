package node

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/torc-dht/torc/replica/internal/msg"
)

// TestNothingIsLostWhileOneComesBack kills three of four at each instant while the
// fourth, which they had ejected, is taken in again, and looks for what was answered
// when that one counted.
func TestNothingIsLostWhileOneComesBack(t *testing.T) {
	t.Parallel()
	// back returns four servers of which the leader l has ejected number 3, which can
	// just be heard again.
	back := func() (w *little, l int) {
		w = startAll(t, 4)
		l = w.nodes[0].Leader()
		w.run(time.Second)
		for s := range 3 {
			w.sever(s, 3)
		}
		w.run(320 * time.Millisecond)
		for s := range 3 {
			w.mend(s, 3)
		}
		return w, l
	}
	in := func(n *Node) bool { return len(n.g.appliedView().Members) == 4 }
	w, l := back()
	var takes time.Duration
	for ; !in(w.nodes[l]); takes += step {
		w.run(step)
	}
	seen := false
	for wait := takes; wait < takes+time.Millisecond; wait += 4 * step {
		w, l := back()
		w.run(takes - 3*time.Millisecond)
		asked := map[string]uint64{}
		for d := takes - 3*time.Millisecond; d < wait; d += step {
			key := fmt.Sprint("k", len(asked))
			asked[key] = w.put(l, key, "v")
			w.run(step)
		}
		if !in(w.nodes[l]) {
			continue
		}
		seen = true
		for s := range 3 {
			w.kill(s)
		}
		for key, ref := range asked {
			if a, ok := w.got[ref]; ok && a.Err == nil {
				if g := w.want(w.get(3, key), 5*time.Second); string(g.Result.Old) != "v" {
					t.Errorf("killed %v after it was a member: lost %s, which was answered %+v; now %+v", wait-takes, key, a.Result, g.Result)
					break
				}
			}
		}
	}
	if !seen {
		t.Error("the other was never a member")
	}
}

// TestOpenStaysOpen: a leader that has waited for who was about to join doesn't wait
// again for one that comes back.
func TestOpenStaysOpen(t *testing.T) {
	t.Parallel()
	w := startAll(t, 4)
	l := w.nodes[0].Leader()
	s := (l + 1) % 4
	w.kill(s)
	w.run(10 * time.Millisecond)
	w.cut[[2]int{l, s}] = true // the leader hears it, and it doesn't get on
	w.start(s)
	w.run(10 * time.Millisecond)
	w.want(w.put(l, "k", "v"), 20*time.Millisecond)
}

// TestReadsOutliveTheirVoters: two of three die, the second one just as the leader
// becomes the only voter: the reads that were to be confirmed by it are answered.
func TestReadsOutliveTheirVoters(t *testing.T) {
	t.Parallel()
	seen := false
	for wait := 2 * time.Millisecond; wait < 4*time.Millisecond; wait += step {
		w := startAll(t, 3)
		l := w.nodes[0].Leader()
		w.kill((l + 2) % 3)
		for end := w.now + wait; w.now < end; w.run(step) {
			w.get(l, "k")
		}
		w.kill((l + 1) % 3)
		w.run(10 * time.Millisecond)
		g := w.nodes[l].g
		if len(g.conf().GetVoters()) > 1 || len(g.conf().GetVotersOutgoing()) > 0 {
			continue
		}
		seen = true
		for ref := uint64(1); ref <= w.ref; ref++ {
			if _, ok := w.got[ref]; !ok {
				t.Fatalf("killed after %v: read %d of %d isn't answered, %d rounds wait", wait, ref, w.ref, len(g.lead_.rounds))
			}
		}
	}
	if !seen {
		t.Error("the leader was never the only voter")
	}
}

// loaded returns two servers, of which the first has several chunks of data, and the
// second has just been started.
func loaded(t *testing.T) *little {
	w := newLittle(t, 2)
	w.start(0)
	w.run(1300 * time.Millisecond)
	for i := range 2 * chunkWindow {
		w.want(w.put(0, fmt.Sprint("big", i), strings.Repeat("v", 2*chunkBytes)), time.Second)
	}
	w.start(1)
	return w
}

// until runs until a letter is under way that f holds of, and returns it.
func (w *little) until(f func(letter) bool) letter {
	w.t.Helper()
	for end := w.now + 5*time.Second; w.now < end; w.run(step) {
		if i := slices.IndexFunc(w.mail, f); i >= 0 {
			return w.mail[i]
		}
	}
	w.t.Fatal("there is no such letter")
	return letter{}
}

// TestSnapshotWhoseAcknowledgementsAreLost: the connection back breaks, of which the
// sender of a snapshot hears nothing.
func TestSnapshotWhoseAcknowledgementsAreLost(t *testing.T) {
	t.Parallel()
	w := loaded(t)
	w.until(func(l letter) bool { return l.m.Kind == msg.KindChunkOK })
	w.mail = slices.DeleteFunc(w.mail, func(l letter) bool { return l.from == 1 })
	w.nodes[1].Disconnected(w.now, 0, false)
	w.nodes[1].Connected(w.now, 0)
	w.settle(5 * time.Second)
}

// TestSnapshotIsTakenAtOnce: another leader begins with one before the node that has
// got the first has done anything with it.
func TestSnapshotIsTakenAtOnce(t *testing.T) {
	t.Parallel()
	w := loaded(t)
	l := w.until(func(l letter) bool {
		return slices.ContainsFunc(l.m.Raft, func(r *raftpb.Message) bool { return r.Snapshot != nil })
	})
	w.run(l.at - w.now)
	n := w.nodes[1]
	for _, o := range w.mail {
		if o.to == 1 && o.at <= l.at {
			n.Receive(w.now, 0, o.m)
		}
	}
	w.mail = slices.DeleteFunc(w.mail, func(o letter) bool { return o.to == 1 && o.at <= l.at })
	n.Receive(w.now, 0, &msg.Message{Kind: msg.KindChunk, Epoch: l.m.Epoch, From: l.m.From ^ 4, To: l.m.To, Ref: 1, Data: msg.AppendView(nil, &msg.View{Number: 1})})
	w.settle(5 * time.Second)
}

// TestHandedToALeaderThatIsOneNoMore: what a follower has handed to it is not left
// there when the others have another leader, though it can still be heard.
func TestHandedToALeaderThatIsOneNoMore(t *testing.T) {
	t.Parallel()
	w := startAll(t, 3)
	w.run(time.Second)
	l := w.nodes[0].Leader()
	f, o := (l+1)%3, (l+2)%3
	w.sever(l, o)
	w.cut[[2]int{f, l}] = true
	if a := w.want(w.put(f, "k", "v"), 1500*time.Millisecond); a.Err != nil {
		t.Error(a.Err)
	}
}

// TestByWayOfAnother: a server that can't reach the leader is served by way of one
// that can.
func TestByWayOfAnother(t *testing.T) {
	t.Parallel()
	w := startAll(t, 3)
	w.run(time.Second)
	l := w.nodes[0].Leader()
	f := (l + 1) % 3
	// Its words to the leader get lost, and it knows.
	w.cut[[2]int{f, l}] = true
	w.nodes[f].Disconnected(w.now, l, false)
	for range 20 {
		if a := w.want(w.put(f, "k", "v"), 2500*time.Millisecond); a.Err != nil || a.Result.Degraded != 0 {
			t.Error(w.now, a)
		}
		w.run(50 * time.Millisecond)
	}
}

// TestServedWhileItJoins: a server that has been taken in, and has yet to be sent
// what there is, passes on what it is asked.
func TestServedWhileItJoins(t *testing.T) {
	t.Parallel()
	w := loaded(t)
	chunk := func(l letter) bool { return l.m.Kind == msg.KindChunk }
	w.until(chunk)
	ref := w.get(1, "big1")
	for range 200 {
		w.mail = slices.DeleteFunc(w.mail, chunk)
		w.run(step)
	}
	if a, ok := w.got[ref]; !ok || !a.Result.Found {
		t.Error(a, w.nodes[1].Status())
	}
}

// TestQuestionsDontPileUp: a leader that can't answer for long, and is asked again
// and again.
func TestQuestionsDontPileUp(t *testing.T) {
	t.Parallel()
	w := newLittle(t, 2)
	w.start(0)
	n := w.nodes[0]
	n.c.RefuseMinority = true
	n.Receive(w.now, 1, &msg.Message{Kind: msg.KindReport, Report: &msg.Report{ID: msg.NewID(1, 77)}})
	n.Disconnected(w.now, 1, true)
	w.run(1300 * time.Millisecond)
	n.found()
	w.run(10 * time.Millisecond)
	for ref := range uint64(1000) {
		n.Receive(w.now, 1, &msg.Message{Kind: msg.KindRead, Epoch: n.g.epoch, Ref: ref})
	}
	if k := len(n.g.lead_.asked); k > readRounds {
		t.Error(k)
	}
}

// TestForgetNobody: what is to be given up is none of the servers.
func TestForgetNobody(t *testing.T) {
	t.Parallel()
	w := newLittle(t, 1)
	w.start(0)
	w.settle(3 * time.Second)
	for _, slot := range []uint64{0, 1, msg.MaxNodes, 1 << 63} {
		w.ref++
		w.nodes[0].Do(w.now, w.ref, &msg.Op{Kind: msg.Forget, Version: msg.Version{Seq: slot}})
		if a := w.want(w.ref, time.Second); a.Result.Status != msg.Conflict {
			t.Error(slot, a)
		}
	}
}

// TestLeaderIsLeftAlone: the one of four that survives is the leader. It has seen the
// others die, and doesn't wait for their silence.
func TestLeaderIsLeftAlone(t *testing.T) {
	t.Parallel()
	w := startAll(t, 4)
	w.run(time.Second)
	l := w.nodes[0].Leader()
	for s := range 4 {
		if s != l {
			w.nodes[s] = nil
		}
	}
	for s := range 4 {
		if s != l {
			w.kill(s)
		}
	}
	if a := w.want(w.put(l, "k", "v"), 20*time.Millisecond); a.Err != nil || a.Result.Degraded == 0 {
		t.Error(a)
	}
}

// TestOneSnapshotIsEnough: while a server is taken in, more is written than the log
// keeps otherwise.
func TestOneSnapshotIsEnough(t *testing.T) {
	t.Parallel()
	w := loaded(t)
	sent := 0
	w.nodes[0].c.Sometimes = func(name string) {
		if name == "sends a snapshot" {
			sent++
		}
	}
	w.until(func(l letter) bool { return l.m.Kind == msg.KindChunkOK })
	w.frozen[1] = true
	value := strings.Repeat("v", 1<<20)
	for range 3 * keepBytes >> 20 {
		w.want(w.put(0, "k", value), time.Second)
	}
	delete(w.frozen, 1)
	for end := w.now + 50*time.Millisecond; w.now < end; w.run(step) {
		w.put(0, "k", "v")
	}
	w.settle(5 * time.Second)
	if sent != 1 {
		t.Errorf("%d snapshots", sent)
	}
	if b := w.nodes[0].g.bytes; b > 2*keepBytes {
		t.Errorf("the log has %d bytes afterwards", b)
	}
}

// TestHandingOverIsNotBeingAlone: who has found no taker for its writes for a while,
// when the leader that it gives them to dies, doesn't found an epoch beside the one
// that goes on from there.
func TestHandingOverIsNotBeingAlone(t *testing.T) {
	t.Parallel()
	w := startAll(t, 3)
	l := w.nodes[0].Leader()
	giver, other := (l+1)%3, (l+2)%3
	w.sever(giver, l)
	w.sever(giver, other)
	w.want(w.put(giver, "k", "v"), 3*time.Second)
	w.mend(giver, l)
	w.mend(giver, other)
	w.lose = func(l letter) bool { return l.from == giver && l.m.Kind == msg.KindOps }
	w.run(3 * time.Second)
	if w.nodes[giver].heal == nil {
		t.Fatal("it has handed its writes over, and nobody could have heard it")
	}
	w.lose = nil
	w.kill(l)
	for end := w.now + time.Second; w.now < end; w.run(step) {
		if w.nodes[giver].Leader() == giver {
			t.Fatal("it founded an epoch of its own")
		}
	}
	if a := w.want(w.get(other, "k"), time.Second); string(a.Result.Old) != "v" {
		t.Error("its write is lost:", a)
	}
}

// TestJustCome: who holds an epoch that it left doesn't pass over a server that has
// just connected and not yet told how it stands.
func TestJustCome(t *testing.T) {
	t.Parallel()
	w := newLittle(t, 3)
	w.start(0)
	w.start(1)
	w.run(3 * time.Second)
	giver := w.nodes[1]
	giver.leave()
	giver.Connected(w.now, 2)
	giver.Disconnected(w.now, 0, true)
	if yes, _ := giver.settled(true); yes {
		t.Error("one is connected and hasn't said how it stands")
	}
	giver.Disconnected(w.now, 2, true)
	if yes, _ := giver.settled(true); !yes {
		t.Error("both others are dead")
	}
}

// TestNumbersDiffer: epochs that servers found at one time have other numbers, and so
// their writes other versions.
func TestNumbersDiffer(t *testing.T) {
	t.Parallel()
	w := startAll(t, 3)
	for s := range 3 {
		w.sever(s, (s+1)%3)
	}
	seen := map[uint64]int{}
	for s := range 3 {
		a := w.want(w.put(s, "k", "v"), 5*time.Second)
		if o, twice := seen[a.Result.Version.Epoch]; twice {
			t.Errorf("%d and %d both write in epoch %d", o, s, a.Result.Version.Epoch)
		}
		seen[a.Result.Version.Epoch] = s
	}
}
