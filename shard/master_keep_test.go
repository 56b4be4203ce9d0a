package shard

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/torc-dht/torc/shard/internal/keep"
	"github.com/torc-dht/torc/shard/internal/master"
	"github.com/torc-dht/torc/shard/slots"
)

// slowReign keeps each map when it is told to, as it is told to.
type slowReign struct {
	keep.Reign
	begun  chan *slots.Map
	answer chan error
}

func (r *slowReign) Save(_ context.Context, m *slots.Map) error {
	r.begun <- m
	return <-r.answer
}

// Maps are kept one at a time, and none after a later one: not when a master goes on
// to another while one is on its way, nor when one is to be tried again.
func TestMapsAreKeptInOrder(t *testing.T) {
	t.Parallel()
	l := newMasterLoop(&Master{}, nil, slog.New(slog.DiscardHandler))
	defer l.close()
	l.core = master.New(clock().Mono, master.Config{Boot: 1, Start: 1, Persist: true})
	r := &slowReign{begun: make(chan *slots.Map, 1), answer: make(chan error)}
	l.reign = r
	mapOf := func(counter uint64) *slots.Map {
		m := slots.Empty(slots.Minimal, 2, 1)
		m.Epoch = slots.Epoch{Term: 1, Boot: 1, Counter: counter}
		return m
	}
	var kept []uint64
	step := func(err error) {
		t.Helper()
		m := <-r.begun
		r.answer <- err
		if l.kept(<-l.saved); err == nil {
			kept = append(kept, m.Epoch.Counter)
		}
	}
	begin := func(m *slots.Map) {
		if m != nil {
			l.toKeep = m
		}
		l.keep(t.Context())
	}
	begin(mapOf(1))
	begin(mapOf(2)) // while the first is on its way
	step(nil)
	begin(nil)
	step(errors.New("the disk is full"))
	begin(nil)
	begin(mapOf(3)) // before the second is tried again
	if l.keeping {
		t.Error("it is tried again at once")
	}
	l.failed = time.Time{}
	begin(nil)
	step(nil)
	begin(nil)
	if l.keeping || l.toKeep != nil || !slices.Equal(kept, []uint64{1, 3}) {
		t.Errorf("kept %v; more: %v", kept, l.toKeep)
	}

	// What comes of an earlier reign is nothing to this one.
	begin(mapOf(4))
	<-r.begun
	l.kept(saving{reign: &slowReign{}, m: mapOf(3), err: errors.New("over")})
	if !l.keeping || !l.failed.IsZero() {
		t.Error("an earlier reign's error passes for one of this")
	}
	r.answer <- nil
	l.kept(<-l.saved)
	close(l.over)
	l.saves.Wait()
}
