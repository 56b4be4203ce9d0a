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
)

// once returns a client of a master, and a context that gives it time enough.
func once(t *testing.T, masters ...string) (*Once, context.Context) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return &Once{Masters: masters}, ctx
}

func TestOnceAsksTheMaster(t *testing.T) {
	t.Parallel()
	m, a, b := newFakeMaster(t), newFakeServer(t), newFakeServer(t)
	m.service.SetMap(mapOf(1, a, b))
	o, ctx := once(t, m.addr)
	for _, key := range []string{"0", "1"} { // slot 0 is a's, slot 1 is b's
		if err := o.Put(ctx, key, []byte("value "+key)); err != nil {
			t.Fatal(err)
		}
		if v, err := o.Get(ctx, key); err != nil || string(v) != "value "+key {
			t.Errorf("Get(%s) = %q, %v", key, v, err)
		}
	}
	if inA, inB := a.store.Stats().Items, b.store.Stats().Items; inA != 1 || inB != 1 {
		t.Errorf("the servers have %d and %d of the keys", inA, inB)
	}
	if _, err := o.Get(ctx, "2"); !errors.Is(err, torc.ErrNotFound) {
		t.Errorf("Get of no key: %v", err)
	}
	if err := o.Put(ctx, strings.Repeat("k", memcache.MaxKeyLen+1), nil); !errors.Is(err, torc.ErrInvalid) {
		t.Errorf("Put of no possible key: %v", err)
	}
}

// "moved" is followed, and a circle of it is left by way of the master.
func TestOnceFollowsMoved(t *testing.T) {
	t.Parallel()
	m, a, b := newFakeMaster(t), newFakeServer(t), newFakeServer(t)
	m.service.SetMap(mapOf(1, a))
	a.complains("SERVER_ERROR moved 7.2 " + b.addr)
	o, ctx := once(t, m.addr)
	if err := o.Put(ctx, "k", []byte("v")); err != nil {
		t.Fatal(err)
	}
	_, first := a.came()
	if _, then := b.came(); len(first) != 1 || len(then) != 1 || first[0] != then[0] {
		t.Errorf("the write was called %v at first and then %v", first, then)
	}

	c := newFakeServer(t)
	b.complains("SERVER_ERROR moved 7.2 " + a.addr)
	done := make(chan error, 1)
	go func() { done <- o.Put(ctx, "k", []byte("w")) }()
	await(t, "a circle", func() bool { n, _ := b.came(); return n > 3 })
	m.service.SetMap(movedTo(c))
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A server that is to be asked directly is asked alone.
func TestOnceDirectly(t *testing.T) {
	t.Parallel()
	a, b := newFakeServer(t), newFakeServer(t)
	o, ctx := once(t)
	o.Server = a.addr
	if err := o.Put(ctx, "k", []byte("v")); err != nil {
		t.Fatal(err)
	}
	a.complains("SERVER_ERROR moved 7.2 " + b.addr)
	if _, err := o.Get(ctx, "k"); !errors.Is(err, ErrElsewhere) || !strings.Contains(err.Error(), b.addr) {
		t.Errorf("Get at the wrong server: %v", err)
	}
	if err := o.Put(ctx, "k", nil); !errors.Is(err, ErrElsewhere) {
		t.Errorf("Put at the wrong server: %v", err)
	}
	if n, _ := b.came(); n != 0 {
		t.Errorf("the other server was asked %d times", n)
	}
}

// What passes is waited for: no server yet, and a slot that can't be served now.
// The write has the same name each time.
func TestOnceTriesAgain(t *testing.T) {
	t.Parallel()
	m, a := newFakeMaster(t), newFakeServer(t)
	a.complains("SERVER_ERROR unavailable: not now")
	o, ctx := once(t, m.addr)
	done := make(chan error, 1)
	go func() { done <- o.Put(ctx, "k", []byte("v")) }()
	m.service.SetMap(mapOf(1, a))
	await(t, "two attempts", func() bool { n, _ := a.came(); return n > 1 })
	a.answers(nil)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	_, ops := a.came()
	for _, id := range ops {
		if id != ops[0] || id == (memcache.OpID{}) {
			t.Errorf("the write was called %v, then %v", ops[0], id)
		}
	}
}

// Who gives up says why, and whether a write may stand all the same.
func TestOnceGivesUp(t *testing.T) {
	t.Parallel()
	m, a := newFakeMaster(t), newFakeServer(t)
	m.service.SetMap(mapOf(1, a))
	noMap := newFakeMaster(t)
	for _, c := range []struct {
		what    string
		o       Once
		answer  string
		says    string
		unknown bool
	}{
		{"no master", Once{Masters: []string{unused(t)}}, "", "nobody listens", false},
		{"a server for a master", Once{Masters: []string{newFakeServer(t).addr}}, "", "no such call", false},
		{"no server yet", Once{Masters: []string{noMap.addr}}, "", "no server has joined", false},
		{"no such server", Once{Server: unused(t)}, "", "refused", false},
		{"not now", Once{Masters: []string{m.addr}}, "SERVER_ERROR unavailable: not now", "not now", false},
		{"unknown", Once{Masters: []string{m.addr}}, "SERVER_ERROR outcome unknown: who knows", "before it could answer", true},
		{"failed", Once{Masters: []string{m.addr}}, "SERVER_ERROR failed: the only copy is on x:1", "x:1", false},
		{"full", Once{Masters: []string{m.addr}}, "SERVER_ERROR out of memory storing object", "memory is full", false},
	} {
		a.complains(c.answer)
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		err := c.o.Put(ctx, "k", nil)
		cancel()
		if !errors.Is(err, torc.ErrUnavailable) || !strings.Contains(err.Error(), c.says) || errors.Is(err, torc.ErrUnknownOutcome) != c.unknown {
			t.Errorf("%s: %v", c.what, err)
		}
	}
}

// A write that had no answer may stand, whatever a later attempt finds.
func TestOnceUnheardThenRefused(t *testing.T) {
	t.Parallel()
	m, a := newFakeMaster(t), newFakeServer(t)
	m.service.SetMap(mapOf(1, a))
	for line, want := range map[string]error{
		"SERVER_ERROR failed: nobody has it":    torc.ErrUnavailable,
		"SERVER_ERROR moved 7.2 127.0.0.1:1026": ErrElsewhere,
	} {
		var tries atomic.Int32
		a.answers(func(w *memcache.ResponseWriter, _ *memcache.Request) bool {
			if tries.Add(1) == 1 {
				panic("the connection ends here")
			}
			w.Error(line)
			return true
		})
		o, ctx := once(t, m.addr)
		if want == ErrElsewhere {
			o.Server = a.addr
		}
		err := o.Put(ctx, "k", []byte("v"))
		if !errors.Is(err, want) || !errors.Is(err, torc.ErrUnknownOutcome) {
			t.Errorf("no answer, and then %s: %v", line, err)
		}
	}
}
