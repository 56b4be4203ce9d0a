package state

import (
	"fmt"
	"testing"

	"github.com/torc-dht/torc/replica/internal/msg"
)

// fork is where two lineages part: after two writes of epoch 1.
var fork = msg.Point{Epoch: msg.Epoch{Number: 1, Founder: 4}, Seq: 2}

// parted returns two states with what they have in common, at time 100: a and b.
func parted(t *testing.T) (ours, theirs *State) {
	ours = New(Limits{})
	ours.Apply(1, 100, put("a", "common"))
	ours.Apply(1, 100, put("b", "common"))
	theirs, err := reload(ours, 100)
	if err != nil {
		t.Fatal(err)
	}
	return ours, theirs
}

// hand merges what theirs wrote since the fork into ours, in epoch 3, and returns
// what became of it.
func hand(ours, theirs *State, cond msg.Cond) string {
	var s string
	for _, op := range theirs.Since(fork) {
		op.Cond = cond
		s += fmt.Sprintf("%s: %s\n", op.Key, show(ours.Apply(3, 0, op)))
	}
	merged, dropped := ours.Dropped()
	return s + fmt.Sprintf("%d merged, %d dropped", merged, dropped)
}

// A lineage that kept its quorum takes over what it has not written itself.
func TestMergeIntoQuorum(t *testing.T) {
	t.Parallel()
	ours, theirs := parted(t)
	ours.Apply(1, 110, put("a", "ours"))
	ours.Apply(1, 110, put("gone", "ours"))
	ours.Apply(1, 110, remove("gone"))
	theirs.Apply(2, 200, put("new", "first"))
	theirs.Apply(2, 200, put("a", "theirs"))
	theirs.Apply(2, 200, put("gone", "theirs"))
	theirs.Apply(2, 200, remove("b"))
	theirs.Apply(2, 200, put("new", "last"))
	got := hand(ours, theirs, msg.Always)
	want := `a: Superseded found "" 1-3
gone: Superseded
b: OK found "common" 1-2 wrote 3-6
new: OK wrote 3-7
2 merged, 2 dropped`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	// What was taken over is not taken over a second time, nor reckoned as lost.
	if got := hand(ours, theirs, msg.Always); got[len(got)-len("2 merged, 4 dropped"):] != "2 merged, 4 dropped" {
		t.Errorf("the second time:\n%s", got)
	}
	expect(t, ours.Get("new"), `OK found "last" 3-7`)
	expect(t, ours.Get("b"), "NotFound")
}

// Of two without a quorum the later write of each key wins.
func TestMergeByClock(t *testing.T) {
	t.Parallel()
	ours, theirs := parted(t)
	ours.Apply(2, 200, put("a", "ours"))
	ours.Apply(2, 300, put("b", "ours"))
	theirs.Apply(2, 250, put("b", "theirs"))
	theirs.Apply(2, 250, remove("a"))
	got := hand(ours, theirs, msg.IfVersion)
	want := `b: Superseded found "" 2-4
a: OK found "ours" 2-3 wrote 3-5
1 merged, 1 dropped`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// An entry that expired there was written there; one that expired here was not
// written here.
func TestMergeOfWhatExpired(t *testing.T) {
	t.Parallel()
	brief := func(value string) *msg.Op {
		return with(put("a", value), func(op *msg.Op) { op.Expires = 150 })
	}
	ours, theirs := parted(t)
	theirs.Apply(2, 110, brief("theirs"))
	theirs.Apply(2, 150, &msg.Op{Kind: msg.Expire})
	got := hand(ours, theirs, msg.Always)
	if want := "a: OK found \"common\" 1-1 wrote 3-3\n1 merged, 0 dropped"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	expect(t, ours.Get("a"), "NotFound")

	ours = New(Limits{})
	ours.Apply(1, 100, brief("common"))
	ours.Apply(1, 200, &msg.Op{Kind: msg.Expire})
	theirs = New(Limits{})
	theirs.Apply(1, 100, put("b", "x"))
	theirs.Apply(1, 100, put("b", "x"))
	theirs.Apply(2, 120, put("a", "theirs"))
	got = hand(ours, theirs, msg.Always)
	if want := "a: OK wrote 3-2\n1 merged, 0 dropped"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// A client whose write was taken over and who asks again, here, is not served a
// second time; and what it got here is not taken over.
func TestMergeKnowsOperations(t *testing.T) {
	t.Parallel()
	ours, theirs := parted(t)
	op := func(client, seq uint64, key, value string) *msg.Op {
		return with(put(key, value), func(op *msg.Op) { op.ID = msg.OpID{Client: client, Seq: seq} })
	}
	theirs.Apply(2, 200, op(7, 1, "a", "seven"))
	theirs.Apply(2, 200, op(8, 1, "b", "eight"))
	expect(t, ours.Apply(1, 200, op(8, 1, "b", "eight")), `OK found "common" 1-2 wrote 1-3`)
	got := hand(ours, theirs, msg.Always)
	want := `a: OK found "common" 1-1 wrote 3-4
b: Superseded found "" 1-3
1 merged, 0 dropped`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	expect(t, ours.Apply(3, 210, op(7, 1, "a", "seven")), "Repeated wrote 3-4")
	expect(t, ours.Apply(3, 210, op(8, 1, "b", "eight")), `OK found "common" 1-2 wrote 1-3`)
}

func TestMergeFindsNoRoom(t *testing.T) {
	t.Parallel()
	ours := New(Limits{Bytes: 300})
	theirs := New(Limits{})
	ours.Apply(1, 100, put("a", "x"))
	ours.Apply(1, 100, put("b", "x"))
	theirs.Apply(2, 100, put("c", "x"))
	got := hand(ours, theirs, msg.Always)
	if want := "c: Full\n0 merged, 1 dropped"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
