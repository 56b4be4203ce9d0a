package tabletest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/torc-dht/torc"
)

// ended expects err to be that of a call that its context ended.
func (f *fixture) ended(op, key string, err, cause error) {
	f.Helper()
	f.describes(err, op, key)
	if !errors.Is(err, cause) {
		f.Fatalf("%s with a context that is done: %v is not %v", op, err, cause)
	}
	if !errors.Is(err, torc.ErrUnavailable) && !errors.Is(err, torc.ErrUnknownOutcome) {
		f.Fatalf("%s with a context that is done: %v is neither ErrUnavailable nor ErrUnknownOutcome", op, err)
	}
}

// A call whose context is done before it begins does nothing.
func (s *suite) testDoneContext(f *fixture) {
	k, none := f.key("k"), f.key("none")
	f.put(k, "old")
	cancelled, cancel := context.WithCancel(f.ctx)
	cancel()
	late, cancel := context.WithDeadline(f.ctx, time.Now().Add(-time.Second))
	defer cancel()
	for ctx, cause := range map[context.Context]error{cancelled: context.Canceled, late: context.DeadlineExceeded} {
		for _, key := range []string{k, none} {
			f.everyCall(ctx, key, func(op string, err error) {
				if op == "locate" && err == nil {
					return // it need not ask anybody
				}
				f.ended(op, key, err, cause)
				if errors.Is(err, torc.ErrUnknownOutcome) {
					f.Fatalf("%s with a context that was done before: %v", op, err)
				}
			})
		}
	}
	f.holds(k, "old")
	f.lacks(none)
}

// Calls whose contexts end at any moment disturb no others: what they asked for
// never comes as the answer to somebody else.
func (s *suite) testHastyContext(f *fixture) {
	const keys = 16
	value := func(i int) string { return strings.Repeat(fmt.Sprint("value ", i, " "), 1+i*i*8) }
	key := func(i int) string { return f.key(fmt.Sprint("hasty", i)) }
	for i := range keys {
		f.put(key(i), value(i))
	}
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for range 100 {
				i := rand.IntN(keys)
				ctx, cancel := context.WithTimeout(f.ctx, time.Duration(rand.IntN(300))*time.Microsecond)
				e, err := f.Get(ctx, key(i))
				if err == nil && string(e.Value) != value(i) {
					f.Errorf("a hasty Get(%s) = %s", key(i), torc.QuoteKey(string(e.Value)))
				}
				if err != nil && !errors.Is(err, context.DeadlineExceeded) {
					f.Errorf("a hasty Get(%s): %v", key(i), err)
				}
				_ = f.Put(ctx, key(i), []byte(value(i)))
				cancel()
				if e, err = f.Get(f.ctx, key(i)); err != nil || string(e.Value) != value(i) {
					f.Errorf("Get(%s) beside hasty ones = %s, %v", key(i), torc.QuoteKey(string(e.Value)), err)
				}
			}
		})
	}
	wg.Wait()
}

func (s *suite) testLocate(f *fixture) {
	view := f.view()
	for i := range 100 {
		k := f.key(fmt.Sprint("k", i))
		p, err := f.Locate(f.ctx, k)
		if err != nil {
			f.Fatalf("Locate: %v", err)
		}
		if len(p.Owners) == 0 || p.Hops < 0 {
			f.Fatalf("Locate = %+v", p)
		}
		for n, owner := range p.Owners {
			if !s.restless && !slices.ContainsFunc(view.Members, func(m torc.Member) bool { return m.Addr == owner.Addr }) {
				f.Fatalf("the owner %s is no member: %+v", owner.Addr, view.Members)
			}
			if owner.State != torc.Up {
				f.Fatalf("the owner %s is %s", owner.Addr, owner.State)
			}
			if slices.ContainsFunc(p.Owners[:n], func(m torc.Member) bool { return m.Addr == owner.Addr }) {
				f.Fatalf("the owner %s is there twice: %+v", owner.Addr, p.Owners)
			}
		}
		again, err := f.Locate(f.ctx, k)
		sameAddr := func(a, b torc.Member) bool { return a.Addr == b.Addr }
		if err != nil || p.Generation == again.Generation && p.Version == again.Version && !slices.EqualFunc(p.Owners, again.Owners, sameAddr) {
			f.Fatalf("Locate = %+v, and under the same view %+v, %v", p, again, err)
		}
		if p.Generation != view.Generation || p.Version < view.Version {
			f.Fatalf("Locate answers from an older view than Members: %+v, %+v", p, view)
		}
		f.lacks(k) // to be located, a key need not be there
	}
}

// view returns the first view of Members.
func (f *fixture) view() torc.View {
	f.Helper()
	for view, err := range f.Members(f.ctx) {
		if err != nil {
			f.Fatalf("Members: %v", err)
		}
		return view
	}
	f.Fatal("Members ended without a view")
	return torc.View{}
}

func (s *suite) testMembers(f *fixture) {
	f.checkView(f.view())

	// The sequence ends when its context does, for each consumer alone, and
	// can be ranged over again.
	ctx, cancel := context.WithCancel(f.ctx)
	defer cancel()
	views := f.Members(ctx)
	var wg sync.WaitGroup
	first := make(chan torc.View, 8)
	for range cap(first) {
		wg.Go(func() {
			n := 0
			for view, err := range views {
				if err != nil {
					f.Errorf("Members: %v", err)
				}
				if n++; n == 1 {
					first <- view
				}
			}
		})
	}
	for range cap(first) {
		select {
		case view := <-first:
			f.checkView(view)
		case <-f.ctx.Done():
			f.Fatal("Members doesn't give a view to each of many consumers")
		}
	}
	cancel()
	wg.Wait()
	for view, err := range views {
		if err != nil {
			f.Errorf("Members with a context that is done: %+v, %v", view, err)
		}
	}
}

func (f *fixture) checkView(view torc.View) {
	f.Helper()
	if !slices.IsSortedFunc(view.Members, func(a, b torc.Member) int { return strings.Compare(a.Addr, b.Addr) }) {
		f.Errorf("the members are not sorted: %+v", view.Members)
	}
	if !view.LostContact.IsZero() {
		f.Errorf("contact was lost: %+v", view)
	}
	up := 0
	for i, m := range view.Members {
		if err := torc.CheckAddr(m.Addr); err != nil {
			f.Errorf("member %+v: %v", m, err)
		}
		if i > 0 && view.Members[i-1].Addr == m.Addr {
			f.Errorf("%s is a member twice", m.Addr)
		}
		if m.Weight == 0 || m.Since.IsZero() {
			f.Errorf("member %+v lacks its weight or since when", m)
		}
		if m.State == torc.Up {
			up++
		} else if m.Reason == "" {
			f.Errorf("member %+v doesn't say why it is not up", m)
		}
	}
	if up == 0 {
		f.Errorf("no member is up: %+v", view.Members)
	}
}

// Views come in order, none twice; a slow consumer gets the newest.
func (s *suite) testMembersChange(f *fixture) {
	const changes = 3
	var previous, newest torc.View
	n := 0
	for view, err := range f.Members(f.ctx) {
		if err != nil {
			f.Fatalf("Members: %v", err)
		}
		if n++; n == 1 {
			// While this consumer is busy, others see each change.
			previous, newest = view, view
			for range changes {
				s.change(f.T, f.Table)
				newest = f.after(newest)
			}
			continue
		}
		if !later(view, previous) || later(newest, view) {
			f.Fatalf("a consumer that was busy got %+v after %+v, although there was %+v", view, previous, newest)
		}
		if n == 2+changes {
			return
		}
		previous, newest = view, view
		s.change(f.T, f.Table)
	}
	f.Fatal("Members ended before all changes of the members were seen")
}

// later tells whether a came after b.
func later(a, b torc.View) bool {
	return a.Generation != b.Generation || a.Version > b.Version
}

// after waits for a later view than old.
func (f *fixture) after(old torc.View) torc.View {
	f.Helper()
	for view, err := range f.Members(f.ctx) {
		if err != nil {
			f.Fatalf("Members: %v", err)
		}
		if later(view, old) {
			return view
		}
	}
	f.Fatal("a change of the members was not seen")
	return torc.View{}
}

// After Close every call fails with ErrClosed, what is under way ends, and
// nothing is left running.
func (s *suite) testClose(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Run("Calls", func(t *testing.T) {
		f := s.fixture(t)
		k := f.key("k")
		f.put(k, "v")

		var wg sync.WaitGroup
		watching := make(chan struct{}, 4)
		for range cap(watching) {
			wg.Go(func() {
				var last error
				for _, err := range f.Members(f.ctx) {
					if last == nil && err == nil {
						select {
						case watching <- struct{}{}:
						default:
						}
					}
					last = err
				}
				if !errors.Is(last, torc.ErrClosed) {
					f.Errorf("Members ended with %v when the table was closed, want ErrClosed", last)
				}
			})
			wg.Go(func() {
				for {
					e, err := f.Get(f.ctx, k)
					if errors.Is(err, torc.ErrClosed) {
						return
					}
					if err != nil || string(e.Value) != "v" {
						f.Errorf("Get while the table was being closed: %q, %v", e.Value, err)
						return
					}
				}
			})
		}
		for range cap(watching) {
			select {
			case <-watching:
			case <-f.ctx.Done():
				f.Fatal("Members gives no view")
			}
		}
		for range 2 { // the second does nothing
			if err := f.Close(); err != nil {
				f.Errorf("Close: %v", err)
			}
		}
		wg.Wait()
		f.everyCall(f.ctx, k, func(op string, err error) { f.fails(err, op, k, torc.ErrClosed) })
		n := 0
		for view, err := range f.Members(f.ctx) {
			n++
			f.fails(err, "members", "", torc.ErrClosed)
			if len(view.Members) > 0 {
				f.Errorf("a closed table gives the view %+v", view)
			}
		}
		if n != 1 {
			f.Errorf("Members of a closed table gave %d errors, want one", n)
		}
	})
	if err := goleak.Find(before); err != nil {
		t.Errorf("the table was closed: %v", err)
	}
}
