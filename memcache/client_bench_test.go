package memcache_test

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
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
//	go test -run '^$' -bench Client ./memcache

const benchKeys = 1024

var benchGoroutines = []int{1, 64, 256}

func benchKey(i uint32) string { return "bench-key-" + strconv.Itoa(int(i%benchKeys)) }

func BenchmarkClientGet(b *testing.B) { benchmarkPeers(b, "get") }
func BenchmarkClientPut(b *testing.B) { benchmarkPeers(b, "put") }

func benchmarkPeers(b *testing.B, what string) {
	addr := memcachetest.Start(b)
	value := bytes.Repeat([]byte("v"), 100)
	keys := make([]string, benchKeys)
	for i := range keys {
		keys[i] = benchKey(uint32(i))
	}
	ctx := context.Background()
	for _, goroutines := range benchGoroutines {
		b.Run(fmt.Sprintf("torc/%d", goroutines), func(b *testing.B) {
			c := ours.NewClient(addr, ours.Config{ReadTimeout: time.Second})
			defer c.Close()
			for _, k := range keys {
				if _, err := c.Set(ctx, ours.Item{Key: k, Value: value}, ours.ModeSet); err != nil {
					b.Fatal(err)
				}
			}
			spread(b, goroutines, func(i uint32) error {
				key := keys[i%benchKeys]
				if what == "put" {
					_, err := c.Set(ctx, ours.Item{Key: key, Value: value}, ours.ModeSet)
					return err
				}
				_, err := c.Get(ctx, key)
				return err
			})
		})
		b.Run(fmt.Sprintf("gomemcache/%d", goroutines), func(b *testing.B) {
			c := memcache.New(addr)
			c.MaxIdleConns = goroutines
			c.Timeout = time.Second
			defer c.Close()
			spread(b, goroutines, func(i uint32) error {
				key := keys[i%benchKeys]
				if what == "put" {
					return c.Set(&memcache.Item{Key: key, Value: value})
				}
				_, err := c.Get(key)
				return err
			})
		})
	}
}

// spread has b.N calls made by so many goroutines.
func spread(b *testing.B, goroutines int, call func(i uint32) error) {
	b.ReportAllocs()
	b.ResetTimer()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for {
				i := next.Add(1)
				if i > int64(b.N) {
					return
				}
				if err := call(uint32(i)); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
}
