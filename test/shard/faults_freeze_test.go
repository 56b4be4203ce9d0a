package shard

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/check"
	"github.com/torc-dht/torc/internal/cluster"
	"github.com/torc-dht/torc/memcache"
)

// TestServerStopped stops a server for longer than its lease, lets it go on, and
// asks it directly all the time: what it answers is judged with all other calls,
// so it answers nothing that is old.
func TestServerStopped(t *testing.T) {
	l := start(t, cluster.Options{}, 3)
	for i := range times(1) {
		d := l.load()
		victim := l.servers[i%len(l.servers)]
		keys := l.keysOf(victim, 64)
		direct, halt := d.direct(victim)
		began := time.Now()
		l.must(victim.Freeze())
		seen.Add(t, "server stopped: served again", 0, l.servedAgain(keys, began))
		<-time.After(time.Until(began.Add(4 * time.Second))) // the fault itself
		thawed := time.Now()
		l.must(victim.Thaw())
		l.settled()
		seen.Add(t, "server goes on: settled with it", 0, time.Since(thawed))
		halt()
		if direct.sent() == 0 {
			t.Error("the server was not asked directly")
		}
		h := d.finish()
		d.answered(slices.DeleteFunc(h, func(o check.Operation) bool { return strings.Contains(o.Err, errNotHere.Error()) }))
	}
}

// oneServer is a table whose reads ask one server and nobody else. A server that
// says that it doesn't have the slot has said nothing of the key.
type oneServer struct {
	torc.Table
	at    *memcache.Client
	calls sync.WaitGroup

	mu sync.Mutex
	n  int
}

// errNotHere marks reads by oneServer that say nothing.
var errNotHere = errors.New("asked directly")

func (o *oneServer) Get(ctx context.Context, key string) (torc.Entry, error) {
	item, err := o.at.Get(ctx, key)
	switch {
	case err == nil:
		return torc.Entry{Value: item.Value}, nil
	case errors.Is(err, memcache.ErrNotFound):
		return torc.Entry{}, torc.ErrNotFound
	}
	return torc.Entry{}, fmt.Errorf("%w: %w: %w", errNotHere, torc.ErrUnavailable, err)
}

func (o *oneServer) sent() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.n
}

// direct asks a server for keys, without waiting for one answer before it asks for
// the next, until halt.
func (d *load) direct(s *member) (o *oneServer, halt func()) {
	_, r := d.generator()
	patient := memcache.Config{ReadTimeout: patience, DialTimeout: patience, StallTimeout: patience}
	o = &oneServer{at: memcache.NewClient(s.addr, patient)}
	free := make(chan *check.Client, 1000) // each makes one call at a time
	for range cap(free) {
		free <- d.recorder.Client(o)
	}
	stop := make(chan struct{})
	d.running.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-d.stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
			c := <-free
			key := d.key(r.IntN(loadKeys))
			o.calls.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				defer cancel()
				_, _ = c.Get(ctx, key) // recorded
				o.mu.Lock()
				o.n++
				o.mu.Unlock()
				free <- c
			})
		}
	})
	var once sync.Once
	halt = func() {
		once.Do(func() {
			close(stop)
			o.calls.Wait()
			_ = o.at.Close() // returns nil
		})
	}
	d.lab.t.Cleanup(halt)
	return o, halt
}
