package fleet

import (
	"testing"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/cluster"
	"github.com/torc-dht/torc/memcache"
	"github.com/torc-dht/torc/tabletest"
)

func TestConformance(t *testing.T) {
	// It is about answers, not about when they come: where the machine is busy,
	// nobody is to be given up for silent.
	f := startOver(t, cluster.Options{}, cluster.ZooKeeperOptions{TickTime: 5 * time.Second}, 4, "")
	// The fourth server is drained, so that it holds no keys and may come and go
	// without a loss to the tables that the suite's tests share servers with.
	spare := f.servers[3]
	drain, err := f.cluster.Host("c1").Torc(t.Context(), "torc", "fleet", "drain", "--table", f.url, spare.memcached.Addr)
	f.must(err)
	if code, err := drain.Wait(t.Context()); err != nil || code != 0 {
		t.Fatalf("torc fleet drain: exit code %d, %v", code, err)
	}
	open := func(t *testing.T) torc.Table {
		table, err := torc.Open(t.Context(), f.url+"?read-timeout=10s")
		if err != nil {
			t.Fatal(err)
		}
		return table
	}
	change := func(t *testing.T, _ torc.Table) {
		var err error
		if !spare.watchdog.Running() {
			err = spare.watchdog.Restart(t.Context())
		} else if err = spare.watchdog.Term(); err == nil {
			_, err = spare.watchdog.Wait(t.Context())
		}
		if err != nil {
			t.Error(err)
		}
	}
	tabletest.Run(t, open,
		tabletest.KeyLimits(memcache.MaxKeyLen, memcache.MaxBinaryKeyLen),
		tabletest.Churn(change))
}
