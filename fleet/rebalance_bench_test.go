package fleet

import (
	"context"
	"fmt"
	"os"
	"runtime"
	runtimemetrics "runtime/metrics"
	"slices"
	"sync"
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

// BenchmarkGetBesideRebalance is how long a Get takes while a rebalance runs, at
// 4,000 Gets a second.
func BenchmarkGetBesideRebalance(b *testing.B) {
	const n = 200_000
	for _, rate := range []int{-1, 10_000, 50_000, 0} {
		name := map[int]string{-1: "alone", 0: "unlimited"}[rate]
		if name == "" {
			name = fmt.Sprintf("rate=%d", rate)
		}
		b.Run(name, func(b *testing.B) {
			g := startGroup(b, 4, "-m", "1024", "-t", "1")
			l := newLedger(Config{Stamps: StampsOn, Hash: "murmur3"})
			l.set(g.servers[:3]...)
			table, mover := l.open(b), l.open(b)
			load(b, table, n, 100)
			if err := l.SetDone(b.Context(), 7, 1); err != nil {
				b.Fatal(err)
			}
			version := l.set(g.servers...)
			waitVersion(b, table, version)
			waitVersion(b, mover, version)
			ctx, cancel := context.WithCancel(b.Context())
			defer cancel()
			var moving sync.WaitGroup
			for range b.N {
				if rate >= 0 {
					moving.Go(func() { mover.Rebalance(ctx, torc.RebalanceOptions{Rate: rate}) }) //nolint:errcheck // it is cut short
				}
				var took []time.Duration
				tick := time.NewTicker(time.Millisecond)
				for i := range 3000 {
					<-tick.C
					for j := range 4 {
						began := time.Now()
						if _, err := table.Get(b.Context(), fmt.Sprintf("key-%08d", (4*i+j)*7919%n)); err != nil {
							b.Fatal(err)
						}
						took = append(took, time.Since(began))
					}
				}
				tick.Stop()
				cancel()
				moving.Wait()
				slices.Sort(took)
				b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
				b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
			}
		})
	}
}
