package fleet

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/cluster"
)

func writeFile(path, text string) error { return os.WriteFile(path, []byte(text), 0o644) }

// TestChurn kills and restarts servers and watchdogs at random for 30 seconds
// under 64 callers with unique values.
func TestChurn(t *testing.T) {
	const (
		servers = 6
		callers = 64
		keys    = 2000
		spared  = 2 // of the servers, to see that keys there stay
	)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)

	goroutines, sockets := goleak.IgnoreCurrent(), openSockets(t)
	f := start(t, cluster.Options{}, servers)
	table, err := torc.Open(t.Context(), f.url)
	f.must(err)

	// Keys on servers that nothing happens to: written once, read all along.
	calm := make(map[string]string)
	for i := 0; len(calm) < 200; i++ {
		key := fmt.Sprintf("calm-%d", i)
		p, err := table.Locate(t.Context(), key)
		f.must(err)
		for _, s := range f.servers[:spared] {
			if p.Owners[0].Addr == s.memcached.Addr {
				calm[key] = s.memcached.Addr
				f.must(table.Put(t.Context(), key, []byte(key)))
			}
		}
	}

	var (
		stop               = make(chan struct{})
		wg                 sync.WaitGroup
		serial             atomic.Uint64
		hits, calls        atomic.Int64
		calmReads, calmHit atomic.Int64
		failedPuts         atomic.Int64
		wrong              atomic.Pointer[string]
	)
	for c := range callers {
		rnd := rand.New(rand.NewPCG(seed, uint64(c)+1))
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				key := fmt.Sprintf("key-%d", rnd.IntN(keys))
				calls.Add(1)
				if rnd.IntN(10) == 0 {
					// The value says which key it was written to.
					value := fmt.Sprintf("%s %d", key, serial.Add(1))
					if table.Put(t.Context(), key, []byte(value)) != nil {
						failedPuts.Add(1)
					}
					continue
				}
				if e, err := table.Get(t.Context(), key); err == nil {
					hits.Add(1)
					var n uint64
					if to, ok := strings.CutPrefix(string(e.Value), key+" "); !ok || !isSerial(to, &n) || n > serial.Load() {
						s := fmt.Sprintf("get %s: %q was never put there", key, e.Value)
						wrong.CompareAndSwap(nil, &s)
					}
				}
			}
		})
	}
	wg.Go(func() {
		for {
			for key := range calm {
				select {
				case <-stop:
					return
				default:
				}
				calmReads.Add(1)
				if e, err := table.Get(t.Context(), key); err == nil && string(e.Value) == key {
					calmHit.Add(1)
				}
			}
		}
	})

	// Two at a time do harm, each to servers of its own.
	var done atomic.Int64
	var harm sync.WaitGroup
	end := time.Now().Add(30 * time.Second)
	for half := range 2 {
		rnd := rand.New(rand.NewPCG(seed, uint64(1000+half)))
		mine := f.servers[spared+half*(servers-spared)/2:][:(servers-spared)/2]
		harm.Go(func() {
			for ; time.Now().Before(end); done.Add(1) {
				s := mine[rnd.IntN(len(mine))]
				p := s.memcached
				if rnd.IntN(2) == 0 {
					p = s.watchdog
				}
				err := p.Kill()
				time.Sleep(time.Duration(50+rnd.IntN(950)) * time.Millisecond) // the fault itself
				if err = errors.Join(err, p.Restart(t.Context())); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	harm.Wait()
	close(stop)
	wg.Wait()
	table.Close()

	t.Logf("%d faults, %d calls, %d hits, %d puts failed, %d of %d reads hit on servers that nothing happened to",
		done.Load(), calls.Load(), hits.Load(), failedPuts.Load(), calmHit.Load(), calmReads.Load())
	if w := wrong.Load(); w != nil {
		t.Error(*w)
	}
	if done.Load() < 20 || hits.Load() < 100_000 {
		t.Errorf("%d faults and %d hits: at least 20 and 100,000 are wanted", done.Load(), hits.Load())
	}
	if failedPuts.Load() > 0 {
		t.Errorf("%d puts failed", failedPuts.Load())
	}
	if float64(calmHit.Load()) < 0.999*float64(calmReads.Load()) {
		t.Errorf("%d of %d reads hit on servers that nothing happened to: less than 99.9 %%", calmHit.Load(), calmReads.Load())
	}
	f.must(f.cluster.Close())
	goleak.VerifyNone(t, goroutines)
	if left := openSockets(t); left > sockets {
		t.Errorf("%d connections are left open", left-sockets)
	}
	if left := cluster.Children(); len(left) > 0 {
		t.Errorf("child processes are left: %v", left)
	}
}

// openSockets counts this process's.
func openSockets(t *testing.T) int {
	t.Helper()
	files, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, f := range files {
		if to, err := os.Readlink(f); err == nil && strings.HasPrefix(to, "socket:") {
			n++
		}
	}
	return n
}

func isSerial(s string, n *uint64) bool {
	_, err := fmt.Sscanf(s, "%d", n)
	return err == nil && *n > 0
}
