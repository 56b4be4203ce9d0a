package replica

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/check"
)

const (
	loadKeys  = 6               // that all clients share
	plainEach = 3               // plain clients whose own server is the same
	warmUp    = 1 * time.Second // of load before a fault
	leastRate = 100             // requests a second, or a run says nothing
)

// load is clients at work until they are stopped.
type load struct {
	// onlyCrashes: servers crash and nothing else happens to them, so that labelled
	// answers bind, too.
	onlyCrashes bool

	t        testing.TB
	recorder *check.Recorder
	began    time.Time // when the recorder's time did
	run      uint64    // makes keys and values this load's own
	stop     chan struct{}
	stopping sync.Once
	running  sync.WaitGroup
	clients  int
	calls    atomic.Int64
	judge    func() *check.Client // reads all keys once the others are done
	stalls   []stall              // the watch's
}

// newLoad returns a load without clients.
func newLoad(t testing.TB, dial dialer, hosts []string) *load {
	d := &load{t: t, recorder: check.NewRecorder(), began: time.Now(), run: rand.Uint64() >> 32, stop: make(chan struct{})}
	t.Cleanup(d.halt)
	d.running.Go(d.watch)
	d.judge = func() *check.Client {
		p := newPlain(dial, hosts, 0)
		t.Cleanup(func() { _ = p.Close() }) // returns nil
		return d.client(p)
	}
	return d
}

// startLoad starts the clients of these servers.
func startLoad(t testing.TB, dial dialer, hosts []string) *load {
	d := newLoad(t, dial, hosts)
	for home := range hosts {
		for range plainEach {
			d.plain(newPlain(dial, hosts, home), *pause)
		}
	}
	return d
}

func (d *load) client(p *plain) *check.Client {
	c := d.recorder.Client(p)
	c.Labelled = func() bool { return p.labelled }
	return c
}

// key is one of the keys that this load's clients share, and no other's.
func (d *load) key(i int) string { return fmt.Sprintf("%x-%d", d.run, i) }

// plain starts a client that swaps and reads, with pauses between.
func (d *load) plain(p *plain, longest time.Duration) {
	id := d.clients
	d.clients++
	c := d.client(p)
	d.running.Go(func() {
		r := rand.New(rand.NewPCG(d.run, uint64(id)))
		for i := 0; !d.ended(time.Duration(r.Int64N(int64(longest) + 1))); i++ {
			key := d.key(r.IntN(loadKeys))
			if r.IntN(2) == 0 {
				_, _ = c.Get(context.Background(), key) // recorded
			} else {
				_, _ = c.Exchange(context.Background(), key, strconv.Itoa(id)+"-"+strconv.Itoa(i)) // recorded
			}
			d.calls.Add(1)
		}
		_ = p.Close() // returns nil
	})
}

// table starts a client that does all that a table can, on a key of its own sort,
// and swaps and reads beside the others. labelled tells whether the table's last
// answer was.
func (d *load) table(table torc.Table, labelled func() bool) {
	id := d.clients
	d.clients++
	c := d.recorder.Client(table)
	c.Labelled = labelled
	d.running.Go(func() {
		r := rand.New(rand.NewPCG(d.run, uint64(id)))
		mixed := d.key(loadKeys)
		for i := 0; !d.ended(time.Duration(r.Int64N(int64(2 * *pause)))); i++ {
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			key, value := d.key(r.IntN(loadKeys)), strconv.Itoa(id)+"-"+strconv.Itoa(i)
			switch n := r.IntN(40); {
			case n == 0:
				_ = c.Delete(ctx, mixed)
			case n == 1:
				_ = c.PutIfAbsent(ctx, mixed, value)
			case n == 2:
				if e, err := c.Get(ctx, mixed); err == nil {
					_ = c.Swap(ctx, mixed, e, value)
				}
			case n < 20:
				_, _ = c.Exchange(ctx, key, value)
			default:
				_, _ = c.Get(ctx, key)
			}
			cancel()
			d.calls.Add(1)
		}
	})
}

// warm waits until there was load enough for a while.
func (d *load) warm() {
	d.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		calls := d.calls.Load()
		<-time.After(warmUp) // the load itself
		if float64(d.calls.Load()-calls) > 2*leastRate*warmUp.Seconds() {
			return
		}
	}
	d.t.Fatalf("%d calls a second can't be made here: nothing can be said of faults", 2*leastRate)
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

// halt stops the clients.
func (d *load) halt() {
	d.stopping.Do(func() { close(d.stop) })
	d.running.Wait()
}

// now is the present moment in the history's time.
func (d *load) now() time.Duration { return time.Since(d.began) }

// finish stops the load, reads all keys once more, and returns the history.
func (d *load) finish() check.History {
	d.t.Helper()
	d.halt()
	last := d.judge()
	for i := range loadKeys + 1 {
		for try := 0; ; try++ {
			_, err := last.Get(context.Background(), d.key(i)) // recorded, and judged with the others
			if err == nil || try == 10 || !refused(err) {
				break
			}
		}
	}
	h := d.recorder.History()
	// Where some answers were labelled, those that never came may have been.
	if slices.ContainsFunc(h, func(o check.Operation) bool { return o.Labelled }) {
		for i := range h {
			h[i].Labelled = h[i].Labelled || h[i].Outcome == check.Unknown
		}
	}
	return h
}

// answered tells whether a call got an answer.
func answered(o check.Operation) bool {
	return o.Outcome != check.Failed && o.Outcome != check.Unknown
}

// gap returns the longest time between from and to without an answer: of reads and
// of writes the longer one.
func gap(h check.History, from, to time.Duration) time.Duration {
	var longest time.Duration
	for _, reads := range []bool{true, false} {
		at := []time.Duration{from, to}
		for _, o := range h {
			if answered(o) && (o.Op == check.Get) == reads && o.Return > from && o.Return < to {
				at = append(at, o.Return)
			}
		}
		slices.Sort(at)
		for i := 1; i < len(at); i++ {
			longest = max(longest, at[i]-at[i-1])
		}
	}
	return longest
}

// stall is a time in which this process was to run and didn't: the machine had other
// things to do, and so it had for the servers.
type stall struct{ at, lasted time.Duration }

const (
	stallEvery = time.Millisecond      // is looked whether the process runs
	stallLeast = 10 * time.Millisecond // counts
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

// stalled returns how long the machine stood still between from and to, in all.
// The load has been stopped.
func (d *load) stalled(from, to time.Duration) (all time.Duration) {
	for _, s := range d.stalls {
		if s.at+s.lasted > from && s.at < to {
			all += s.lasted
		}
	}
	return all
}
