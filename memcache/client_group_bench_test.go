//go:build unix

package memcache_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/torc-dht/torc/internal/versus"
	"github.com/torc-dht/torc/memcache"
)

// BenchmarkGroup puts a Set to three memcached servers by a Group beside a Set
// to one of them, over loopback, with values of 100 bytes: the throughput of 1
// and of 64 goroutines, and the median times of one.
//
//	go test -run '^$' -bench Group ./memcache
func BenchmarkGroup(b *testing.B) {
	clients := openClients(b, 3, memcache.Config{ReadTimeout: 500 * time.Millisecond, WriteTimeout: time.Second})
	ctx := context.Background()
	value := bytes.Repeat([]byte("v"), 100)
	keys := make([]string, 1024)
	for i := range keys {
		keys[i] = fmt.Sprintf("bench-key-%d", i)
	}
	item := func(i int) memcache.Item { return memcache.Item{Key: keys[i%len(keys)], Value: value} }
	groups := sync.Pool{New: func() any { return new(memcache.Group) }}
	three := func(i int) (err error) {
		g := groups.Get().(*memcache.Group)
		for _, c := range clients {
			g.Set(c, item(i), memcache.ModeSet)
		}
		g.Wait(ctx)
		for i := range clients {
			if e := g.Err(i); e != nil {
				err = e
			}
		}
		g.Reset()
		groups.Put(g)
		return err
	}
	one := func(i int) error {
		_, err := clients[i%len(clients)].Set(ctx, item(i), memcache.ModeSet)
		return err
	}
	for _, goroutines := range []int{1, 64} {
		b.Run(fmt.Sprintf("set/goroutines=%d", goroutines), func(b *testing.B) {
			versus.Run(b, goroutines, versus.Side{Name: "three", Call: three}, versus.Side{Name: "one", Call: one})
		})
	}
	b.Run("set/median", func(b *testing.B) {
		var took [2][]time.Duration
		for i := range b.N {
			for side, call := range []func(int) error{three, one} {
				start := time.Now()
				if err := call(i); err != nil {
					b.Fatal(err)
				}
				took[side] = append(took[side], time.Since(start))
			}
		}
		for side := range took {
			slices.Sort(took[side])
		}
		three, one := took[0][b.N/2], took[1][b.N/2]
		b.ReportMetric(0, "ns/op")
		b.ReportMetric(float64(three.Nanoseconds()), "three-p50-ns")
		b.ReportMetric(float64(one.Nanoseconds()), "one-p50-ns")
		b.ReportMetric(float64(three)/float64(one), "three/one")
	})
}

// BenchmarkGroupMany has one goroutine ask one memcached for many things at a
// time: Gets and Sets of 100 bytes and Heads in turns. An op is a request; cpu-ns
// is what this process spends on it.
func BenchmarkGroupMany(b *testing.B) {
	clients := openClients(b, 1, memcache.Config{ReadTimeout: 500 * time.Millisecond, WriteTimeout: time.Second})
	ctx := context.Background()
	value := bytes.Repeat([]byte("v"), 100)
	keys := make([]string, 1024)
	for i := range keys {
		keys[i] = fmt.Sprintf("bench-key-%d", i)
	}
	for _, size := range []int{30, 300, 3000, 30000} {
		b.Run(fmt.Sprint("requests=", size), func(b *testing.B) {
			b.ReportAllocs()
			var g memcache.Group
			c := clients[0]
			cpu := ownCPU(b)
			for n := 0; n < b.N; n += g.Len() {
				g.Reset()
				for i := range min(size, b.N-n) {
					switch key := keys[i%len(keys)]; i % 3 {
					case 0:
						g.Set(c, memcache.Item{Key: key, Value: value}, memcache.ModeSet)
					case 1:
						g.Head(c, key)
					default:
						g.Get(c, keys[i/3*3%len(keys)])
					}
				}
				g.Wait(ctx)
				for i := range g.Len() {
					if i%3 == 0 && g.Err(i) != nil {
						b.Fatal(g.Err(i))
					}
				}
			}
			b.ReportMetric(float64(ownCPU(b)-cpu)/float64(b.N), "cpu-ns/op")
		})
	}
}

// ownCPU is what this process has used of the processors.
func ownCPU(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkHedged puts GetHedged beside Get.
func BenchmarkHedged(b *testing.B) {
	clients := openClients(b, 1, memcache.Config{ReadTimeout: 500 * time.Millisecond})
	c, ctx := clients[0], context.Background()
	if _, err := c.Set(ctx, memcache.Item{Key: "k", Value: make([]byte, 100)}, memcache.ModeSet); err != nil {
		b.Fatal(err)
	}
	for _, goroutines := range []int{1, 64} {
		b.Run(fmt.Sprintf("goroutines=%d", goroutines), func(b *testing.B) {
			versus.Run(b, goroutines,
				versus.Side{Name: "hedged", Call: func(int) error {
					_, late, err := c.GetHedged(ctx, "k", 30*time.Millisecond)
					if late != nil {
						_, err = late.Wait(ctx)
					}
					return err
				}},
				versus.Side{Name: "plain", Call: func(int) error { _, err := c.Get(ctx, "k"); return err }})
		})
	}
}
