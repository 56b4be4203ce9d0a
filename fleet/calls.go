package fleet

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/memcache"
)

// Get implements [torc.Table]. A server that can't be reached makes it a miss:
// the error is torc.ErrNotFound and torc.ErrUnavailable. It is so after
// Options.ReadTimeout at the latest, or twice that when the key's server left
// the fleet meanwhile and the next one had to be asked.
func (t *Table) Get(ctx context.Context, key string) (torc.Entry, error) {
	r := t.routing.Load()
	for asked := 1; ; asked++ {
		s := r.owner(key)
		if s == nil {
			return torc.Entry{}, t.missWithoutServer(r, key)
		}
		item, err := s.client.Get(ctx, key)
		// An answer counts if who gave it still holds the key.
		if next := t.routing.Load(); next != r && asked == 1 && !same(next.owner(key), s) {
			r = next
			continue
		}
		if err != nil {
			return torc.Entry{}, t.getFailure(ctx, key, s, err)
		}
		return torc.Entry{Value: item.Value, Version: torc.Version{Epoch: s.epoch, Seq: item.CAS}}, nil
	}
}

func (t *Table) getFailure(ctx context.Context, key string, s *server, err error) error {
	if t.isClosed() {
		return failure("get", key, nil, torc.ErrClosed)
	}
	var ce *memcache.ConnError
	if errors.As(err, &ce) && ctx.Err() == nil {
		err = fmt.Errorf("%w: %w", torc.ErrNotFound, err)
	}
	return failure("get", key, s, err)
}

// same says whether a and b are one stay of one server in the fleet.
func same(a, b *server) bool { return a != nil && b != nil && a.stay == b.stay }

// Put implements [torc.Table]. While the key's server can't be reached it tries
// again, there or at whichever server holds the key by then, until the context
// or Options.WriteTimeout ends it. A Put with a condition is sent once.
func (t *Table) Put(ctx context.Context, key string, value []byte, opts ...torc.PutOption) error {
	o, err := torc.ResolvePut(opts)
	if err != nil {
		return failure("put", key, nil, err)
	}
	w := write{op: "put", key: key, once: o.Cond != torc.CondNone}
	return t.write(ctx, &w, func(ctx context.Context, s *server) error {
		item := memcache.Item{Key: key, Value: value, TTL: o.TTL}
		mode := memcache.ModeSet
		switch o.Cond {
		case torc.CondAbsent:
			mode = memcache.ModeAdd
		case torc.CondPresent:
			mode = memcache.ModeReplace
		case torc.CondVersion:
			if o.Version.Epoch != s.epoch { // read from another server, or in an earlier stay
				return torc.ErrConflict
			}
			mode, item.CAS = memcache.ModeCAS, o.Version.Seq
		}
		if err := s.checkSize(ctx, &item); err != nil {
			return err
		}
		_, err := s.client.Set(ctx, item, mode)
		switch {
		case err == memcache.ErrNotStored && o.Cond == torc.CondAbsent:
			return torc.ErrExists
		case err == memcache.ErrNotStored:
			return torc.ErrNotFound
		case err == memcache.ErrExists:
			return torc.ErrConflict
		}
		return err
	})
}

// Of an item, memcached counts its header, at most this long, besides key and
// value; and no memcached has a smaller limit than this.
const (
	itemOverhead    = 64
	smallestItemMax = 1024
)

// checkSize says whether item is larger than s takes. To find out by sending it
// would cost the item that is there: memcached removes that when it refuses a
// larger one.
func (s *server) checkSize(ctx context.Context, item *memcache.Item) error {
	size := int64(len(item.Key) + len(item.Value) + itemOverhead)
	if size <= smallestItemMax {
		return nil
	}
	if err := memcache.CheckKey(item.Key); err != nil {
		return err
	}
	most := s.itemMax.Load()
	if most == 0 {
		settings, err := s.client.Stats(ctx, "settings")
		var ce *memcache.ConnError
		if errors.As(err, &ce) {
			unsent := *ce
			unsent.Sent = false // of the item itself nothing was
			return &unsent
		}
		if err != nil {
			return err
		}
		if most, err = strconv.ParseInt(settings["item_size_max"], 10, 64); err != nil {
			most = math.MaxInt64 // it doesn't tell, so it has to refuse by itself
		}
		s.itemMax.Store(most)
	}
	if size > most {
		return fmt.Errorf("%w: %d bytes, and the server's item_size_max of %d has to hold the key and %d bytes besides", torc.ErrTooLarge, len(item.Value), most, itemOverhead)
	}
	return nil
}

// Delete implements [torc.Table], and tries again as Put does.
func (t *Table) Delete(ctx context.Context, key string) error {
	return t.write(ctx, &write{op: "delete", key: key}, func(ctx context.Context, s *server) error {
		return s.client.Delete(ctx, key, 0)
	})
}

// write is one Put or Delete on its way.
type write struct {
	op, key string
	once    bool // never to be sent twice
	// maybe: an attempt had no answer and may have been carried out.
	maybe bool
	// done: an attempt was carried out, and the key then moved.
	done bool
}

// write sends w to the key's owner until it is carried out there and the owner
// still holds the key.
func (t *Table) write(ctx context.Context, w *write, send func(context.Context, *server) error) error {
	start := time.Now()
	r := t.routing.Load()
	s := r.owner(w.key)
	var err error
	if s != nil {
		err = send(ctx, s)
		if !t.again(w, r, s, err) {
			return t.result(w, s, err)
		}
	}
	// What follows is rare: here begins a deadline that costs allocations. Until
	// here the client's own time-out, which is the same, served as well.
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, start.Add(t.opts.WriteTimeout))
		defer cancel()
	}
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		if s == nil {
			if err := memcache.CheckKey(w.key); err != nil {
				return failure(w.op, w.key, nil, err) // no server would take it
			}
			err = r.noServer()
		}
		if err != nil {
			if waitErr := t.waitForView(ctx, r, pause); waitErr != nil {
				return w.gaveUp(s, err, waitErr)
			}
		}
		r = t.routing.Load()
		if s = r.owner(w.key); s == nil {
			continue
		}
		err = send(ctx, s)
		if !t.again(w, r, s, err) {
			return t.result(w, s, err)
		}
	}
}

// Between two attempts on a server that can't be reached a write waits for
// another view, but no longer than this: the server may be back before it was
// ever out of the view. Each attempt is cheap, because the client backs off.
const (
	firstPause = 5 * time.Millisecond
	maxPause   = 100 * time.Millisecond
)

// again says whether w has to be sent again after the attempt on s under r
// ended with err, and remembers what the attempt may have done.
func (t *Table) again(w *write, r *routing, s *server, err error) bool {
	var ce *memcache.ConnError
	if errors.As(err, &ce) {
		w.maybe = w.maybe || ce.Sent
		return !w.once || !w.maybe
	}
	if w.once {
		return false
	}
	if err != nil && err != memcache.ErrNotFound {
		return false
	}
	// Carried out: by whom the key belongs to now?
	w.done = w.done || err == nil
	next := t.routing.Load()
	if next == r {
		return false
	}
	owner := next.owner(w.key)
	return owner != nil && !same(owner, s)
}

// result is what the caller of w hears when s's answer, err, is the last.
func (t *Table) result(w *write, s *server, err error) error {
	var ce *memcache.ConnError
	switch {
	case err == nil:
		return nil
	case err == memcache.ErrNotFound && (w.done || w.maybe):
		// An earlier attempt of this same Delete removed it.
		return nil
	case errors.As(err, &ce) && t.isClosed():
		s, err = nil, torc.ErrClosed
	}
	return failure(w.op, w.key, s, w.outcome(err))
}

// gaveUp is what the caller of w hears when waiting ended with waitErr; err is
// how the last attempt, on s, failed.
func (w *write) gaveUp(s *server, err, waitErr error) error {
	if waitErr == torc.ErrClosed {
		s, err = nil, errWaiting
	}
	return failure(w.op, w.key, s, fmt.Errorf("%w: %w", waitErr, w.outcome(err)))
}

// outcome is err, which ends w, with what is known of the attempts before: one
// that was carried out on a server which lost the key then counts too, since
// the key may come back to that server.
func (w *write) outcome(err error) error {
	if w.maybe || w.done {
		return fmt.Errorf("%w: %w", torc.ErrUnknownOutcome, err)
	}
	return err
}

var errWaiting = errors.New("it was still waiting for a server")

// waitForView waits until r is replaced, or for the given time. The error says
// why there is nothing more to wait for.
func (t *Table) waitForView(ctx context.Context, r *routing, most time.Duration) error {
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-r.replaced:
	case <-timer.C:
	case <-ctx.Done():
	case <-t.closed:
	}
	if t.isClosed() {
		return torc.ErrClosed
	}
	return context.Cause(ctx)
}

// missWithoutServer is what a Get hears of a fleet that has no server in use.
func (t *Table) missWithoutServer(r *routing, key string) error {
	err := memcache.CheckKey(key)
	switch {
	case err != nil:
	case t.isClosed():
		err = torc.ErrClosed
	default:
		err = fmt.Errorf("%w: %w", torc.ErrNotFound, r.noServer())
	}
	return failure("get", key, nil, err)
}
