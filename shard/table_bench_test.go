package shard

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/torc-dht/torc/internal/versus"
	"github.com/torc-dht/torc/memcache"
	"github.com/torc-dht/torc/store"
)

// BenchmarkTable puts a table over one server beside bare clients: of the same
// server, which shows what the table costs, and of a memcache.Server over a store,
// which shows what the whole costs. All share this process's cores.
//
//	go test -run '^$' -bench Table ./shard
func BenchmarkTable(b *testing.B) {
	ctx := b.Context()
	master, _ := startMaster(b, &Master{Log: quiet()})
	s := &Server{Masters: []string{master}, Log: quiet(), Memory: 256 << 20}
	addr, _ := startServer(b, s)
	awaitJoined(b, s)
	table, err := New(ctx, []string{master}, TableOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer table.Close()

	plain := listen(b)
	server := &memcache.Server{Handler: memcache.NewHandler(store.New(store.Config{MaxBytes: 256 << 20}))}
	go func() { _ = server.Serve(plain) }()
	defer server.Close()

	const keyCount = 1024
	value := bytes.Repeat([]byte("v"), 100)
	keys := make([]string, keyCount)
	for i := range keys {
		keys[i] = fmt.Sprintf("bench-key-%d", i)
		if err := table.Put(ctx, keys[i], value); err != nil {
			b.Fatal(err)
		}
	}
	for name, addr := range map[string]string{"bare": addr, "memcached": plain.Addr().String()} {
		c := memcache.NewClient(addr, table.opts.client())
		defer c.Close()
		set := func(i int) error {
			_, err := c.Set(ctx, memcache.Item{Key: keys[i%keyCount], Value: value}, memcache.ModeSet)
			return err
		}
		for i := range keys {
			if err := set(i); err != nil {
				b.Fatal(err)
			}
		}
		for _, goroutines := range []int{1, 64} {
			b.Run(fmt.Sprintf("get/vs=%s/goroutines=%d", name, goroutines), func(b *testing.B) {
				versus.Run(b, goroutines,
					versus.Side{Name: "shard", Call: func(i int) error { _, err := table.Get(ctx, keys[i%keyCount]); return err }},
					versus.Side{Name: name, Call: func(i int) error { _, err := c.Get(ctx, keys[i%keyCount]); return err }})
			})
			b.Run(fmt.Sprintf("put/vs=%s/goroutines=%d", name, goroutines), func(b *testing.B) {
				versus.Run(b, goroutines,
					versus.Side{Name: "shard", Call: func(i int) error { return table.Put(ctx, keys[i%keyCount], value) }},
					versus.Side{Name: name, Call: set})
			})
		}
	}
}
