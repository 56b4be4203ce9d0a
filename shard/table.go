package shard

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/memcache"
	"github.com/torc-dht/torc/shard/slots"
)

// Table is a sharded table as its clients see it. See the package's documentation
// for what it promises.
type Table struct {
	opts    TableOptions
	masters []string
	routing atomic.Pointer[routing]
	ops     opLanes
	hints   chan struct{} // has a token where mu.hinted or mu.lookAround say something

	life    context.Context // ends with Close
	end     context.CancelFunc
	running sync.WaitGroup // every goroutine of this table

	mu struct {
		sync.Mutex
		closed  bool
		clients map[string]*reached // by address
		masters map[string]standing // by address
		news    chan struct{}       // closed when that changes
		lost    time.Time           // since when no master is in touch; zero while one is
		walks   map[*walk]struct{}  // over all keys, under way
		// hinted is where there may be a newer map; lookAround says that there may
		// be one somewhere.
		hinted     hint
		lookAround bool
	}
}

var _ torc.Table = (*Table)(nil)

// New makes a table of what the masters at these host:ports know: the one, or all
// of those of which one leads. It returns when a master has told of a server, and
// fails when all have failed, or there is no server by the end of ctx or, if that
// has no deadline, within OpenTimeout. Nobody needs them after that, but for
// servers to come and go.
func New(ctx context.Context, masters []string, opts TableOptions) (*Table, error) {
	t := newUnconnected(masters, opts)
	for _, addr := range masters {
		t.running.Go(func() { t.follow(addr) })
	}
	t.running.Go(t.takeHints)
	if err := t.opened(ctx); err != nil {
		_ = t.Close() // returns nil
		return nil, err
	}
	return t, nil
}

// newUnconnected makes a table that has no map, and looks for none.
func newUnconnected(masters []string, opts TableOptions) *Table {
	t := &Table{opts: opts.withDefaults(), masters: masters, hints: make(chan struct{}, 1)}
	t.ops.init()
	t.life, t.end = context.WithCancel(context.Background())
	t.mu.clients = make(map[string]*reached)
	t.mu.masters = make(map[string]standing)
	t.mu.news = make(chan struct{})
	t.mu.walks = make(map[*walk]struct{})
	t.routing.Store(&routing{m: slots.Empty(slots.Minimal, 1, 1), replaced: make(chan struct{})})
	return t
}

// Close implements [torc.Table].
func (t *Table) Close() error {
	t.mu.Lock()
	if !t.mu.closed {
		t.mu.closed = true
		t.end()
		for _, c := range t.mu.clients {
			t.running.Go(func() { _ = c.Close() }) // returns nil
		}
	}
	t.mu.Unlock()
	t.running.Wait()
	return nil
}

// Get implements [torc.Table]. A Get that has no answer is asked again, until its
// context ends or, if that has no deadline, TableOptions.ReadTimeout. ErrNotFound
// is the word of who has the slot, and no older than the call.
func (t *Table) Get(ctx context.Context, key string) (torc.Entry, error) {
	c := call{verb: opGet, key: key, slot: slots.Of(key)}
	item, err := t.carryOut(ctx, &c)
	if err != nil {
		return torc.Entry{}, err
	}
	return torc.Entry{Value: item.Value, Version: torc.Version{Seq: item.CAS}}, nil
}

// Put implements [torc.Table]. It returns when every copy of the slot has the
// value. A Put that has no answer is sent again, also with a condition: servers
// tell that it is the same one, and carry it out once. It is given up when its
// context ends or, if that has no deadline, after TableOptions.WriteTimeout; what
// of it is still on its way then may be carried out later: see the package's
// documentation.
func (t *Table) Put(ctx context.Context, key string, value []byte, opts ...torc.PutOption) error {
	o, err := torc.ResolvePut(opts)
	if err != nil {
		return failure(opPut, key, nil, err)
	}
	c := call{verb: opPut, key: key, slot: slots.Of(key), cond: o.Cond}
	c.item = memcache.Item{Key: key, Value: value, TTL: o.TTL}
	switch o.Cond {
	case torc.CondAbsent:
		c.mode = memcache.ModeAdd
	case torc.CondPresent:
		c.mode = memcache.ModeReplace
	case torc.CondVersion:
		c.mode, c.item.CAS = memcache.ModeCAS, o.Version.Seq
		if o.Version.Epoch != 0 || o.Version.Seq == 0 {
			c.item.CAS = math.MaxUint64 // no entry of such a table has that version
		}
	}
	return t.write(ctx, &c)
}

// Delete implements [torc.Table], as Put.
func (t *Table) Delete(ctx context.Context, key string) error {
	return t.write(ctx, &call{verb: opDelete, key: key, slot: slots.Of(key)})
}

func (t *Table) write(ctx context.Context, c *call) error {
	c.id = t.ops.begin(c.slot)
	defer t.ops.end(c.slot, c.id)
	_, err := t.carryOut(ctx, c)
	return err
}
