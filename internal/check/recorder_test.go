package check_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/check"
	"github.com/torc-dht/torc/tabletest"
)

func TestRecorder(t *testing.T) {
	t.Parallel()
	r := check.NewRecorder()
	table := tabletest.NewMemory()
	var wg sync.WaitGroup
	for i := range 64 {
		c := r.Client(table)
		wg.Go(func() {
			ctx := t.Context()
			for n := range 20 {
				key, value := fmt.Sprint("k", n%4), fmt.Sprintf("%d-%d", i, n)
				e, err := c.Get(ctx, key)
				switch {
				case err == nil && n%3 == 0:
					_ = c.Swap(ctx, key, e, value)
				case n%5 == 0:
					_ = c.Delete(ctx, key)
				case n%2 == 0:
					_ = c.PutIfAbsent(ctx, key, value)
				default:
					_ = c.Put(ctx, key, value)
				}
			}
		})
	}
	wg.Wait()
	h := r.History()
	if len(h) != 64*20*2 {
		t.Fatalf("%d operations were recorded", len(h))
	}
	outcomes := make(map[check.Outcome]int)
	for _, o := range h {
		outcomes[o.Outcome]++
		if o.Call > o.Return || o.Call < 0 {
			t.Errorf("%v", o)
		}
	}
	for _, o := range []check.Outcome{check.OK, check.Missing, check.Exists} {
		if outcomes[o] == 0 {
			t.Errorf("no operation ended with %q: %v", o, outcomes)
		}
	}
	check.Verify(t, h, check.Register)
}

// swapping is a table whose entries can be swapped, and whose writes are all swaps.
type swapping struct {
	*tabletest.Memory
	mu sync.Mutex
}

func (s *swapping) Swap(ctx context.Context, key string, value []byte) (torc.Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, err := s.Get(ctx, key)
	if err != nil && !errors.Is(err, torc.ErrNotFound) {
		return torc.Entry{}, err
	}
	return old, s.Put(ctx, key, value)
}

func TestRecorderOfExchanges(t *testing.T) {
	t.Parallel()
	r := check.NewRecorder()
	table := &swapping{Memory: tabletest.NewMemory()}
	var wg sync.WaitGroup
	for i := range 16 {
		c := r.Client(table)
		wg.Go(func() {
			for n := range 100 {
				c.Labelled = func() bool { return n == 50 }
				if _, err := c.Exchange(t.Context(), "k", fmt.Sprintf("%d-%d", i, n)); err != nil {
					t.Error(err)
				}
				_, _ = c.Get(t.Context(), "k") // recorded
			}
		})
	}
	wg.Wait()
	h := r.History()
	none, labelled := 0, 0
	for _, o := range h {
		if o.Labelled {
			labelled++
		}
		if o.Op == check.Exchange && !o.Found {
			none++
		}
	}
	if none != 1 || labelled != 16*2 {
		t.Errorf("%d found none, %d are labelled", none, labelled)
	}
	check.Verify(t, h, check.Register)

	r = check.NewRecorder()
	if _, err := r.Client(tabletest.NewMemory()).Exchange(t.Context(), "k", "v"); !errors.Is(err, torc.ErrUnsupported) {
		t.Errorf("a table that can't swap: %v", err)
	}
	if h := r.History(); len(h) != 1 || h[0].Outcome != check.Failed {
		t.Errorf("recorded as %v", h)
	}
}

// answers gives the same error to every call.
type answers struct {
	torc.Table
	err error
}

func (a answers) Get(context.Context, string) (torc.Entry, error) {
	return torc.Entry{Value: []byte("v")}, a.err
}
func (a answers) Put(context.Context, string, []byte, ...torc.PutOption) error { return a.err }
func (a answers) Swap(context.Context, string, []byte) (torc.Entry, error) {
	return torc.Entry{}, a.err
}
func (a answers) Delete(context.Context, string) error { return a.err }

func TestOutcomes(t *testing.T) {
	t.Parallel()
	wrap := func(err error) error { return &torc.Error{Op: "op", Key: "k", Err: err} }
	for _, c := range []struct {
		err                                        error
		get, put, ifAbsent, swap, delete, exchange check.Outcome
	}{
		{nil, "ok", "ok", "ok", "ok", "ok", "ok"},
		{wrap(torc.ErrNotFound), "missing", "missing", "missing", "missing", "missing", "unknown"},
		{wrap(fmt.Errorf("%w: %w", torc.ErrNotFound, torc.ErrUnavailable)), "failed", "failed", "failed", "failed", "failed", "failed"},
		{wrap(torc.ErrExists), "failed", "unknown", "exists", "unknown", "unknown", "unknown"},
		{wrap(torc.ErrConflict), "failed", "unknown", "unknown", "conflict", "unknown", "unknown"},
		{wrap(torc.ErrClosed), "failed", "failed", "failed", "failed", "failed", "failed"},
		{wrap(fmt.Errorf("%w: %w", torc.ErrUnavailable, torc.ErrUnknownOutcome)), "unknown", "unknown", "unknown", "unknown", "unknown", "unknown"},
		{wrap(fmt.Errorf("%w: %w", torc.ErrExists, torc.ErrUnknownOutcome)), "unknown", "unknown", "unknown", "unknown", "unknown", "unknown"},
		{errors.New("never heard of it"), "failed", "unknown", "unknown", "unknown", "unknown", "unknown"},
	} {
		r := check.NewRecorder()
		client := r.Client(answers{err: c.err})
		ctx := t.Context()
		_, err := client.Get(ctx, "k")
		_, swapErr := client.Exchange(ctx, "k", "v")
		for _, err := range []error{
			err, client.Put(ctx, "k", "v"), client.PutIfAbsent(ctx, "k", "v"),
			client.Swap(ctx, "k", torc.Entry{Value: []byte("old"), Version: torc.Version{Seq: 1}}, "v"), client.Delete(ctx, "k"), swapErr,
		} {
			if err != c.err {
				t.Errorf("the client returned %v, the table %v", err, c.err)
			}
		}
		want := []check.Outcome{c.get, c.exchange, c.put, c.ifAbsent, c.swap, c.delete}
		for i, o := range r.History() {
			if o.Outcome != want[i] || o.Key != "k" || (o.Err == "") != (c.err == nil) {
				t.Errorf("%v was recorded as %v, want %q", c.err, o, want[i])
			}
		}
	}
}

func BenchmarkRecorder(b *testing.B) {
	r := check.NewRecorder()
	b.SetParallelism(32)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		c := r.Client(answers{})
		for pb.Next() {
			_ = c.Put(b.Context(), "k", "v")
		}
	})
}
