package chord

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/chord/internal/link"
	"github.com/torc-dht/torc/chord/internal/ring"
)

const (
	// lookPause is the least time between two looks at all of the ring. Looks take no
	// more than a part of the time, one in lookShare, so that there are fewer at a
	// large ring.
	lookPause = 200 * time.Millisecond
	lookShare = 10
	// lookSoon is how long a look waits for more news when calls have come upon some.
	lookSoon = 20 * time.Millisecond
	// asksAtOnce is how many nodes are asked at the same time.
	asksAtOnce = 16
)

// Members implements [torc.Table]. Nobody sends a ring's views, so while somebody wants
// them, every node is asked what it knows, several times a second. A node is a member
// if it answers, and Down while it doesn't and others have it in their lists. The
// version is the time at which this Table saw the change, in microseconds since 1970.
func (t *Table) Members(ctx context.Context) iter.Seq2[torc.View, error] {
	return func(yield func(torc.View, error) bool) {
		if ctx.Err() != nil {
			return
		}
		first := t.watch()
		if first == nil {
			yield(torc.View{}, failure(opMembers, "", nil, torc.ErrClosed))
			return
		}
		defer t.unwatch()
		select {
		case <-first:
		case <-ctx.Done():
		case <-t.life.Done():
		}
		for seen := uint64(0); ctx.Err() == nil; {
			if t.life.Err() != nil {
				yield(torc.View{}, failure(opMembers, "", nil, torc.ErrClosed))
				return
			}
			r := t.routing.Load()
			if r.view.Version > seen {
				seen = r.view.Version
				if !yield(r.view, nil) {
					return
				}
				continue
			}
			select {
			case <-r.replaced:
			case <-ctx.Done():
			case <-t.life.Done():
			}
		}
	}
}

// watch sees to it that the lookout is at work. What it returns is closed once it has
// seen the ring; it is nil if the table is closed.
func (t *Table) watch() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.closed {
		return nil
	}
	l := &t.mu.lookout
	if l.watchers++; l.watchers == 1 {
		ctx, stop := context.WithCancel(t.life)
		first := make(chan struct{})
		l.stop, l.first = stop, first
		t.running.Go(func() { t.lookOut(ctx, first) })
	}
	return l.first
}

func (t *Table) unwatch() {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := &t.mu.lookout
	if l.watchers--; l.watchers == 0 {
		l.stop()
	}
}

// lookOut looks at the ring again and again, until ctx is done.
func (t *Table) lookOut(ctx context.Context, first chan struct{}) {
	for {
		began := time.Now()
		seen := t.lookAround(ctx)
		if ctx.Err() == nil {
			t.see(seen, time.Now())
		}
		if first != nil {
			close(first)
			first = nil
		}
		took := time.Since(began)
		pause := time.NewTimer(max(lookPause, lookShare*took))
		select {
		case <-pause.C:
		case <-t.news:
			sleep(ctx, max(lookSoon, took))
		case <-ctx.Done():
		}
		pause.Stop()
		if ctx.Err() != nil {
			return
		}
	}
}

// sighting is what came of asking a node how it stands.
type sighting struct {
	at     *reached
	status link.Status
	err    error
	// named: another node has it in its list.
	named bool
}

// lookAround asks all nodes how they stand: those that the table knows, and then whom
// these know.
func (t *Table) lookAround(ctx context.Context) map[string]*sighting {
	var look struct {
		sync.Mutex
		seen map[string]*sighting // by address
	}
	look.seen = make(map[string]*sighting)
	room := make(chan struct{}, asksAtOnce)
	var asking sync.WaitGroup
	var ask func(at *reached)
	// meet asks who has not been, and notes who is somebody's neighbour.
	meet := func(named bool, addrs ...string) {
		look.Lock()
		defer look.Unlock()
		for _, addr := range addrs {
			s := look.seen[addr]
			if s == nil {
				at := t.node(addr)
				if at == nil {
					return // the table is closed
				}
				s = &sighting{at: at}
				look.seen[addr] = s
				asking.Go(func() { ask(at) })
			}
			s.named = s.named || named
		}
	}
	ask = func(at *reached) {
		room <- struct{}{}
		status, err := t.status(ctx, at)
		<-room
		look.Lock()
		s := look.seen[at.addr]
		s.status, s.err = status, err
		look.Unlock()
		if err == nil {
			meet(true, addrsOf(status.Predecessor)...)
			meet(true, addrsOf(status.Successors...)...)
			meet(false, addrsOf(status.Fingers...)...)
		}
	}
	for _, at := range t.acquaintances() {
		meet(false, at.addr)
	}
	asking.Wait()
	return look.seen
}

// addrsOf returns the addresses of nodes that can have one.
func addrsOf(refs ...ring.Ref) (addrs []string) {
	for _, ref := range slices.Compact(refs) {
		if !ref.None() && torc.CheckAddr(ref.Addr) == nil {
			addrs = append(addrs, ref.Addr)
		}
	}
	return addrs
}

// see makes a view, and arcs, of what was seen.
func (t *Table) see(seen map[string]*sighting, now time.Time) {
	old := t.routing.Load().view
	view := torc.View{Generation: t.ring, LostContact: old.LostContact}
	reached := false
	for addr, s := range seen {
		switch {
		case s.err == nil && s.status.Joined:
			reached = true
			if s.status.Serving {
				t.hear(s.status.Claim.Span, s.status.Claim.Owner, nil)
			}
			view.Members = append(view.Members, torc.Member{Addr: addr, Weight: 1})
		case s.err == nil: // it is on its way in
			reached = true
		case s.named:
			m := torc.Member{Addr: addr, Weight: 1, State: torc.Down, Reason: "it gives no answer"}
			var why *unansweredError
			if errors.As(s.err, &why) {
				m.Reason = why.bare()
			}
			view.Members = append(view.Members, m)
		}
	}
	switch {
	case reached:
		view.LostContact = time.Time{}
	case view.LostContact.IsZero():
		view.LostContact = now
	}
	if !reached {
		view.Members = old.Members // the last that are known
	}
	slices.SortFunc(view.Members, func(a, b torc.Member) int { return cmp.Compare(a.Addr, b.Addr) })
	for i := range view.Members {
		m := &view.Members[i]
		if was, ok := memberAt(&old, m.Addr); ok && was.State == m.State {
			m.Since = was.Since
		} else {
			m.Since = now
		}
	}
	same := func(a, b torc.Member) bool { return a.Addr == b.Addr && a.State == b.State }
	if old.Version != 0 && view.LostContact.Equal(old.LostContact) && slices.EqualFunc(view.Members, old.Members, same) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.mu.closed {
		t.changeLocked(now, func(next *routing) {
			view.Version = next.version
			next.view = view
		})
	}
}

// memberAt finds a view's member by its address.
func memberAt(v *torc.View, addr string) (torc.Member, bool) {
	i, ok := slices.BinarySearchFunc(v.Members, addr, func(m torc.Member, addr string) int { return cmp.Compare(m.Addr, addr) })
	if !ok {
		return torc.Member{}, false
	}
	return v.Members[i], true
}
