package fleet

import (
	"context"
	"errors"
	"iter"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/torc-dht/torc/memcache"
)

// busyPause is how long is waited for a server that is at another dump, which
// takes it seconds.
const busyPause = 200 * time.Millisecond

// keysOf lists a server's keys, as soon as it is at no other dump.
func keysOf(ctx context.Context, c *memcache.Client) iter.Seq2[memcache.KeyInfo, error] {
	return patient(ctx, c.Metadump)
}

// allKeysOf is keysOf that leaves out none. It must not be kept waiting.
func allKeysOf(ctx context.Context, c *memcache.Client) iter.Seq2[memcache.KeyInfo, error] {
	return func(yield func(memcache.KeyInfo, error) bool) {
		for {
			n := 0
			for info, err := range patient(ctx, c.MetadumpHash) {
				if n++; !yield(info, err) || err != nil {
					return
				}
			}
			// A server that makes its hash table larger lists nothing.
			if n > 0 || !figuresOf(ctx, c).growing {
				return
			}
			if err := sleep(ctx, busyPause); err != nil {
				yield(memcache.KeyInfo{}, err)
				return
			}
		}
	}
}

// lister is one way to list a server's keys.
type lister func(context.Context, *memcache.Client) iter.Seq2[memcache.KeyInfo, error]

// fewKeys are few enough to be remembered, at some 150 bytes each.
const fewKeys = 100_000

// fewKeysOf is allKeysOf that may be kept waiting, for a server with few keys.
func fewKeysOf(ctx context.Context, c *memcache.Client) iter.Seq2[memcache.KeyInfo, error] {
	return func(yield func(memcache.KeyInfo, error) bool) {
		var all []memcache.KeyInfo
		for info, err := range allKeysOf(ctx, c) {
			if err != nil {
				yield(memcache.KeyInfo{}, err)
				return
			}
			all = append(all, info)
		}
		for _, info := range all {
			if !yield(info, nil) {
				return
			}
		}
	}
}

// patient dumps again when the server is at another dump.
func patient(ctx context.Context, dump func(context.Context) iter.Seq2[memcache.KeyInfo, error]) iter.Seq2[memcache.KeyInfo, error] {
	return func(yield func(memcache.KeyInfo, error) bool) {
		for busy := true; busy; {
			busy = false
			for info, err := range dump(ctx) {
				var se *memcache.ServerError
				if errors.As(err, &se) && strings.HasPrefix(se.Line, "BUSY") {
					busy = true
					break
				}
				if !yield(info, err) {
					return
				}
			}
			if !busy {
				return
			}
			if err := sleep(ctx, busyPause/2+rand.N(busyPause)); err != nil {
				yield(memcache.KeyInfo{}, err)
				return
			}
		}
	}
}

// hiding is for how long an item may be left out of listings: memcached 1.6
// passes over those that were read and wait to be moved to another of its queues,
// and takes a second at most to move them.
const hiding = 1200 * time.Millisecond

// figures are what a server counts: what it has, and what it has ever stored,
// moved between its queues, and evicted.
type figures struct {
	told                          bool
	at                            time.Time // by the server's clock, in whole seconds
	items, stored, moved, evicted uint64
	growing                       bool // its hash table
}

// figuresOf asks a server for its figures.
func figuresOf(ctx context.Context, c *memcache.Client) figures {
	stats, err := c.Stats(ctx)
	if err != nil {
		return figures{}
	}
	number := func(names ...string) (sum uint64) {
		for _, name := range names {
			n, _ := strconv.ParseUint(stats[name], 10, 64) // 0 if it does not tell
			sum += n
		}
		return sum
	}
	return figures{
		told:    true,
		at:      time.Unix(int64(number("time")), 0),
		items:   number("curr_items"),
		stored:  number("total_items"),
		moved:   number("moves_to_cold", "moves_to_warm", "moves_within_lru"),
		evicted: number("evictions"),
		growing: stats["hash_is_expanding"] == "1",
	}
}

// complete says whether a listing of so many items, made when the server's figures
// went from f to after, has surely left out none that was there all the time: on
// nobody's account was anything stored or moved meanwhile, and it was as long as
// the server had items. So it is on an idle server that has no expired ones.
func (f *figures) complete(after *figures, listed uint64) bool {
	quiet := f.told && after.told && f.stored == after.stored && f.moved == after.moved
	return f.told && f.items == 0 || quiet && listed >= f.items
}

// sleep waits for d, or returns why ctx is done before.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return context.Cause(ctx)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
