package shard

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/torc-dht/torc/memcache"
	"github.com/torc-dht/torc/shard/slots"
	"github.com/torc-dht/torc/store"
)

// BenchmarkServer is a server of a sharded table, alone and with one copy of
// everything at another, beside a memcache.Server over a store: each asked by the
// bare client, 64 goroutines at a time. All share this process's cores.
func BenchmarkServer(b *testing.B) {
	plain := listen(b)
	server := &memcache.Server{Handler: memcache.NewHandler(store.New(store.Config{MaxBytes: 256 << 20}))}
	go func() { _ = server.Serve(plain) }()
	defer server.Close()
	benchServers(b, "plain", plain.Addr().String())

	for _, n := range []int{1, 2} {
		m, stop := startMaster(b, &Master{Log: quiet(), Placement: slots.Modulo})
		var addrs []string
		var stops []func()
		for range n {
			s := &Server{Masters: []string{m}, Log: quiet(), Memory: 1 << 30}
			addr, stopServer := startServer(b, s)
			awaitJoined(b, s)
			addrs = append(addrs, addr)
			stops = append(stops, stopServer)
		}
		benchServers(b, fmt.Sprint(n, "-servers"), addrs...)
		for _, stop := range stops {
			stop()
		}
		stop()
	}
}

// benchServers reads and writes keys at servers by which an integer key's remainder
// says where it is.
func benchServers(b *testing.B, name string, addrs ...string) {
	clients := make([]*memcache.Client, len(addrs))
	for i, addr := range addrs {
		clients[i] = memcache.NewClient(addr, memcache.Config{})
		defer clients[i].Close()
	}
	const keys = 10000
	value := make([]byte, 100)
	names := make([]string, keys)
	for k := range keys {
		names[k] = fmt.Sprint(k)
		if _, err := clients[k%len(addrs)].Set(context.Background(), memcache.Item{Key: names[k], Value: value}, memcache.ModeSet); err != nil {
			b.Fatal(err)
		}
	}
	run := func(what string, op func(k int) error) {
		b.Run(what+"/"+name, func(b *testing.B) {
			b.SetParallelism(32)
			b.ReportAllocs()
			var at atomic.Int64
			b.RunParallel(func(pb *testing.PB) {
				k := int(at.Add(7919)) % keys
				for pb.Next() {
					if k++; k >= keys {
						k = 0
					}
					if err := op(k); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
	run("GET", func(k int) error {
		_, err := clients[k%len(addrs)].Get(context.Background(), names[k])
		return err
	})
	run("PUT", func(k int) error {
		_, err := clients[k%len(addrs)].Set(context.Background(), memcache.Item{Key: names[k], Value: value}, memcache.ModeSet)
		return err
	})
}
