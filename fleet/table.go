package fleet

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/memcache"
)

// Table is a hash table over a fleet of memcached servers. See the package's
// documentation for what it promises.
type Table struct {
	opts    Options
	dir     Directory
	routing atomic.Pointer[routing]

	metrics   metrics
	converger *converger
	writes    sync.Pool // of *write

	stop context.CancelFunc // ends the following of the directory
	// stopped is closed when the directory is followed no more; err, read
	// after that, says why if nobody asked for it.
	stopped chan struct{}
	err     error

	close   sync.Once
	closed  chan struct{}
	leaving sync.WaitGroup // the closing of clients of servers that have left

	rebalancing sync.Mutex    // held by the one call of Rebalance
	quiet       time.Duration // quietTime, but in tests

	// side is what calls have left running, and what waits for it.
	side struct {
		sync.Mutex
		over    bool // none may begin
		running sync.WaitGroup
	}
}

var _ torc.Table = (*Table)(nil)

// New makes a table of the fleet that dir knows. It returns when the members
// are known, or with an error when ctx is done before or the directory can't be
// followed. It does not wait for the members to answer.
func New(ctx context.Context, dir Directory, opts Options) (*Table, error) {
	if opts.ReadTimeout == 0 {
		opts.ReadTimeout = DefaultReadTimeout
	}
	if opts.WriteTimeout == 0 {
		opts.WriteTimeout = torc.DefaultPutTimeout
	}
	if opts.Hedge == 0 {
		opts.Hedge = DefaultHedge
	}
	following, stop := context.WithCancel(context.Background())
	t := &Table{opts: opts, dir: dir, quiet: quietTime, stop: stop, stopped: make(chan struct{}), closed: make(chan struct{})}
	t.converger = newConverger(t)
	first := make(chan struct{})
	go t.follow(following, dir, first)
	select {
	case <-first:
		return t, nil
	case <-t.stopped:
		t.Close()
		return nil, openError(t.err)
	case <-ctx.Done():
		t.Close()
		return nil, openError(fmt.Errorf("%w: the members were not known in time: %w", torc.ErrUnavailable, context.Cause(ctx)))
	}
}

func openError(err error) error { return &torc.Error{Op: "open", Err: err} }

// follow turns each membership into a routing, until ctx is done or the
// directory gives up. It closes first when there is one. On a later membership
// that no routing can be made of, the table goes on with the one before and
// shows that as contact lost, until a membership comes that can be used.
func (t *Table) follow(ctx context.Context, dir Directory, first chan struct{}) {
	defer close(t.stopped)
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	last := &routing{replaced: first}
	err := dir.Follow(ctx, func(m Membership) {
		next, err := newRouting(last, m, time.Now(), t.connect)
		if err != nil && t.routing.Load() == nil {
			giveUp(err)
			return
		}
		if err != nil {
			slog.Warn("torc: the fleet's members can't be used; going on with those before", "version", m.Version, "error", err)
			next = last.outOfTouch(time.Now())
		}
		t.routing.Store(next)
		close(last.replaced)
		for _, c := range last.gone(next) {
			t.leaving.Go(func() { c.Close() })
		}
		last = next
	})
	t.err = err
	if cause := context.Cause(ctx); cause != nil && cause != context.Canceled {
		t.err = cause
	}
}

func (t *Table) connect(addr string) *memcache.Client {
	return memcache.NewClient(addr, t.clientConfig())
}

func (t *Table) clientConfig() memcache.Config {
	return memcache.Config{
		Conns:        t.opts.Conns,
		ReadTimeout:  t.opts.ReadTimeout,
		WriteTimeout: t.opts.WriteTimeout,
		TLS:          t.opts.TLS,
		Dialer:       t.opts.Dialer,
	}
}

// Close implements [torc.Table].
func (t *Table) Close() error {
	t.close.Do(func() {
		close(t.closed)
		t.stop()
		<-t.stopped
		t.converger.close()
		if r := t.routing.Load(); r != nil {
			for _, s := range r.servers {
				t.leaving.Go(func() { s.client.Close() })
			}
		}
		t.leaving.Wait()
		t.side.Lock()
		t.side.over = true
		t.side.Unlock()
		t.side.running.Wait()
	})
	return nil
}

// spawn runs f beside its caller, and Close waits for it. It does not, and says
// so, once the table is closed.
func (t *Table) spawn(f func()) bool {
	t.side.Lock()
	defer t.side.Unlock()
	if t.side.over {
		return false
	}
	t.side.running.Go(f)
	return true
}

// Locate implements [torc.Table]. It asks nobody.
func (t *Table) Locate(_ context.Context, key string) (torc.Placement, error) {
	const op = "locate"
	if err := memcache.CheckKey(key); err != nil {
		return torc.Placement{}, failure(op, key, nil, err)
	}
	if t.isClosed() {
		return torc.Placement{}, failure(op, key, nil, torc.ErrClosed)
	}
	r := t.routing.Load()
	p := torc.Placement{Generation: r.view.Generation, Version: r.view.Version}
	for _, i := range r.owners(nil, key) {
		m, _ := r.member(r.servers[i].Addr)
		p.Owners = append(p.Owners, m)
	}
	return p, nil
}

// Members implements [torc.Table].
func (t *Table) Members(ctx context.Context) iter.Seq2[torc.View, error] {
	return func(yield func(torc.View, error) bool) {
		for {
			if t.isClosed() {
				yield(torc.View{}, failure("members", "", nil, torc.ErrClosed))
				return
			}
			r := t.routing.Load()
			if !yield(r.view, nil) {
				return
			}
			select {
			case <-r.replaced:
			case <-ctx.Done():
				return
			case <-t.closed:
			case <-t.stopped:
				if t.err != nil && !t.isClosed() {
					yield(torc.View{}, failure("members", "", nil, t.err))
					return
				}
				<-t.closed
			}
		}
	}
}

func (t *Table) isClosed() bool {
	select {
	case <-t.closed:
		return true
	default:
		return false
	}
}
