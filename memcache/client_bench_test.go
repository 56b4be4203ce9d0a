package memcache_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/bradfitz/gomemcache/memcache"

	"github.com/torc-dht/torc/internal/versus"
	ours "github.com/torc-dht/torc/memcache"
	"github.com/torc-dht/torc/memcache/memcachetest"
)

// BenchmarkClient puts this package's client beside bradfitz/gomemcache, the
// client that most Go programs use, against one memcached over loopback, with
// values of 100 bytes. gomemcache gets as many idle connections as there are
// goroutines, as its documentation advises.
//
//	go test -run '^$' -bench Client ./memcache
func BenchmarkClient(b *testing.B) {
	addr := memcachetest.Start(b)
	items := make([]*memcache.Item, 1024)
	for i := range items {
		items[i] = &memcache.Item{Key: fmt.Sprintf("bench-key-%d", i), Value: bytes.Repeat([]byte("v"), 100)}
	}
	item := func(i int) *memcache.Item { return items[i%len(items)] }
	for _, goroutines := range []int{1, 64, 256} {
		c := ours.NewClient(addr, ours.Config{ReadTimeout: time.Second, WriteTimeout: time.Second})
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
		ctx := context.Background() // gomemcache has none that could end
		b.Run(fmt.Sprintf("get/goroutines=%d", goroutines), func(b *testing.B) {
			versus.Run(b, goroutines,
				versus.Side{Name: "torc", Call: func(i int) error { _, err := c.Get(ctx, item(i).Key); return err }},
				versus.Side{Name: "gomemcache", Call: func(i int) error { _, err := p.Get(item(i).Key); return err }})
		})
		b.Run(fmt.Sprintf("put/goroutines=%d", goroutines), func(b *testing.B) {
			versus.Run(b, goroutines,
				versus.Side{Name: "torc", Call: func(i int) error {
					_, err := c.Set(ctx, ours.Item{Key: item(i).Key, Value: item(i).Value}, ours.ModeSet)
					return err
				}},
				versus.Side{Name: "gomemcache", Call: func(i int) error { return p.Set(item(i)) }})
		})
	}
}
