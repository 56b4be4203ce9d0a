package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// callers of each contender. More of them than servers, so that one that
	// has to wait for a server leaves enough that don't.
	callers = 32
	// window is what a hit rate is taken over.
	window = 100 * time.Millisecond
)

// tally counts reads by their outcome.
type tally struct {
	reads, hits int
	// errors are calls, reads or writes, that were told of a failure: neither a
	// value, nor that there is none, nor that it is stored.
	errors int
	// wrong are values that were never put at their key.
	wrong int
	// slowest is the longest that a read took.
	slowest time.Duration
}

func (t *tally) add(o tally) {
	t.reads += o.reads
	t.hits += o.hits
	t.errors += o.errors
	t.wrong += o.wrong
	t.slowest = max(t.slowest, o.slowest)
}

// hitRate is that of a tally that has reads.
func (t tally) hitRate() float64 { return float64(t.hits) / float64(t.reads) }

// valueAt is the one value that is ever put at key.
func valueAt(key string) string {
	return key + "=the value that a slower place than a cache has for this key, always"
}

// load reads random keys at a steady rate, and puts what it misses, until ctx is
// done. It returns a tally for each window since began; a read counts where it
// began. A caller that is kept waiting skips reads and does not make up for them.
func load(ctx context.Context, c cache, p plan, began time.Time) []tally {
	windows := int(p.length()/window) + 1
	perCaller := make([][]tally, callers)
	var running sync.WaitGroup
	for i := range callers {
		tallies := make([]tally, windows)
		perCaller[i] = tallies
		running.Go(func() {
			tick := time.NewTicker(time.Second * callers / time.Duration(p.rate))
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
				}
				start := time.Now()
				t := read(ctx, c, p.key(rand.IntN(p.keys)))
				if w := int(start.Sub(began) / window); w < windows && ctx.Err() == nil {
					tallies[w].add(t)
				}
			}
		})
	}
	running.Wait()
	sum := perCaller[0]
	for _, tallies := range perCaller[1:] {
		for w := range sum {
			sum[w].add(tallies[w])
		}
	}
	return sum[:windows-1] // the last one is cut short
}

// read does what a user of a cache does: what isn't there is fetched elsewhere
// and put there for the next one, whatever the reason.
func read(ctx context.Context, c cache, key string) tally {
	t := tally{reads: 1}
	start := time.Now()
	value, err := c.get(ctx, key)
	t.slowest = time.Since(start)
	switch {
	case err == nil && string(value) == valueAt(key):
		t.hits = 1
		return t
	case err == nil:
		t.wrong = 1
		return t
	case !errors.Is(err, errMiss):
		t.errors = 1
	}
	if err := c.put(ctx, key, []byte(valueAt(key))); err != nil {
		t.errors++
	}
	return t
}
