package shard

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/memcache"
	"github.com/torc-dht/torc/shard/slots"
)

// pairOf returns a table of a's map, a master, and b beside it.
func pairOf(t *testing.T, o TableOptions) (m *fakeMaster, a, b *fakeServer, table *Table) {
	t.Helper()
	m, a, b = newFakeMaster(t), newFakeServer(t), newFakeServer(t)
	first := mapOf(1, a)
	m.service.SetMap(first)
	a.service.SetMap(first)
	return m, a, b, newTable(t, m, o)
}

// movedTo is the map after mapOf's, in which all slots are another server's.
func movedTo(s *fakeServer) *slots.Map {
	next := mapOf(2, s)
	next.Servers[0].Boot, next.Servers[0].Number = 900, 9
	return next
}

func put(t *testing.T, table *Table, key, value string) {
	t.Helper()
	if err := table.Put(t.Context(), key, []byte(value)); err != nil {
		t.Fatal(err)
	}
}

// A call follows the slot to where it has moved; the map comes from the server that
// knew, though no master is there any more, and the next call goes straight.
func TestMovedIsFollowed(t *testing.T) {
	t.Parallel()
	m, a, b, table := pairOf(t, TableOptions{})
	m.stop()
	next := movedTo(b)
	a.complains("SERVER_ERROR moved " + next.Epoch.String() + " " + b.addr)
	b.service.SetMap(next)
	put(t, table, "k", "v")
	if e, err := table.Get(t.Context(), "k"); err != nil || string(e.Value) != "v" {
		t.Errorf("Get = %q, %v", e.Value, err)
	}
	await(t, "the map of the server", func() bool { return table.routing.Load().m.Epoch == next.Epoch })
	asked, ops := a.came()
	put(t, table, "k", "w")
	if now, _ := a.came(); now != asked {
		t.Errorf("the former primary is still asked")
	}
	if _, there := b.came(); len(ops) != 1 || len(there) < 1 || there[0] != ops[0] {
		t.Errorf("the write was called %v at first, and then %v", ops, there)
	}
}

// What a server of an earlier epoch says of a move is waited out, not followed.
func TestStaleMoveIsNotFollowed(t *testing.T) {
	t.Parallel()
	_, a, b, table := pairOf(t, TableOptions{})
	var asked atomic.Int32
	a.answers(func(w *memcache.ResponseWriter, _ *memcache.Request) bool {
		if asked.Add(1) < 5 {
			w.Error("SERVER_ERROR moved 7.0 " + b.addr)
			return true
		}
		return false
	})
	put(t, table, "k", "v")
	if n, _ := b.came(); n != 0 {
		t.Errorf("%d calls followed an earlier epoch", n)
	}
}

// Servers that send a call in a circle are left after a few hops, until there is a
// newer map.
func TestCircle(t *testing.T) {
	t.Parallel()
	m, a, b, table := pairOf(t, TableOptions{})
	next := movedTo(b)
	a.complains("SERVER_ERROR moved 7.2 " + b.addr)
	b.complains("SERVER_ERROR moved 7.2 " + a.addr)
	done := make(chan error, 1)
	go func() { done <- table.Put(t.Context(), "k", []byte("v")) }()
	await(t, "hops", func() bool { n, _ := a.came(); return n > maxHops })
	b.answers(nil)
	m.service.SetMap(next)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	b.complains("SERVER_ERROR moved 7.3 " + b.addr)
	_, err := table.Get(ctx, "k")
	if !errors.Is(err, torc.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "moved to "+b.addr) {
		t.Errorf("Get in a circle: %v", err)
	}
}

// A slot that has failed is never empty, and fails at once, by the word of a server
// and by the map.
func TestFailedSlot(t *testing.T) {
	t.Parallel()
	m, a, _, table := pairOf(t, TableOptions{})
	check := func(why string) {
		t.Helper()
		_, getErr := table.Get(t.Context(), "k")
		for _, err := range []error{getErr, table.Put(t.Context(), "k", nil), table.Delete(t.Context(), "k")} {
			var e *torc.Error
			if !errors.As(err, &e) || e.Member != a.addr || !errors.Is(err, torc.ErrUnavailable) ||
				errors.Is(err, torc.ErrNotFound) || errors.Is(err, torc.ErrUnknownOutcome) || !strings.Contains(err.Error(), why) {
				t.Errorf("%v, want %q at %s", err, why, a.addr)
			}
		}
	}
	a.complains("SERVER_ERROR failed: the only copy is on h:1, which gives no sign")
	check("h:1")
	dead := mapOf(2, a)
	dead.Servers[0].Dead = true
	m.service.SetMap(dead)
	await(t, "the map", func() bool { return table.routing.Load().m.Epoch.Counter == 2 })
	check("gives no sign to its master")
	p, err := table.Locate(t.Context(), "k")
	if err != nil || p.Owners[0].State != torc.Down || p.Owners[0].Reason == "" {
		t.Errorf("Locate: %+v, %v", p, err)
	}
	_ = table.Close()
	if err := table.Put(t.Context(), "k", nil); !errors.Is(err, torc.ErrClosed) {
		t.Errorf("Put of a closed table: %v", err)
	}
}

// A version of another kind of table is no entry's, and a value that is too large is
// refused in the words of who refuses it.
func TestWhatNoTableOfTheKindTakes(t *testing.T) {
	t.Parallel()
	_, _, _, table := pairOf(t, TableOptions{})
	put(t, table, "k", "v")
	foreign := torc.IfVersion(torc.Version{Epoch: 1, Seq: 1})
	for key, want := range map[string]error{"k": torc.ErrConflict, "none": torc.ErrNotFound, "": torc.ErrInvalid} {
		if err := table.Put(t.Context(), key, nil, foreign); !errors.Is(err, want) {
			t.Errorf("with another kind's version, %q: %v, want %v", key, err, want)
		}
	}
	err := table.Put(t.Context(), "k", make([]byte, memcache.DefaultMaxValue+1))
	if !errors.Is(err, torc.ErrTooLarge) || strings.Contains(err.Error(), "Config") {
		t.Errorf("of a value that is too large: %v", err)
	}
}

// Other refusals end the call, in the words of the table.
func TestRefusals(t *testing.T) {
	t.Parallel()
	_, a, _, table := pairOf(t, TableOptions{})
	for line, want := range map[string]error{
		"SERVER_ERROR out of memory storing object": torc.ErrUnavailable,
		"SERVER_ERROR object too large for cache":   torc.ErrTooLarge,
		"SERVER_ERROR answered before: so you said": torc.ErrUnavailable,
		"SERVER_ERROR moved 7.2 nonsense":           torc.ErrUnavailable,
		"CLIENT_ERROR bad command line format":      torc.ErrUnavailable,
	} {
		a.complains(line)
		began := time.Now()
		err := table.Put(t.Context(), "k", []byte("v"))
		if !errors.Is(err, want) || errors.Is(err, torc.ErrUnknownOutcome) || strings.ContainsAny(err.Error(), "\r\n") {
			t.Errorf("%s: %v", line, err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s: it was tried again, for %v", line, took)
		}
	}
}

// What could not be served for a moment is asked again.
func TestUnavailableForAMoment(t *testing.T) {
	t.Parallel()
	_, a, _, table := pairOf(t, TableOptions{})
	var asked atomic.Int32
	a.answers(func(w *memcache.ResponseWriter, _ *memcache.Request) bool {
		if asked.Add(1) <= 2 {
			w.Error("SERVER_ERROR unavailable: the slot could not be served in time, nothing was done")
			return true
		}
		return false
	})
	put(t, table, "k", "v")
	a.complains("SERVER_ERROR unavailable: nothing was done")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := table.Put(ctx, "k", nil); !errors.Is(err, torc.ErrUnavailable) || errors.Is(err, torc.ErrUnknownOutcome) {
		t.Errorf("nothing was done, and Put says %v", err)
	}
}

// A write that was carried out and whose answer was lost is sent again under the
// same name, to who has the slot by then; so is one with a condition.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	_, a, _, table := pairOf(t, TableOptions{})
	for name, write := range map[string]func() error{
		"put":    func() error { return table.Put(t.Context(), "k", []byte("v")) },
		"absent": func() error { return table.Put(t.Context(), "l", []byte("v"), torc.IfAbsent()) },
		"delete": func() error { return table.Delete(t.Context(), "k") },
	} {
		_, before := a.came()
		var tries atomic.Int32
		a.answers(func(w *memcache.ResponseWriter, r *memcache.Request) bool {
			if tries.Add(1) < 3 {
				panic("the connection ends here")
			}
			w.Status(memcache.StatusDone, 7)
			return true
		})
		if err := write(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		_, ops := a.came()
		if ops = ops[len(before):]; len(ops) != 3 || ops[0] != ops[1] || ops[1] != ops[2] {
			t.Errorf("%s: it came as %v", name, ops)
		}
	}
}

// A server that is silent is asked again, and when the map says so, its successor,
// under the same name.
func TestSilentServer(t *testing.T) {
	t.Parallel()
	m, a, b, table := pairOf(t, TableOptions{TryTimeout: 50 * time.Millisecond})
	a.hangs(t)
	done := make(chan error, 1)
	go func() { done <- table.Put(t.Context(), "k", []byte("v")) }()
	await(t, "a try", func() bool { n, _ := a.came(); return n > 0 })
	m.service.SetMap(movedTo(b))
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	_, first := a.came()
	if _, then := b.came(); len(then) != 1 || then[0] != first[0] {
		t.Errorf("the write was called %v at the one and %v at the other", first, then)
	}
}

// A call ends with its context, and says of a write whether it may have happened.
// One that was given up holds up no other's name.
func TestGivingUp(t *testing.T) {
	t.Parallel()
	_, a, _, table := pairOf(t, TableOptions{TryTimeout: 20 * time.Millisecond, ReadTimeout: 100 * time.Millisecond, WriteTimeout: 100 * time.Millisecond})
	a.hangs(t)
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
	if id := table.ops.begin(slots.Of("k")); id.Oldest != id.Number {
		t.Errorf("a write that was given up is still open: %+v", id)
	}
}

// What is told of a call is the last failure that its own end did not cut short.
func TestTheFailureThatIsTold(t *testing.T) {
	t.Parallel()
	_, a, _, table := pairOf(t, TableOptions{})
	var asked atomic.Int32
	a.answers(func(w *memcache.ResponseWriter, _ *memcache.Request) bool {
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

// Where nothing can have been sent, the outcome is known.
func TestNobodyListens(t *testing.T) {
	t.Parallel()
	_, a, _, table := pairOf(t, TableOptions{WriteTimeout: 100 * time.Millisecond})
	a.stop()
	err := table.Put(t.Context(), "k", nil)
	var e *torc.Error
	if !errors.As(err, &e) || e.Member != a.addr || e.Since.IsZero() || !errors.Is(err, torc.ErrUnavailable) || errors.Is(err, torc.ErrUnknownOutcome) {
		t.Errorf("Put: %v", err)
	}
	if !strings.Contains(err.Error(), "nobody listens there") {
		t.Errorf("it doesn't say why: %v", err)
	}
}

// Close ends calls under way.
func TestCloseEndsCalls(t *testing.T) {
	t.Parallel()
	_, a, _, table := pairOf(t, TableOptions{})
	a.hangs(t)
	done := make(chan error, 2)
	go func() { _, err := table.Get(t.Context(), "k"); done <- err }()
	go func() { done <- table.Put(t.Context(), "k", nil) }()
	await(t, "a call", func() bool { n, _ := a.came(); return n > 0 }) // the other may be behind it
	if err := table.Close(); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := <-done; !errors.Is(err, torc.ErrClosed) || errors.Is(err, torc.ErrUnavailable) {
			t.Errorf("a call that was under way: %v", err)
		}
	}
}

// A call that nothing disturbs allocates what its value takes, and no more.
func TestAllocations(t *testing.T) {
	_, _, _, table := pairOf(t, TableOptions{})
	put(t, table, "k", "v")
	ctx := t.Context()
	bare := table.routing.Load().clients[0]
	value := []byte("v")
	want := testing.AllocsPerRun(200, func() { _, _ = bare.Get(ctx, "k") })
	if got := testing.AllocsPerRun(200, func() { _, _ = table.Get(ctx, "k") }); got > want+0.5 {
		t.Errorf("Get allocates %v times, and a bare client %v", got, want)
	}
	item := memcache.Item{Key: "k", Value: value}
	want = testing.AllocsPerRun(200, func() { _, _ = bare.Set(ctx, item, memcache.ModeSet) })
	if got := testing.AllocsPerRun(200, func() { _ = table.Put(ctx, "k", value) }); got > want+0.5 {
		t.Errorf("Put allocates %v times, and a bare client %v", got, want)
	}
}
