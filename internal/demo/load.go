package demo

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/crash"
)

// load is callers that use a table as a cache is used: they read keys, and put
// again what they miss.
type load struct {
	table   torc.Table
	keys    []string
	callers int
	// pause is how long a caller waits between two reads.
	pause time.Duration

	mu struct {
		sync.Mutex
		seen  map[string]*tally // by key
		spans []tally           // by tenth of a second since began
		wrong []string          // keys that had another value than theirs
	}
	began time.Time
}

// span is the time that one cell of the hits' curve stands for.
const span = 100 * time.Millisecond

// tally counts reads by their outcome.
type tally struct{ reads, hits, failed int }

func (t *tally) add(o tally) {
	t.reads += o.reads
	t.hits += o.hits
	t.failed += o.failed
}

func (t tally) hitRate() float64 {
	if t.reads == 0 {
		return 1
	}
	return float64(t.hits) / float64(t.reads)
}

// valueOf is the one value that is ever put at key, so that another key's value
// would be seen.
func valueOf(key string) string { return "value of " + key }

// run reads until ctx is done.
func (l *load) run(ctx context.Context) {
	l.began = time.Now()
	l.mu.seen = make(map[string]*tally)
	for _, k := range l.keys {
		l.mu.seen[k] = new(tally)
	}
	var callers sync.WaitGroup
	for c := range l.callers {
		callers.Go(func() {
			defer crash.Guard()
			tick := time.NewTicker(l.pause)
			defer tick.Stop()
			for i := c; ; i += l.callers {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
				l.read(ctx, l.keys[i%len(l.keys)])
			}
		})
	}
	callers.Wait()
}

// read reads one key and puts it if it is missing.
func (l *load) read(ctx context.Context, key string) {
	e, err := l.table.Get(ctx, key)
	if ctx.Err() != nil {
		return // cut off by the end, not by the table
	}
	now := tally{reads: 1}
	switch {
	case err == nil:
		now.hits = 1
	case !errors.Is(err, torc.ErrNotFound):
		now.failed = 1
	}
	l.note(key, now, err == nil && string(e.Value) != valueOf(key))
	if err != nil {
		// Best effort, as a cache's user does it: the next reader tries again.
		_ = l.table.Put(ctx, key, []byte(valueOf(key)))
	}
}

func (l *load) note(key string, now tally, wrong bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.seen[key].add(now)
	i := int(time.Since(l.began) / span)
	for len(l.mu.spans) <= i {
		l.mu.spans = append(l.mu.spans, tally{})
	}
	l.mu.spans[i].add(now)
	if wrong {
		l.mu.wrong = append(l.mu.wrong, key)
	}
}

// totals sums up what was read of the keys that pick chooses.
func (l *load) totals(pick func(key string) bool) tally {
	l.mu.Lock()
	defer l.mu.Unlock()
	var sum tally
	for k, t := range l.mu.seen {
		if pick(k) {
			sum.add(*t)
		}
	}
	return sum
}

// curve returns the share of hits in each span.
func (l *load) curve() []float64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	rates := make([]float64, len(l.mu.spans))
	for i, s := range l.mu.spans {
		rates[i] = s.hitRate()
	}
	return rates
}

func (l *load) wrong() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.mu.wrong)
}

// fill puts every key, and fails at the first that can't be put.
func fill(ctx context.Context, t torc.Table, keys []string) error {
	for _, k := range keys {
		if err := t.Put(ctx, k, []byte(valueOf(k))); err != nil {
			return err
		}
	}
	return nil
}

// readThrough reads every key once and puts what it misses; it returns how many
// hit with the right value.
func readThrough(ctx context.Context, t torc.Table, keys []string) (hits int, err error) {
	for _, k := range keys {
		e, err := t.Get(ctx, k)
		switch {
		case err == nil && string(e.Value) == valueOf(k):
			hits++
		case err == nil:
			return hits, fmt.Errorf("%s has %q, which was never put there", torc.QuoteKey(k), e.Value)
		case errors.Is(err, torc.ErrNotFound):
			if err := t.Put(ctx, k, []byte(valueOf(k))); err != nil {
				return hits, err
			}
		default:
			return hits, err
		}
	}
	return hits, nil
}

// places returns each key's first owner.
func places(ctx context.Context, t torc.Table, keys []string) (map[string]string, error) {
	where := make(map[string]string, len(keys))
	for _, k := range keys {
		p, err := t.Locate(ctx, k)
		if err != nil {
			return nil, err
		}
		if len(p.Owners) == 0 {
			return nil, fmt.Errorf("nobody holds %s", torc.QuoteKey(k))
		}
		where[k] = p.Owners[0].Addr
	}
	return where, nil
}
