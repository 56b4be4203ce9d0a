package memcache_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/torc-dht/torc/memcache"
	"github.com/torc-dht/torc/memcache/memcachetest"
)

func TestConformanceMemcached(t *testing.T) {
	memcachetest.Run(t, memcachetest.Start(t))
}

func openClient(t testing.TB, addr string, cfg memcache.Config) *memcache.Client {
	t.Helper()
	c := memcache.NewClient(addr, cfg)
	t.Cleanup(func() { c.Close() })
	return c
}

// Many goroutines write and read values that nobody else writes, some give up
// at random moments, and nobody ever sees a value of another key.
func TestManyCallersWithCancels(t *testing.T) {
	t.Parallel()
	addr := memcachetest.Start(t)
	for _, cfg := range []memcache.Config{{}, {Conns: 1, MaxPending: 8, MaxPendingBytes: 1000, ReadTimeout: 5 * time.Second}} {
		c := openClient(t, addr, cfg)
		var wg sync.WaitGroup
		var gaveUp, read atomic.Int64
		for g := range 64 {
			wg.Go(func() {
				key := fmt.Sprintf("key-%d", g)
				last := -1 // the last that was surely written; a later one may be there too
				for i := range 150 {
					ctx, cancel := t.Context(), context.CancelFunc(func() {})
					if rand.N(4) == 0 {
						ctx, cancel = context.WithTimeout(ctx, rand.N(300*time.Microsecond))
					}
					value := fmt.Sprintf("%s=%d=%s", key, i, strings.Repeat("x", rand.N(500)))
					buf := []byte(value)
					_, err := c.Set(ctx, memcache.Item{Key: key, Value: buf}, memcache.ModeSet)
					clear(buf) // it is ours again, whatever became of the write
					if err == nil {
						last = i
					} else if ctx.Err() == nil {
						t.Errorf("set: %v", err)
					} else {
						gaveUp.Add(1)
					}
					item, err := c.Get(ctx, key)
					cancel()
					if err != nil {
						if ctx.Err() == nil && (last >= 0 || !errors.Is(err, memcache.ErrNotFound)) {
							t.Errorf("get: %v", err)
						}
						continue
					}
					read.Add(1)
					var n int
					rest, ok := strings.CutPrefix(string(item.Value), key+"=")
					if _, err := fmt.Sscanf(rest, "%d=", &n); !ok || err != nil || n < last || n > i {
						t.Errorf("key %s has the value %.40q after write %d, of which %d was confirmed", key, item.Value, i, last)
					}
				}
			})
		}
		wg.Wait()
		t.Logf("%d values read, %d requests given up", read.Load(), gaveUp.Load())
		if err := c.Ping(t.Context()); err != nil {
			t.Errorf("after all that: %v", err)
		}
	}
}

func TestGetAllocatesTheValueAlone(t *testing.T) {
	c := openClient(t, memcachetest.Start(t), memcache.Config{ReadTimeout: time.Minute})
	ctx := context.Background()
	for _, key := range []string{"plain", "with spaces, and so in base64"} {
		if _, err := c.Set(ctx, memcache.Item{Key: key, Value: make([]byte, 100)}, memcache.ModeSet); err != nil {
			t.Fatal(err)
		}
		allocs := testing.AllocsPerRun(500, func() {
			if _, err := c.Get(ctx, key); err != nil {
				t.Error(err)
			}
		})
		if allocs > 1 && !raceEnabled {
			t.Errorf("a GET of %q allocates %v times, want at most once", key, allocs)
		}
	}
}

func TestKeysThatDoNotGo(t *testing.T) {
	t.Parallel()
	c := openClient(t, "127.0.0.1:1", memcache.Config{})
	for key, want := range map[string]string{
		"": "empty",
		strings.Repeat("k", memcache.MaxKeyLen+1):       "251 bytes, and 250",
		strings.Repeat(" ", memcache.MaxBinaryKeyLen+1): "187 bytes, and 186",
	} {
		_, err := c.Get(t.Context(), key)
		if !errors.Is(err, memcache.ErrKey) || !strings.Contains(err.Error(), want) {
			t.Errorf("key of %d bytes: error is %v, want ErrKey with %q", len(key), err, want)
		}
		if _, err := c.Set(t.Context(), memcache.Item{Key: key}, memcache.ModeSet); !errors.Is(err, memcache.ErrKey) {
			t.Errorf("set with a key of %d bytes: error is %v", len(key), err)
		}
	}
	if _, err := c.Stats(t.Context(), "items\r\nflush_all"); err == nil {
		t.Error("stats takes a line break")
	}
}

func TestValueOverTheClientsLimit(t *testing.T) {
	t.Parallel()
	addr := memcachetest.Start(t)
	big := openClient(t, addr, memcache.Config{})
	small := openClient(t, addr, memcache.Config{MaxValue: 1000})
	ctx := t.Context()
	if _, err := big.Set(ctx, memcache.Item{Key: "k", Value: make([]byte, 300_000)}, memcache.ModeSet); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := small.Get(ctx, "k"); !errors.Is(err, memcache.ErrTooLarge) {
			t.Errorf("get: %v, want ErrTooLarge", err)
		}
		if err := small.Ping(ctx); err != nil {
			t.Errorf("the connection is of no use after it: %v", err)
		}
	}
	if _, err := small.Set(ctx, memcache.Item{Key: "k", Value: make([]byte, 1001)}, memcache.ModeSet); !errors.Is(err, memcache.ErrTooLarge) {
		t.Errorf("set: %v, want ErrTooLarge", err)
	}
}

func TestConformanceOurServer(t *testing.T) {
	memcachetest.Run(t, startServer(t, &memcache.Server{Handler: newHandler()}))
}

func TestConformanceInBatches(t *testing.T) {
	memcachetest.Run(t, startServer(t, &memcache.Server{Handler: memcache.InBatches(newHandler())}))
}

// TestManyCallersInBatches has many callers share connections to a server that
// carries out what comes together and answers it in any order: each gets its own.
func TestManyCallersInBatches(t *testing.T) {
	t.Parallel()
	c := memcache.NewClient(startServer(t, &memcache.Server{Handler: memcache.InBatches(newHandler())}), memcache.Config{})
	defer c.Close()
	ctx := context.Background()
	var callers sync.WaitGroup
	for i := range 64 {
		callers.Go(func() {
			key := fmt.Sprint("key", i)
			for n := range 200 {
				value := fmt.Sprint(key, " ", n)
				_, err := c.SetOp(ctx, memcache.Item{Key: key, Value: []byte(value)}, memcache.ModeSet, memcache.OpID{Client: uint64(i), Number: uint64(n)})
				item, err2 := c.Get(ctx, key)
				if err := errors.Join(err, err2); err != nil || string(item.Value) != value {
					t.Errorf("%q, %v; want %q", item.Value, err, value)
					return
				}
			}
		})
	}
	callers.Wait()
}
