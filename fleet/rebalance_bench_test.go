package fleet

import (
	"fmt"
	"os"
	"runtime"
	runtimemetrics "runtime/metrics"
	"sync/atomic"
	"testing"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/memcache"
)

// load puts n keys with values of size bytes where table places them, past it
// because that is faster, and returns the first.
func load(t testing.TB, table *Table, n, size int) {
	t.Helper()
	r := table.routing.Load()
	value := make([]byte, size)
	var group memcache.Group
	var owners []int
	for i := range n {
		item := memcache.Item{Key: fmt.Sprintf("key-%08d", i), Value: value, Flags: uint32(r.stamp)}
		for _, o := range r.owners(owners[:0], item.Key) {
			group.Set(r.servers[o].client, item, memcache.ModeSet)
		}
		if group.Len() >= 1000 || i == n-1 {
			group.Wait(t.Context())
			for j := range group.Len() {
				if err := group.Err(j); err != nil {
					t.Fatal(err)
				}
			}
			group.Reset()
		}
	}
}

// BenchmarkRebalance adds a fourth server to three. Keys a second are those that
// were looked at in all passes; entries a second the copies that were made and
// removed.
func BenchmarkRebalance(b *testing.B) {
	n := 100_000
	if os.Getenv("TORC_SOAK") != "" {
		n = 1_000_000
	}
	for _, copies := range []int{1, 3} {
		b.Run(fmt.Sprintf("copies=%d", copies), func(b *testing.B) {
			for range b.N {
				b.StopTimer()
				g := startGroup(b, 4, "-m", "1024", "-t", "1")
				l := newLedger(Config{Copies: copies, Stamps: StampsOn, Hash: "murmur3"})
				l.set(g.servers[:3]...)
				table := l.open(b)
				load(b, table, n, 100)
				if err := l.SetDone(b.Context(), 7, 1); err != nil {
					b.Fatal(err)
				}
				waitVersion(b, table, l.set(g.servers...))
				b.StartTimer()
				began := time.Now()
				var last torc.Progress
				looked := uint64(0)
				done, err := table.Rebalance(b.Context(), torc.RebalanceOptions{Report: func(p torc.Progress) {
					if p.Pass > last.Pass {
						b.Logf("pass %d after %v: %+v", p.Pass-1, time.Since(began).Round(time.Millisecond), last)
						looked += last.Total
					}
					last = p
				}})
				if err != nil {
					b.Fatal(err)
				}
				took := time.Since(began).Seconds()
				b.Logf("%d keys: %+v", n, done)
				b.ReportMetric(float64(looked+done.Looked)/took, "looked/s")
				b.ReportMetric(float64(n)/took, "keys/s")
				b.ReportMetric(float64(done.Copied+done.Removed)/took, "changes/s")
			}
		})
	}
}

// TestRebalanceTakesLittleMemory is about five million keys, whose listing alone
// would take a gigabyte.
func TestRebalanceTakesLittleMemory(t *testing.T) {
	n := 100_000
	if os.Getenv("TORC_SOAK") != "" {
		n = 5_000_000
	}
	g := startGroup(t, 4, "-m", "1024", "-t", "1")
	l := newLedger(Config{Stamps: StampsOn, Hash: "murmur3"})
	l.set(g.servers[:3]...)
	table := l.open(t)
	load(t, table, n, 30)
	waitVersion(t, table, l.set(g.servers...))
	runtime.GC()

	var most atomic.Uint64
	sample := []runtimemetrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/total:bytes"}}
	var total uint64
	done, err := table.Rebalance(t.Context(), torc.RebalanceOptions{Report: func(torc.Progress) {
		runtimemetrics.Read(sample)
		most.Store(max(most.Load(), sample[0].Value.Uint64()))
		total = max(total, sample[1].Value.Uint64())
	}})
	if err != nil || done.Copied == 0 {
		t.Fatalf("%+v, %v", done, err)
	}
	t.Logf("%d keys, %+v: at most %d MB of objects on the heap, %d MB in all", n, done, most.Load()>>20, total>>20)
	if most.Load() > 128<<20 {
		t.Errorf("it takes %d MB", most.Load()>>20)
	}
}
