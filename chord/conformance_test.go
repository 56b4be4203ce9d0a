package chord

import (
	"fmt"
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
