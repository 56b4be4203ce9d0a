package chord

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/memcache"
)

func put(t testing.TB, table *Table, key, value string) {
	t.Helper()
	if err := table.Put(t.Context(), key, []byte(value)); err != nil {
		t.Fatal(err)
	}
}

// cameTo counts the requests that have come to each node.
func cameTo(nodes []*fakeNode) (asked []int) {
	for _, n := range nodes {
		a, _ := n.came()
		asked = append(asked, a)
	}
	return asked
}

// Each range is asked for once. After that every request goes to the owner and to nobody
// else, and no question is asked.
func TestOneHop(t *testing.T) {
	t.Parallel()
	ring, nodes := fakeRingOf(t, 1, 32, 35, 99, 136)
	table := newTable(t, TableOptions{}, nodes[0])
	for i := range 256 {
		put(t, table, fmt.Sprint(i), "v")
	}
	questions := func() (n int) {
		for _, node := range nodes {
			node.mu.Lock()
			n += node.mu.resolved
			node.mu.Unlock()
		}
		return n
	}
	if n := questions(); n != len(nodes) {
		t.Errorf("%d questions for %d ranges", n, len(nodes))
	}
	before := cameTo(nodes)
	for i := range 256 {
		if _, err := table.Get(t.Context(), fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
		put(t, table, fmt.Sprint(i), "w")
	}
	owned := map[*fakeNode]int{}
	for i := range 256 {
		owner, _ := ring.owned(small(i))
		owned[owner] += 2
	}
	for i, now := range cameTo(nodes) {
		if now-before[i] != owned[nodes[i]] {
			t.Errorf("node %v was asked %d times for its %d", nodes[i].self, now-before[i], owned[nodes[i]])
		}
	}
	if n := questions(); n != len(nodes) {
		t.Errorf("%d questions for %d ranges when all are known", n, len(nodes))
	}
}

// Of an owner whose span nobody knows no more is believed than that it owns the place
// that was asked about, and what lies between.
func TestOwnerOfNoSpan(t *testing.T) {
	t.Parallel()
	_, nodes := fakeRingOf(t, 35)
	nodes[0].mu.vague = true
	table := newTable(t, TableOptions{}, nodes...)
	for _, id := range []int{30, 0} {
		put(t, table, fmt.Sprint(id), "v")
		for place, known := range map[int]bool{(id + 255) % 256: false, id: true, 35: true, 36: false} {
			if is := table.routing.Load().find(small(place)) != nil; is != known {
				t.Errorf("after %d, place %d is known: %v", id, place, is)
			}
		}
	}
}

// A request follows its key to where it went; the next one goes there straight.
func TestMovedIsFollowed(t *testing.T) {
	t.Parallel()
	ring, nodes := fakeRingOf(t, 99, 200)
	table := newTable(t, TableOptions{}, nodes[0])
	put(t, table, "30", "v")
	joined := ring.add(t, 35)
	joined.hold("30")
	asked, _ := nodes[0].came()
	if e, err := table.Get(t.Context(), "30"); err != nil || string(e.Value) != "v" {
		t.Errorf("Get = %q, %v", e.Value, err)
	}
	put(t, table, "31", "w")
	if now, _ := nodes[0].came(); now != asked+1 {
		t.Errorf("the former owner was asked %d times, want once", now-asked)
	}
	put(t, table, "36", "x")
	if now, _ := nodes[0].came(); now != asked+2 {
		t.Error("what the former owner has kept is asked elsewhere")
	}
}

// Nodes that send a call in a circle are left after a few hops, until they agree.
func TestCircle(t *testing.T) {
	t.Parallel()
	_, nodes := fakeRingOf(t, 35, 99)
	a, b := nodes[0], nodes[1]
	table := newTable(t, TableOptions{}, a)
	line := func(n *fakeNode) string {
		_, span := n.ring.owned(n.self.Place)
		span.From, span.To = small(200), n.self.Place
		return movedLine(span, n.self)
	}
	a.complains(line(b))
	b.complains(line(a))
	done := make(chan error, 1)
	go func() { done <- table.Put(t.Context(), "30", []byte("v")) }()
	await(t, "hops", func() bool { n, _ := a.came(); return n > maxHops })
	a.answers(nil)
	b.answers(nil)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	a.complains(line(a))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := table.Get(ctx, "30")
	if !errors.Is(err, torc.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), a.addr()) {
		t.Errorf("Get in a circle: %v", err)
	}
}

// When an owner dies its successor is asked as soon as it says that it has taken over,
// for the same write by the same name; the seeds aren't needed.
func TestOwnerDies(t *testing.T) {
	t.Parallel()
	ring, nodes := fakeRingOf(t, 35, 99, 136, 200)
	table := newTable(t, TableOptions{}, nodes[0])
	for i := range 256 {
		put(t, table, fmt.Sprint(i), "v")
	}
	var tries atomic.Int32
	nodes[0].answers(func(*memcache.ResponseWriter, *memcache.Request) bool {
		tries.Add(1)
		panic("the connection ends here")
	})
	done := make(chan error, 1)
	go func() { done <- table.Put(t.Context(), "30", []byte("w")) }()
	await(t, "tries", func() bool { return tries.Load() > 1 })
	nodes[0].stop()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	_, first := nodes[0].came()
	_, then := nodes[1].came()
	if last := then[len(then)-1]; last != first[len(first)-1] {
		t.Errorf("the write was called %v at the one and %v at the other", first[len(first)-1], last)
	}
	if e, err := table.Get(t.Context(), "30"); err != nil || string(e.Value) != "w" {
		t.Errorf("Get = %q, %v", e.Value, err)
	}
	// All but one, and who it is.
	for _, n := range nodes[1:3] {
		n.stop()
	}
	put(t, table, "30", "x")
	if owner, _ := ring.owned(small(30)); owner != nodes[3] {
		t.Fatal("not by the last one")
	}
}

// An owner that is silent is asked again, and when others say so, its successor. A node
// that is silent doesn't keep the table from asking others.
func TestOwnerIsSilent(t *testing.T) {
	t.Parallel()
	ring, nodes := fakeRingOf(t, 35, 99)
	table := newTable(t, TableOptions{TryTimeout: 50 * time.Millisecond}, nodes...)
	put(t, table, "30", "v")
	nodes[0].hangs(t)
	before, _ := nodes[0].came()
	done := make(chan error, 1)
	go func() { done <- table.Put(t.Context(), "30", []byte("w")) }()
	await(t, "a try", func() bool { n, _ := nodes[0].came(); return n > before })
	ring.remove(nodes[0])
	nodes[0].deafens(true)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	_, first := nodes[0].came()
	if _, then := nodes[1].came(); len(then) == 0 || then[len(then)-1] != first[len(first)-1] {
		t.Errorf("the write was called %v at the one and %v at the other", first, then)
	}
}

// A node of another ring that has got the port of a dead one is asked nothing.
func TestPortOfAnotherRing(t *testing.T) {
	t.Parallel()
	_, nodes := fakeRingOf(t, 35, 99)
	table := newTable(t, TableOptions{WriteTimeout: 200 * time.Millisecond}, nodes[0])
	put(t, table, "30", "v")
	nodes[0].ring.remove(nodes[1])
	nodes[0].stop()
	nodes[0].ring.insert(nodes[0]) // the others haven't noticed
	foreign := newFakeRing().addOn(t, 35, listen(t, nodes[0].addr()))
	err := table.Put(t.Context(), "30", []byte("w"))
	if !errors.Is(err, torc.ErrUnavailable) || !strings.Contains(err.Error(), "another ring") {
		t.Errorf("Put: %v", err)
	}
	if n, _ := foreign.came(); n > 0 {
		t.Errorf("it was asked %d times", n)
	}
}

// Refusals that nothing can be done about end the call, in the words of the table.
func TestRefusals(t *testing.T) {
	t.Parallel()
	_, nodes := fakeRingOf(t, 35)
	table := newTable(t, TableOptions{}, nodes...)
	for line, want := range map[string]error{
		"SERVER_ERROR out of memory storing object": torc.ErrUnavailable,
		"SERVER_ERROR object too large for cache":   torc.ErrTooLarge,
		"SERVER_ERROR answered before: so you said": torc.ErrUnavailable,
		"SERVER_ERROR moved 7.2 nonsense":           torc.ErrUnavailable,
		"CLIENT_ERROR bad command line format":      torc.ErrUnavailable,
	} {
		nodes[0].complains(line)
		before, _ := nodes[0].came()
		err := table.Put(t.Context(), "k", []byte("v"))
		var e *torc.Error
		if !errors.As(err, &e) || e.Member != nodes[0].addr() || !errors.Is(err, want) || errors.Is(err, torc.ErrUnknownOutcome) || strings.ContainsAny(err.Error(), "\r\n") {
			t.Errorf("%s: %v", line, err)
		}
		if now, _ := nodes[0].came(); now != before+1 {
			t.Errorf("%s: it was asked %d times", line, now-before)
		}
	}
}

// A version of another kind of table is no entry's, and what is wrong with a key or a
// value is said in the table's words.
func TestWhatNoTableOfTheKindTakes(t *testing.T) {
	t.Parallel()
	_, nodes := fakeRingOf(t, 35)
	table := newTable(t, TableOptions{}, nodes...)
	put(t, table, "k", "v")
	foreign := torc.IfVersion(torc.Version{Epoch: 1, Seq: 1})
	for key, want := range map[string]error{"k": torc.ErrConflict, "none": torc.ErrNotFound, "": torc.ErrInvalid} {
		if err := table.Put(t.Context(), key, nil, foreign); !errors.Is(err, want) {
			t.Errorf("with another kind's version, %q: %v, want %v", key, err, want)
		}
	}
	err := table.Put(t.Context(), "k", make([]byte, memcache.DefaultMaxItemSize+1))
	if !errors.Is(err, torc.ErrTooLarge) || strings.Contains(err.Error(), "Config") {
		t.Errorf("of a value that is too large: %v", err)
	}
}

// What could not be served for a moment is asked again.
func TestUnavailableForAMoment(t *testing.T) {
	t.Parallel()
	_, nodes := fakeRingOf(t, 35)
	table := newTable(t, TableOptions{}, nodes...)
	var asked atomic.Int32
	nodes[0].answers(func(w *memcache.ResponseWriter, _ *memcache.Request) bool {
		if asked.Add(1) <= 2 {
			w.Error("SERVER_ERROR unavailable: it could not be served in time, nothing was done")
			return true
		}
		return false
	})
	put(t, table, "k", "v")
	nodes[0].complains("SERVER_ERROR unavailable: nothing was done")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := table.Get(ctx, "k"); !errors.Is(err, torc.ErrUnavailable) || !strings.Contains(err.Error(), "nothing was done") {
		t.Errorf("Get: %v", err)
	}
}

// A write that was carried out and whose answer was lost is sent again under the same
// name; so is one with a condition.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	_, nodes := fakeRingOf(t, 35)
	table := newTable(t, TableOptions{}, nodes...)
	for name, write := range map[string]func() error{
		"put":    func() error { return table.Put(t.Context(), "k", []byte("v")) },
		"absent": func() error { return table.Put(t.Context(), "l", []byte("v"), torc.IfAbsent()) },
		"delete": func() error { return table.Delete(t.Context(), "k") },
	} {
		_, before := nodes[0].came()
		var tries atomic.Int32
		nodes[0].answers(func(w *memcache.ResponseWriter, r *memcache.Request) bool {
			if tries.Add(1) < 3 {
				panic("the connection ends here")
			}
			w.Status(memcache.StatusDone, 7)
			return true
		})
		if err := write(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		_, ops := nodes[0].came()
		if ops = ops[len(before):]; len(ops) != 3 || ops[0] != ops[1] || ops[1] != ops[2] {
			t.Errorf("%s: it came as %v", name, ops)
		}
	}
}

// A call ends with its context, and says of a write whether it may have happened. One
// that was given up holds up no other's name.
func TestGivingUp(t *testing.T) {
	t.Parallel()
	_, nodes := fakeRingOf(t, 35)
	table := newTable(t, TableOptions{TryTimeout: 20 * time.Millisecond, ReadTimeout: 100 * time.Millisecond, WriteTimeout: 100 * time.Millisecond}, nodes...)
	put(t, table, "k", "v")
	nodes[0].hangs(t)
	for _, cancels := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		if cancels {
			time.AfterFunc(50*time.Millisecond, cancel)
		}
		err := table.Put(ctx, "k", nil)
		cancel()
		if !errors.Is(err, torc.ErrUnknownOutcome) || !errors.Is(err, torc.ErrUnavailable) {
			t.Errorf("Put: %v", err)
		}
		if cancels && !errors.Is(err, context.Canceled) {
			t.Errorf("Put that was cancelled: %v", err)
		}
		if strings.Count(err.Error(), torc.ErrUnknownOutcome.Error()) != 1 || strings.Count(err.Error(), "unavailable") != 1 {
			t.Errorf("it repeats itself: %v", err)
		}
	}
	_, err := table.Get(t.Context(), "k")
	if !errors.Is(err, torc.ErrUnavailable) || errors.Is(err, torc.ErrUnknownOutcome) || errors.Is(err, torc.ErrNotFound) {
		t.Errorf("Get: %v", err)
	}
	if id := table.ops.begin(table.circle.OfKey("k")); id.Oldest != id.Number {
		t.Errorf("a write that was given up is still open: %+v", id)
	}
}

// What is told of a call is the last failure that its own end did not cut short.
func TestTheFailureThatIsTold(t *testing.T) {
	t.Parallel()
	_, nodes := fakeRingOf(t, 35)
	table := newTable(t, TableOptions{}, nodes...)
	var asked atomic.Int32
	nodes[0].answers(func(w *memcache.ResponseWriter, _ *memcache.Request) bool {
		if asked.Add(1) > 1 {
			<-t.Context().Done()
		}
		w.Error("SERVER_ERROR unavailable: the reason")
		return true
	})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	err := table.Put(ctx, "k", nil)
	if !errors.Is(err, torc.ErrUnknownOutcome) || !strings.Contains(err.Error(), "the reason") {
		t.Errorf("Put: %v", err)
	}
}

// Where nothing can have been sent, the outcome is known; who is to blame is said, for a
// key of a range that was known and for another.
func TestNobodyListens(t *testing.T) {
	t.Parallel()
	_, nodes := fakeRingOf(t, 35, 99)
	table := newTable(t, TableOptions{WriteTimeout: 200 * time.Millisecond}, nodes...)
	put(t, table, "30", "v")
	for _, n := range nodes {
		n.stop()
	}
	// The connections that are still there are found broken first.
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := table.Get(ctx, "30"); !errors.Is(err, torc.ErrUnavailable) {
		t.Errorf("Get: %v", err)
	}
	for key, members := range map[string]string{"30": nodes[0].addr(), "90": nodes[0].addr() + " " + nodes[1].addr()} {
		err := table.Put(t.Context(), key, nil)
		var e *torc.Error
		if !errors.As(err, &e) || !strings.Contains(members, e.Member) || e.Member == "" || e.Since.IsZero() ||
			!errors.Is(err, torc.ErrUnavailable) || errors.Is(err, torc.ErrUnknownOutcome) {
			t.Errorf("Put %s: %v", key, err)
		}
		if !strings.Contains(err.Error(), "nobody listens there") {
			t.Errorf("it doesn't say why: %v", err)
		}
	}
}

// Close ends calls under way.
func TestCloseEndsCalls(t *testing.T) {
	t.Parallel()
	_, nodes := fakeRingOf(t, 35)
	table := newTable(t, TableOptions{}, nodes...)
	nodes[0].hangs(t)
	done := make(chan error, 2)
	go func() { _, err := table.Get(t.Context(), "k"); done <- err }()
	go func() { done <- table.Put(t.Context(), "k", nil) }()
	await(t, "a call", func() bool { n, _ := nodes[0].came(); return n > 0 }) // the other may be behind it
	if err := table.Close(); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := <-done; !errors.Is(err, torc.ErrClosed) || errors.Is(err, torc.ErrUnavailable) {
			t.Errorf("a call that was under way: %v", err)
		}
	}
}

// A call that nothing disturbs allocates what its value takes, and no more, however long
// its key.
func TestAllocations(t *testing.T) {
	_, nodes := fakeRingOf(t, 35)
	table := newTable(t, TableOptions{}, nodes...)
	ctx := t.Context()
	value := []byte("v")
	for _, key := range []string{"30", "k", strings.Repeat("long", 50)} {
		put(t, table, key, "v")
		bare := table.routing.Load().arcs[0].at.data
		want := testing.AllocsPerRun(200, func() { _, _ = bare.Get(ctx, key) })
		if got := testing.AllocsPerRun(200, func() { _, _ = table.Get(ctx, key) }); got > want+0.5 {
			t.Errorf("Get allocates %v times, and a bare client %v", got, want)
		}
		item := memcache.Item{Key: key, Value: value}
		want = testing.AllocsPerRun(200, func() { _, _ = bare.Set(ctx, item, memcache.ModeSet) })
		if got := testing.AllocsPerRun(200, func() { _ = table.Put(ctx, key, value) }); got > want+0.5 {
			t.Errorf("Put allocates %v times, and a bare client %v", got, want)
		}
	}
}
