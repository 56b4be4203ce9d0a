package chord

import (
	"context"
	"math"
	"sync"
	"sync/atomic"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/chord/internal/place"
	"github.com/torc-dht/torc/memcache"
)

// Table is a ring as its clients see it. See the package's documentation for what it
// promises.
type Table struct {
	opts  TableOptions
	seeds []string // host:port of the nodes that it was given
	// What the ring is, by the word of the node that answered first.
	ring     uint64
	circle   place.Circle
	replicas int

	routing atomic.Pointer[routing]
	ops     opLanes

	life    context.Context // ends with Close
	end     context.CancelFunc
	running sync.WaitGroup // every goroutine of this table
	news    chan struct{}  // has a token when the ring may have changed, for the lookout

	mu struct {
		sync.Mutex
		closed    bool
		nodes     map[string]*reached      // by address
		speaker   *reached                 // who answered a question last; may be nil
		inquiries map[place.Place]*inquiry // under way
		lookout   struct {
			watchers int
			// first is closed when it has seen the ring once; nil while there is none.
			first chan struct{}
			stop  context.CancelFunc
		}
	}
}

var _ torc.Table = (*Table)(nil)

// New makes a table of the ring that these nodes are of, host:port each: any of its
// nodes, and no more than the one that answers first is needed. It fails when all have
// failed, or none has joined a ring by the end of ctx or, if that has no deadline,
// within OpenTimeout. After that any nodes may come and go.
func New(ctx context.Context, nodes []string, opts TableOptions) (*Table, error) {
	t := newUnconnected(nodes, opts)
	if err := t.greet(ctx); err != nil {
		_ = t.Close() // returns nil
		return nil, failure(opOpen, "", nil, err)
	}
	return t, nil
}

// newUnconnected makes a table that knows no ring.
func newUnconnected(nodes []string, opts TableOptions) *Table {
	t := &Table{opts: opts.withDefaults(), seeds: nodes, news: make(chan struct{}, 1)}
	t.ops.init()
	t.life, t.end = context.WithCancel(context.Background())
	t.mu.nodes = make(map[string]*reached)
	t.mu.inquiries = make(map[place.Place]*inquiry)
	t.routing.Store(&routing{replaced: make(chan struct{})})
	return t
}

// Close implements [torc.Table].
func (t *Table) Close() error {
	t.mu.Lock()
	if !t.mu.closed {
		t.mu.closed = true
		t.end()
		for _, at := range t.mu.nodes {
			t.running.Go(at.close)
		}
	}
	t.mu.Unlock()
	t.running.Wait()
	return nil
}

// Get implements [torc.Table]. A Get that has no answer is asked again, until its
// context ends or, if that has no deadline, TableOptions.ReadTimeout. ErrNotFound is the
// word of the key's owner, and no older than the call.
func (t *Table) Get(ctx context.Context, key string) (torc.Entry, error) {
	c := call{verb: opGet, key: key, place: t.circle.OfKey(key)}
	item, err := t.carryOut(ctx, &c)
	if err != nil {
		return torc.Entry{}, err
	}
	return torc.Entry{Value: item.Value, Version: torc.Version{Seq: item.CAS}}, nil
}

// Put implements [torc.Table]. It returns when the key's owner and all who hold copies
// for it have the value. A Put that has no answer is sent again, also with a condition:
// nodes tell that it is the same one, and carry it out once. It is given up when its
// context ends or, if that has no deadline, after TableOptions.WriteTimeout; what of it
// is still on its way then may be carried out later.
func (t *Table) Put(ctx context.Context, key string, value []byte, opts ...torc.PutOption) error {
	o, err := torc.ResolvePut(opts)
	if err != nil {
		return failure(opPut, key, nil, err)
	}
	c := call{verb: opPut, key: key, place: t.circle.OfKey(key), cond: o.Cond}
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
	return t.write(ctx, &call{verb: opDelete, key: key, place: t.circle.OfKey(key)})
}

func (t *Table) write(ctx context.Context, c *call) error {
	c.id = t.ops.begin(c.place)
	defer t.ops.end(c.id)
	_, err := t.carryOut(ctx, c)
	return err
}
