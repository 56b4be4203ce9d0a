package fleet

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/torc-dht/torc/internal/versus"
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
	ctx := b.Context()
	for _, goroutines := range []int{1, 64} {
		b.Run(fmt.Sprintf("get/goroutines=%d", goroutines), func(b *testing.B) {
			versus.Run(b, goroutines,
				versus.Side{Name: "fleet", Call: func(i int) error { _, err := table.Get(ctx, keys[i%keyCount]); return err }},
				versus.Side{Name: "bare", Call: func(i int) error { _, err := clients[i%keyCount].Get(ctx, keys[i%keyCount]); return err }})
		})
		b.Run(fmt.Sprintf("put/goroutines=%d", goroutines), func(b *testing.B) {
			versus.Run(b, goroutines,
				versus.Side{Name: "fleet", Call: func(i int) error { return table.Put(ctx, keys[i%keyCount], value) }},
				versus.Side{Name: "bare", Call: func(i int) error {
					_, err := clients[i%keyCount].Set(ctx, memcache.Item{Key: keys[i%keyCount], Value: value}, memcache.ModeSet)
					return err
				}})
		})
	}
}

// BenchmarkCopies puts a table that keeps three copies of each key beside one that
// keeps one, over the same eight memcached, with stamps and nothing wrong.
//
//	go test -run '^$' -bench Copies ./fleet
func BenchmarkCopies(b *testing.B) {
	const servers, keyCount = 8, 1024
	var addrs []string
	for range servers {
		addrs = append(addrs, memcachetest.Start(b, "-t", "1"))
	}
	tables := make(map[int]*Table)
	keys := make(map[int][]string)
	value := bytes.Repeat([]byte("v"), 100)
	ctx := b.Context()
	for _, copies := range []int{1, 3} {
		d := newFakeDirectory()
		d.config = Config{Copies: copies, Stamps: StampsOn}
		go d.set(addrs...)
		table, err := New(ctx, d, Options{})
		if err != nil {
			b.Fatal(err)
		}
		defer table.Close()
		tables[copies] = table
		for i := range keyCount {
			key := fmt.Sprintf("bench-%d-copies-%d", copies, i)
			keys[copies] = append(keys[copies], key)
			if err := table.Put(ctx, key, value); err != nil {
				b.Fatal(err)
			}
		}
	}
	get := func(copies int) func(int) error {
		table, keys := tables[copies], keys[copies]
		return func(i int) error { _, err := table.Get(ctx, keys[i%keyCount]); return err }
	}
	put := func(copies int) func(int) error {
		table, keys := tables[copies], keys[copies]
		return func(i int) error { return table.Put(ctx, keys[i%keyCount], value) }
	}
	for _, goroutines := range []int{1, 64} {
		for name, call := range map[string]func(int) func(int) error{"get": get, "put": put} {
			b.Run(fmt.Sprintf("%s/goroutines=%d", name, goroutines), func(b *testing.B) {
				b.ReportAllocs()
				three := versus.Side{Name: "three", Call: call(3), Finish: func() {
					for !tables[3].converger.idle() { // what a Put leaves to be compared is part of it
						time.Sleep(time.Millisecond)
					}
				}}
				if goroutines == 1 {
					three.Finish = nil // it is how long a call takes that counts
				}
				versus.Run(b, goroutines, three, versus.Side{Name: "one", Call: call(1)})
			})
		}
	}
}
