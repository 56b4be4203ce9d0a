package fleet

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/torc-dht/torc"
)

// fuse is a network that carries so many bytes to the servers, and then none: to
// them it looks as if the process was killed, in the middle of a request as likely
// as not.
type fuse struct {
	left  atomic.Int64
	mu    sync.Mutex
	conns []net.Conn
}

var errBlown = errors.New("the fuse is blown")

func (f *fuse) dial(ctx context.Context, addr string) (net.Conn, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.left.Load() <= 0 {
		return nil, errBlown
	}
	c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err == nil {
		f.conns = append(f.conns, c)
		c = &fused{c, f}
	}
	return c, err
}

type fused struct {
	net.Conn
	fuse *fuse
}

func (c *fused) Write(b []byte) (int, error) {
	left := c.fuse.left.Add(-int64(len(b))) + int64(len(b))
	if left >= int64(len(b)) {
		return c.Conn.Write(b)
	}
	if left > 0 {
		c.Conn.Write(b[:left]) //nolint:errcheck // it fails in any case
	}
	c.fuse.mu.Lock()
	defer c.fuse.mu.Unlock()
	for _, other := range c.fuse.conns {
		other.Close()
	}
	return 0, errBlown
}

// killed rebalances with a table of its own that is cut off from the servers after
// so many bytes. It returns whether that came in time to interrupt it.
func (l *ledger) killed(t *testing.T, bytes int64) bool {
	t.Helper()
	f := &fuse{}
	f.left.Store(bytes)
	table, err := New(t.Context(), l, Options{Dialer: f.dial, Conns: 1, ReadTimeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	table.quiet = 50 * time.Millisecond // for the writers to hear of the view
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { // which saves waiting for a server that does not come back
		for ctx.Err() == nil && f.left.Load() > 0 {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	_, err = table.Rebalance(ctx, torc.RebalanceOptions{})
	return err != nil
}

// writers change keys of their own at random, and know what should be there.
type writers struct {
	mu   sync.Mutex
	want map[string]entry
	gone map[string]bool
	stop chan struct{}
	wg   sync.WaitGroup
	ops  atomic.Int64
}

// startWriters begins to change the keys of want, and others.
func startWriters(t *testing.T, table *Table, want map[string]entry, seed uint64) *writers {
	w := &writers{want: want, gone: make(map[string]bool), stop: make(chan struct{})}
	const n = 4
	keys := make([][]string, n)
	i := 0
	for key := range want {
		keys[i%n] = append(keys[i%n], key)
		i++
	}
	for i := range n {
		for j := range 50 {
			keys[i] = append(keys[i], fmt.Sprintf("new-%d-%d", i, j))
		}
		rnd := rand.New(rand.NewPCG(seed, uint64(i)))
		w.wg.Go(func() {
			for serial := 0; ; serial++ {
				select {
				case <-w.stop:
					return
				default:
				}
				w.change(t, table, keys[i][rnd.IntN(len(keys[i]))], fmt.Sprintf("%d of %d", serial, i), rnd.IntN(3) == 0)
			}
		})
	}
	return w
}

func (w *writers) change(t *testing.T, table *Table, key, value string, remove bool) {
	w.ops.Add(1)
	var err error
	if remove {
		if err = table.Delete(t.Context(), key); errors.Is(err, torc.ErrNotFound) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if _, is := w.want[key]; is {
				t.Errorf("%s was not found to delete: it should be there", key)
			}
			return
		}
	} else {
		err = table.Put(t.Context(), key, []byte(value))
	}
	if err != nil {
		t.Errorf("writing %s: %v", key, err)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if remove {
		delete(w.want, key)
	} else {
		w.want[key] = entry{value: value}
	}
	w.gone[key] = remove
}

func (w *writers) end() (gone []string) {
	close(w.stop)
	w.wg.Wait()
	for key, is := range w.gone {
		if is {
			gone = append(gone, key)
		}
	}
	return gone
}

// Rebalances that are killed anywhere, several at a time, with writes beside
// them, lose nothing and bring nothing back.
func TestRebalanceKilledAnywhere(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for _, copies := range []int{1, 3} {
		for _, rejoin := range []string{RejoinCheck, RejoinDrop} {
			t.Run(fmt.Sprintf("%d copies, %s", copies, rejoin), func(t *testing.T) {
				t.Parallel()
				rnd := rand.New(rand.NewPCG(seed, uint64(copies)))
				g := startGroup(t, 5)
				l := newLedger(Config{Copies: copies, Stamps: StampsOn, Rejoin: rejoin})
				l.set(g.servers[:4]...)
				table := l.open(t)
				entries := fill(t, table, 2000)
				var interrupted atomic.Int64
				var w *writers
				for round := range 10 {
					servers := slices.Clone(g.servers)
					servers[round/2].Drained = round%2 == 1
					waitVersion(t, table, l.set(servers...))
					if round == 0 {
						w = startWriters(t, table, entries, seed)
					}
					var both sync.WaitGroup
					for range 2 {
						bytes := int64(1000 + rnd.IntN(60_000*copies))
						both.Go(func() {
							if l.killed(t, bytes) {
								interrupted.Add(1)
							}
						})
						if rnd.IntN(2) == 0 {
							both.Wait()
						}
					}
					both.Wait()
					if rejoin == RejoinDrop {
						// What has not moved when the members change again is dropped.
						if _, err := table.Rebalance(t.Context(), torc.RebalanceOptions{}); err != nil {
							t.Error(err)
						}
					}
				}
				gone := w.end()
				done, err := table.Rebalance(t.Context(), torc.RebalanceOptions{})
				if err != nil {
					t.Fatal(err)
				}
				t.Logf("%d of 20 interrupted, %d writes, then %+v", interrupted.Load(), w.ops.Load(), done)
				g.check(table, entries, gone...)
			})
		}
	}
}
