package chord

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/check"
)

const (
	loadKeys    = 24   // that all clients read and write
	loadClients = 6    // that do
	leastCalls  = 1500 // that a history has
)

// load is clients that call tables until they are stopped.
type load struct {
	lab      *lab
	recorder *check.Recorder
	began    time.Time // when the recorder's time did
	seed     uint64
	calls    atomic.Int64
	stop     chan struct{}
	stopping sync.Once
	running  sync.WaitGroup
	stalls   []stall // the watch's

	mu      sync.Mutex
	put     map[string]string // what was written once, and the answer came
	clients uint64
}

// load starts clients of the lab's table.
func (l *lab) load() *load {
	d := &load{lab: l, recorder: check.NewRecorder(), began: time.Now(), seed: rand.Uint64(), stop: make(chan struct{}), put: make(map[string]string)}
	l.t.Logf("seed of the load: %d", d.seed)
	l.t.Cleanup(d.halt)
	d.running.Go(d.watch)
	d.callers(l.client, loadClients)
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

// key is one of the keys that this load's clients read and write, and no other's. They
// lie all over the ring.
func (d *load) key(i int) string {
	return strconv.FormatUint((d.seed>>40)<<bits+(uint64(i)<<bits)/loadKeys+12345, 10)
}

// callers starts clients that all read and write the same keys, and record.
func (d *load) callers(table torc.Table, n int) {
	for range n {
		id, r := d.generator()
		c := d.recorder.Client(table)
		d.running.Go(func() {
			for i := 0; !d.ended(time.Duration(r.IntN(6000)) * time.Microsecond); i++ {
				d.call(c, d.key(r.IntN(loadKeys)), fmt.Sprintf("%d-%d", id, i), r.IntN(20))
				d.calls.Add(1)
			}
		})
	}
}

// call makes one call, or a read and what follows from it; what came of it is
// recorded.
func (d *load) call(c *check.Client, key, value string, what int) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	switch what {
	case 0:
		_ = c.Delete(ctx, key)
	case 1:
		_ = c.Put(ctx, key, value)
	case 2, 3:
		_ = c.PutIfAbsent(ctx, key, value)
	case 4, 5:
		if e, err := c.Get(ctx, key); err == nil {
			_ = c.Swap(ctx, key, e, value)
		}
	case 6, 7, 8, 9:
		_ = c.Update(ctx, key, value)
	default:
		_, _ = c.Get(ctx, key)
	}
}

// writer starts a client that writes keys once, and remembers those for which the
// answer came.
func (d *load) writer(table torc.Table) {
	id, r := d.generator()
	d.running.Go(func() {
		for i := 0; !d.ended(time.Duration(r.IntN(4000)) * time.Microsecond); i++ {
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

// now is the present moment in the history's time.
func (d *load) now() time.Duration { return time.Since(d.began) }

// finish ends the load once there are calls enough, and judges: what was answered is
// there, and nothing that wasn't there before; each pair on as many nodes as it is to
// be. It returns the history.
func (d *load) finish() check.History {
	l := d.lab
	l.t.Helper()
	for end := time.Now().Add(patience); d.calls.Load() < leastCalls && time.Now().Before(end); {
		<-time.After(10 * time.Millisecond)
	}
	d.halt()

	last := d.recorder.Client(l.client)
	for i := range loadKeys {
		_, _ = last.Get(l.t.Context(), d.key(i)) // recorded, and judged with the others
	}
	keys := slices.Collect(maps.Keys(d.put))
	l.each(len(keys), func(i int) error {
		e, err := l.client.Get(l.t.Context(), keys[i])
		if err == nil && string(e.Value) != d.put[keys[i]] {
			err = fmt.Errorf("%s: %q was put, %q is there", keys[i], d.put[keys[i]], e.Value)
		}
		return err
	})
	l.present()
	l.counted()

	h := d.recorder.History()
	counts := make(map[check.Outcome]int)
	for _, o := range h {
		counts[o.Outcome]++
	}
	l.t.Logf("%d calls recorded: %v; %d written once; the longest call: %v", len(h), counts, len(keys), longest(h, 0, d.now()))
	if len(h) < leastCalls {
		l.t.Errorf("only %d calls were recorded", len(h))
	}
	return h
}

// judged finishes the load: there is an order of all calls that explains what they
// saw, and each had an answer.
func (d *load) judged() check.History {
	d.lab.t.Helper()
	h := d.finish()
	check.Verify(d.lab.t, h, check.Register)
	d.answered(h)
	d.lab.trusted()
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

// longest returns the call that took longest of those under way at some time between
// from and to.
func longest(h check.History, from, to time.Duration) (o check.Operation) {
	for _, other := range h {
		if other.Return >= from && other.Call <= to && other.Return-other.Call > o.Return-o.Call {
			o = other
		}
	}
	return o
}

// stall is a time in which this process was to run and didn't: the machine had other
// things to do, and so it had for the nodes.
type stall struct{ at, lasted time.Duration }

const (
	stallEvery = time.Millisecond     // is looked whether the process runs
	stallLeast = 5 * time.Millisecond // counts
)

// watch notes stalls until the load is stopped.
func (d *load) watch() {
	for last := time.Now(); !d.ended(stallEvery); {
		now := time.Now()
		if late := now.Sub(last) - stallEvery; late > stallLeast {
			d.stalls = append(d.stalls, stall{last.Sub(d.began), late})
		}
		last = now
	}
}

// stalled returns how long the machine stood still between from and to, in all. The
// load has been stopped.
func (d *load) stalled(from, to time.Duration) (all time.Duration) {
	for _, s := range d.stalls {
		if s.at+s.lasted > from && s.at < to {
			all += s.lasted
		}
	}
	return all
}
