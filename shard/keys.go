package shard

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/memcache"
	"github.com/torc-dht/torc/shard/slots"
)

var _ torc.Ranger = (*Table)(nil)

// walk is a walk over all keys.
type walk struct {
	t *Table
	// left are the slots that have not been listed.
	left [slots.Count]bool
	// unsteady are those whose primary has changed since the server whose turn it
	// is was asked for its list. Guarded by Table.mu.
	unsteady [slots.Count]bool
}

// errUnsteady says that a server was asked for a list and had no slot from the
// beginning to the end.
var errUnsteady = errors.New("the slots have no steady place")

// Keys implements [torc.Ranger]. Each server lists the slots that it is primary of.
// Of a slot that was not one server's, by its own word and by the master's, from
// before the list until after it, who has it then is asked again, so that keys may
// come twice. It fails where a slot has failed, or no server gets on for
// TableOptions.ReadTimeout.
func (t *Table) Keys(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		w := &walk{t: t}
		for s := range w.left {
			w.left[s] = true
		}
		t.mu.Lock()
		t.mu.walks[w] = struct{}{}
		t.mu.Unlock()
		defer func() {
			t.mu.Lock()
			delete(t.mu.walks, w)
			t.mu.Unlock()
		}()
		if err := w.run(ctx, func(key string) bool { return yield(key, nil) }); err != nil && err != errEnough {
			yield("", err)
		}
	}
}

// run lists one server after the other until no slot is left; it returns errEnough
// if yield does not want any more.
func (w *walk) run(ctx context.Context, yield func(string) bool) error {
	got := time.Now() // when a slot was done last
	for {
		r := w.t.routing.Load()
		i, dead := w.turn(r)
		switch {
		case w.t.life.Err() != nil:
			return failure(opKeys, "", nil, torc.ErrClosed)
		case dead != "":
			return &torc.Error{Op: opKeys, Member: dead, Since: r.since(dead), Err: unavailable(errDead)}
		case i == slots.None:
			return nil
		}
		at := r.clients[i]
		done, err := w.list(ctx, at, r.m.Servers[i].Boot, yield)
		switch {
		case err == errEnough:
			return err
		case done > 0:
			got = time.Now()
			continue
		case w.t.life.Err() != nil:
			return failure(opKeys, "", nil, torc.ErrClosed)
		case ctx.Err() != nil:
			return failure(opKeys, "", at, fmt.Errorf("%w: %w", torc.ErrUnavailable, bare{ctx.Err()}))
		case time.Since(got) > w.t.opts.ReadTimeout:
			return failure(opKeys, "", at, unavailable(bare{err}))
		}
		w.t.hint(hint{})
		select {
		case <-r.replaced:
		case <-ctx.Done():
		case <-w.t.life.Done():
		case <-time.After(maxPause):
		}
	}
}

// turn says which server is to be asked next; None if no slot is left. Dead is the
// address of one that has slots which are, and is dead.
func (w *walk) turn(r *routing) (i int16, dead string) {
	i = slots.None
	for s := range w.left {
		switch at := r.m.Rows[s].Primary; {
		case !w.left[s]:
		case at == slots.None:
			w.left[s] = false // nobody has put anything there
		case r.m.Servers[at].Dead:
			return i, r.m.Servers[at].Addr
		case i == slots.None:
			i = at
		}
	}
	return i, ""
}

// list yields the keys of a server in slots that are left, and says how many of
// these are done.
func (w *walk) list(ctx context.Context, at *memcache.Client, boot slots.Boot, yield func(string) bool) (done int, err error) {
	r := w.begin()
	before, err := w.mapOf(ctx, at)
	if err != nil {
		return 0, err
	}
	var mine [slots.Count]bool
	for s := range mine {
		mine[s] = w.left[s] && has(r.m, s, boot) && has(before, s, boot)
	}
	for info, err := range at.Metadump(ctx) {
		if err != nil {
			return 0, err
		}
		if mine[slots.Of(info.Key)] && !yield(info.Key) {
			return 0, errEnough
		}
	}
	after, err := w.mapOf(ctx, at)
	if err != nil {
		return 0, err
	}
	w.t.mu.Lock()
	defer w.t.mu.Unlock()
	for s := range mine {
		if mine[s] && !w.unsteady[s] && has(after, s, boot) {
			w.left[s] = false
			done++
		}
	}
	if done == 0 {
		return 0, errUnsteady
	}
	return done, nil
}

// mapOf asks a server for the map by which it lists its slots.
func (w *walk) mapOf(ctx context.Context, at *memcache.Client) (*slots.Map, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	defer context.AfterFunc(w.t.life, cancel)()
	m, err := w.t.mapOf(ctx, at.Addr())
	if err == nil {
		w.t.adopt(m)
	}
	return m, err
}

// has says whether the primary of a slot is the server with a boot.
func has(m *slots.Map, s int, boot slots.Boot) bool {
	i := m.Rows[s].Primary
	return i >= 0 && m.Servers[i].Boot == boot
}

// begin begins to note which slots are unsteady, from the routing that it returns.
func (w *walk) begin() *routing {
	w.t.mu.Lock()
	defer w.t.mu.Unlock()
	clear(w.unsteady[:])
	return w.t.routing.Load()
}

// replacedLocked notes which slots another routing has moved.
func (w *walk) replacedLocked(old, next *routing) {
	for s := range w.unsteady {
		if i := old.m.Rows[s].Primary; i < 0 || !has(next.m, s, old.m.Servers[i].Boot) {
			w.unsteady[s] = true
		}
	}
}
