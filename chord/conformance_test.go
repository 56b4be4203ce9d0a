package chord

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/memcache"
	"github.com/torc-dht/torc/tabletest"
)

// ringOf runs nodes until the test ends, each of which knows the first.
func ringOf(t testing.TB, nodes, replicas int) []*process {
	t.Helper()
	all := []*process{start(t, &Server{Replicas: replicas, Memory: 256 << 20}).awaitJoined()}
	for len(all) < nodes {
		all = append(all, start(t, &Server{Contact: all[0].addr, Memory: 256 << 20}).awaitJoined())
	}
	return all
}

// Each test has a ring of its own, so that nodes come and go in the one where that is
// looked at.
func TestConformance(t *testing.T) {
	for _, nodes := range []int{1, 3} {
		t.Run(fmt.Sprint("nodes=", nodes), func(t *testing.T) {
			var rings, guests sync.Map // by table
			open := func(t *testing.T) torc.Table {
				ring := ringOf(t, nodes, 1)
				table, err := torc.Open(t.Context(), "chord://"+ring[0].addr)
				if err != nil {
					t.Fatal(err)
				}
				rings.Store(table, ring)
				return table
			}
			change := func(t *testing.T, table torc.Table) { // one more comes, or goes
				if guest, ok := guests.LoadAndDelete(table); ok {
					guest.(*process).leave()
					_ = guest.(*process).wait()
					return
				}
				ring, _ := rings.Load(table)
				guests.Store(table, start(t, &Server{Contact: ring.([]*process)[0].addr, Memory: 64 << 20}).awaitJoined())
			}
			tabletest.Run(t, open, tabletest.KeyLimits(memcache.MaxKeyLen, memcache.MaxBinaryKeyLen), tabletest.Churn(change))
		})
	}
}

// The same while nodes join, leave, fail and are killed, one at a time: no call notices.
func TestConformanceWhileNodesComeAndGo(t *testing.T) {
	ring := ringOf(t, 3, 1)
	var churn sync.WaitGroup
	over := make(chan struct{})
	defer churn.Wait()
	defer close(over)
	var begin sync.Once
	tabletest.Run(t, func(sub *testing.T) torc.Table {
		if !strings.HasSuffix(sub.Name(), "/Calls") { // of Close, which looks for goroutines left behind
			begin.Do(func() { churn.Go(func() { comeAndGo(t, ring, over) }) })
		}
		table, err := torc.Open(sub.Context(), "chord://"+ring[0].addr)
		if err != nil {
			sub.Fatal(err)
		}
		return table
	}, tabletest.KeyLimits(memcache.MaxKeyLen, memcache.MaxBinaryKeyLen), tabletest.Restless())
}

// comeAndGo has a node join a ring and go, in one way after the other, until over is
// closed. The ring has all its copies each time before the next change.
func comeAndGo(t *testing.T, ring []*process, over <-chan struct{}) {
	nodes := map[string]*process{}
	for _, p := range ring {
		nodes[p.addr] = p
	}
	settle := func(what string) {
		eventually(t, what, func() error { return whole(context.Background(), nodes) })
	}
	for i := 0; ; i++ {
		settle("before a node joins")
		guest := start(t, &Server{Contact: ring[i%len(ring)].addr, Memory: 64 << 20}).awaitJoined()
		nodes[guest.addr] = guest
		settle("after it joined")
		delete(nodes, guest.addr)
		way := i % 3
		[]func(){guest.leave, guest.Fail, guest.kill}[way]()
		_ = guest.wait()
		settle("after it went by way " + fmt.Sprint(way))
		select {
		case <-over:
			t.Logf("%d nodes came and went", i+1)
			return
		default:
		}
	}
}

// A walk over the keys misses none while nodes come and go.
func TestKeysOfRealNodes(t *testing.T) {
	ring := ringOf(t, 3, 1)
	opened, err := torc.Open(t.Context(), "chord://"+ring[0].addr)
	if err != nil {
		t.Fatal(err)
	}
	table := opened.(*Table)
	defer table.Close()
	const n = 5000
	for i := range n {
		put(t, table, fmt.Sprint("key ", i), "v")
	}
	over := make(chan struct{})
	var churn sync.WaitGroup
	churn.Go(func() { comeAndGo(t, ring, over) })
	for range 5 {
		if seen := walked(t, table, nil); len(seen) != n {
			t.Errorf("a walk found %d keys of %d", len(seen), n)
		}
	}
	close(over)
	churn.Wait()
	if seen := walked(t, table, nil); len(seen) != n {
		t.Errorf("a walk found %d keys of %d when all was over", len(seen), n)
	}
}
