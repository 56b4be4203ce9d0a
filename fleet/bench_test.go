package fleet

import (
	"bytes"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/torc-dht/torc/memcache"
	"github.com/torc-dht/torc/memcache/memcachetest"
)

// BenchmarkFleet puts a table over eight memcached beside the bare clients of
// the same servers, each key's client looked up in advance: the difference is
// what the fleet costs.
//
//	go test -run '^$' -bench Fleet ./fleet
func BenchmarkFleet(b *testing.B) {
	const servers, keyCount = 8, 1024
	d := newFakeDirectory()
	var addrs []string
	for range servers {
		addrs = append(addrs, memcachetest.Start(b, "-t", "1"))
	}
	go d.set(addrs...)
	table, err := New(b.Context(), d, Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer table.Close()

	value := bytes.Repeat([]byte("v"), 100)
	keys := make([]string, keyCount)
	clients := make([]*memcache.Client, keyCount) // of keys[i]'s owner
	r := table.routing.Load()
	bare := make(map[*server]*memcache.Client)
	for i := range keys {
		keys[i] = fmt.Sprintf("bench-key-%d", i)
		if err := table.Put(b.Context(), keys[i], value); err != nil {
			b.Fatal(err)
		}
		s := r.owner(keys[i])
		if bare[s] == nil {
			bare[s] = memcache.NewClient(s.Addr, table.clientConfig())
			defer bare[s].Close()
		}
		clients[i] = bare[s]
	}
	calls := []struct {
		name string
		call func(i int) error
	}{
		{"get/bare", func(i int) error { _, err := clients[i].Get(b.Context(), keys[i]); return err }},
		{"get/fleet", func(i int) error { _, err := table.Get(b.Context(), keys[i]); return err }},
		{"put/bare", func(i int) error {
			_, err := clients[i].Set(b.Context(), memcache.Item{Key: keys[i], Value: value}, memcache.ModeSet)
			return err
		}},
		{"put/fleet", func(i int) error { return table.Put(b.Context(), keys[i], value) }},
	}
	for _, c := range calls {
		for _, goroutines := range []int{1, 64} {
			b.Run(fmt.Sprintf("%s/%d", c.name, goroutines), func(b *testing.B) {
				b.ReportAllocs()
				var next atomic.Int64
				var wg sync.WaitGroup
				for range goroutines {
					wg.Go(func() {
						for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
							if err := c.call(int(i % keyCount)); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "ops/s")
			})
		}
	}
}
