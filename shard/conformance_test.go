package shard

import (
	"fmt"
	"testing"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/memcache"
	"github.com/torc-dht/torc/tabletest"
)

// startTable runs a master and servers until the test ends, and returns the URL of
// their table.
func startTable(t testing.TB, servers int) (url, master string) {
	t.Helper()
	master, _ = startMaster(t, &Master{Log: quiet()})
	for range servers {
		s := &Server{Masters: []string{master}, Log: quiet(), Memory: 256 << 20}
		startServer(t, s)
		awaitJoined(t, s)
	}
	return "shard://" + master, master
}

func TestConformance(t *testing.T) {
	for _, servers := range []int{1, 3} {
		t.Run(fmt.Sprint("servers=", servers), func(t *testing.T) {
			url, master := startTable(t, servers)
			var leave func()
			change := func(t *testing.T, _ torc.Table) { // one more comes, or goes
				if leave != nil {
					leave()
					leave = nil
					return
				}
				s := &Server{Masters: []string{master}, Log: quiet(), Memory: 64 << 20}
				_, leave = startServer(t, s)
				awaitJoined(t, s)
			}
			tabletest.Run(t, func(t *testing.T) torc.Table {
				table, err := torc.Open(t.Context(), url)
				if err != nil {
					t.Fatal(err)
				}
				return table
			}, tabletest.KeyLimits(memcache.MaxKeyLen, memcache.MaxBinaryKeyLen), tabletest.Churn(change))
		})
	}
}
