package memcache_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bradfitz/gomemcache/memcache"

	ours "github.com/torc-dht/torc/memcache"
	"github.com/torc-dht/torc/memcache/memcachetest"
)

// The benchmarks put this package's client beside bradfitz/gomemcache, the
// client that most Go programs use, against one memcached over loopback, with
// values of 100 bytes. gomemcache gets as many idle connections as there are
// goroutines, as its documentation advises.
//
// The two take turns of a fraction of a second, so that what else the machine does
// meets both alike: x-gomemcache is the median of how many times as fast the
// turns were. An op is one request of each.
//
//	go test -run '^$' -bench Client ./memcache

func BenchmarkClientGet(b *testing.B) {
	benchmarkPeers(b, func(c *ours.Client, p *memcache.Client, item *memcache.Item) (us, them error) {
		if c != nil {
			_, us = c.Get(context.Background(), item.Key)
		} else {
			_, them = p.Get(item.Key)
		}
		return us, them
	})
}

func BenchmarkClientPut(b *testing.B) {
	benchmarkPeers(b, func(c *ours.Client, p *memcache.Client, item *memcache.Item) (us, them error) {
		if c != nil {
			_, us = c.Set(context.Background(), ours.Item{Key: item.Key, Value: item.Value}, ours.ModeSet)
		} else {
			them = p.Set(item)
		}
		return us, them
	})
}

// benchmarkPeers has call use whichever client is not nil.
func benchmarkPeers(b *testing.B, call func(*ours.Client, *memcache.Client, *memcache.Item) (us, them error)) {
	addr := memcachetest.Start(b)
	items := make([]*memcache.Item, 1024)
	for i := range items {
		items[i] = &memcache.Item{Key: fmt.Sprintf("bench-key-%d", i), Value: bytes.Repeat([]byte("v"), 100)}
	}
	for _, goroutines := range []int{1, 64, 256} {
		b.Run(fmt.Sprintf("goroutines=%d", goroutines), func(b *testing.B) {
			c := ours.NewClient(addr, ours.Config{ReadTimeout: time.Second})
			defer c.Close()
			p := memcache.New(addr)
			p.MaxIdleConns = goroutines
			p.Timeout = time.Second
			defer p.Close()
			for _, item := range items {
				if err := p.Set(item); err != nil {
					b.Fatal(err)
				}
			}
			var us, them time.Duration
			var ratios []float64
			turn := 1000 + 200*goroutines
			for left := b.N; left > 0; left -= turn {
				n := min(turn, left)
				mine := spread(b, n, goroutines, func(i int) error {
					err, _ := call(c, nil, items[i%len(items)])
					return err
				})
				theirs := spread(b, n, goroutines, func(i int) error {
					_, err := call(nil, p, items[i%len(items)])
					return err
				})
				us, them = us+mine, them+theirs
				ratios = append(ratios, theirs.Seconds()/mine.Seconds())
			}
			slices.Sort(ratios)
			b.ReportMetric(float64(us.Nanoseconds())/float64(b.N), "torc-ns/op")
			b.ReportMetric(float64(them.Nanoseconds())/float64(b.N), "gomemcache-ns/op")
			b.ReportMetric(ratios[len(ratios)/2], "x-gomemcache")
		})
	}
}

// spread has n calls made by so many goroutines, and says how long they took.
func spread(b *testing.B, n, goroutines int, call func(i int) error) time.Duration {
	var next atomic.Int64
	var wg sync.WaitGroup
	start := time.Now()
	for range goroutines {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				if err := call(int(i)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return time.Since(start)
}
