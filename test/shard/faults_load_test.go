package shard

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/check"
)

const (
	loadKeys    = 24    // that all clients read and write
	loadClients = 8     // that do
	leastCalls  = 10000 // that a history has
)

// load is clients that call tables until they are stopped.
type load struct {
	lab      *lab
	recorder *check.Recorder
	seed     uint64
	calls    atomic.Int64
	stop     chan struct{}
	stopping sync.Once
	running  sync.WaitGroup

	mu      sync.Mutex
	put     map[string]string // what was written once, and the answer came
	clients uint64
}

// load starts clients of the lab's table.
func (l *lab) load() *load {
	d := &load{lab: l, recorder: check.NewRecorder(), seed: rand.Uint64(), stop: make(chan struct{}), put: make(map[string]string)}
	l.t.Logf("seed of the load: %d", d.seed)
	l.t.Cleanup(d.halt)
	d.callers(l.client, loadClients, patience)
	d.writer(l.client)
	return d
}

// generator is one client's source of randomness.
func (d *load) generator() (n uint64, r *rand.Rand) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.clients++
	return d.clients, rand.New(rand.NewPCG(d.seed, d.clients))
}

// ended says whether the load is to stop, after a pause.
func (d *load) ended(pause time.Duration) bool {
	select {
	case <-d.stop:
		return true
	case <-time.After(pause):
		return false
	}
}

// key is one of the keys that this load's clients read and write, and no other's.
func (d *load) key(i int) string { return strconv.FormatUint(d.seed>>32<<16+uint64(i)*7919, 10) }

// callers starts clients that all read and write the same keys, and record.
func (d *load) callers(table torc.Table, n int, patience time.Duration) {
	for range n {
		id, r := d.generator()
		c := d.recorder.Client(table)
		d.running.Go(func() {
			for i := 0; !d.ended(time.Duration(r.IntN(2000)) * time.Microsecond); i++ {
				d.call(c, d.key(r.IntN(loadKeys)), fmt.Sprintf("%d-%d", id, i), r.IntN(20), patience)
				d.calls.Add(1)
			}
		})
	}
}

// call makes one call, or a read and what follows from it; what came of it is
// recorded.
func (d *load) call(c *check.Client, key, value string, what int, patience time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	switch what {
	case 0:
		_ = c.Delete(ctx, key)
	case 1:
		_ = c.PutIfAbsent(ctx, key, value)
	case 2, 3:
		if e, err := c.Get(ctx, key); err == nil {
			_ = c.Swap(ctx, key, e, value)
		}
	case 4, 5, 6, 7, 8, 9:
		_ = c.Put(ctx, key, value)
	default:
		_, _ = c.Get(ctx, key)
	}
}

// writer starts a client that writes keys once, and remembers those for which the
// answer came.
func (d *load) writer(table torc.Table) {
	id, r := d.generator()
	d.running.Go(func() {
		for i := 0; !d.ended(time.Duration(r.IntN(1000)) * time.Microsecond); i++ {
			key, value := fmt.Sprintf("once-%x-%d-%d", d.seed, id, i), strconv.Itoa(i)
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			err := table.Put(ctx, key, []byte(value))
			cancel()
			if err == nil {
				d.mu.Lock()
				d.put[key] = value
				d.mu.Unlock()
			}
		}
	})
}

// halt stops the clients.
func (d *load) halt() {
	d.stopping.Do(func() { close(d.stop) })
	d.running.Wait()
}

// finish ends the load once there are calls enough, and judges: what was answered
// is there, and there is an order of all calls that explains what they saw. It
// returns the history.
func (d *load) finish() check.History {
	t, table := d.lab.t, d.lab.client
	t.Helper()
	for end := time.Now().Add(settleWithin); d.calls.Load() < leastCalls && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	d.halt()

	last := d.recorder.Client(table)
	for i := range loadKeys {
		_, _ = last.Get(t.Context(), d.key(i)) // recorded, and judged with the others
	}
	var keys []string
	for key := range d.put {
		keys = append(keys, key)
	}
	d.lab.each(len(keys), func(i int) error {
		e, err := table.Get(t.Context(), keys[i])
		if err == nil && string(e.Value) != d.put[keys[i]] {
			err = fmt.Errorf("%s: %q was put, %q is there", keys[i], d.put[keys[i]], e.Value)
		}
		return err
	})
	d.lab.whole()

	h := d.recorder.History()
	counts := make(map[check.Outcome]int)
	var longest check.Operation
	for _, o := range h {
		counts[o.Outcome]++
		if o.Return-o.Call > longest.Return-longest.Call {
			longest = o
		}
	}
	t.Logf("%d calls recorded: %v; %d written once; the longest call, from %v to %v after the load began: %v",
		len(h), counts, len(keys), longest.Call, longest.Return, longest)
	if len(h) < leastCalls {
		t.Errorf("only %d calls were recorded", len(h))
	}
	check.Verify(t, h, check.Register)
	return h
}

// answered says that every call of a history had an answer.
func (d *load) answered(h check.History) {
	d.lab.t.Helper()
	for _, o := range h {
		if o.Outcome == check.Failed || o.Outcome == check.Unknown {
			d.lab.t.Errorf("a call failed that had %v: %v: %s", patience, o, o.Err)
			return
		}
	}
}
