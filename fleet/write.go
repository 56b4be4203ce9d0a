package fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/fleet/internal/fence"
	"github.com/torc-dht/torc/memcache"
)

// write is one Put or Delete on its way. It remembers which servers have carried
// it out, so that only the others are asked again. It is used again for other
// writes.
type write struct {
	progress
	group memcache.Group
}

// progress is what a write is, and how far.
type progress struct {
	t     *Table
	op    string
	key   string
	value []byte // of a Put
	opts  torc.PutOptions
	// carry carries the write out under r, as far as it was not yet.
	carry func(w *write, ctx context.Context) error

	// maybe: a request had no answer and may have been carried out.
	maybe bool
	// lost: one that had none may have removed an entry.
	lost bool
	// took: an owner has carried it out, under this routing or another.
	took bool
	// fleeting: what was written is not made to outlast servers that are away.
	fleeting bool
	sent     sending // the latest that had a condition
	origin   origin  // none: at is nil
	// decided: the first owner has carried it out, which is the end of its
	// condition; existed: a Delete has found something to delete.
	decided, existed bool
	began            time.Time

	r       *routing
	owners  []int
	formers []int             // relics
	has     [MaxCopies]bool   // by place in owners: it was carried out there
	half    [MaxCopies]bool   // or, of a Delete without tombstones, once of twice
	cas     [MaxCopies]uint64 // and what is there has this; 0 if that is not known
	cleared bool              // the formers have nothing
	at      *server           // which had to do with the latest error; nil if none

	ownerRoom, formersRoom [MaxCopies]int
}

func (t *Table) newWrite(op, key string) *write {
	w, _ := t.writes.Get().(*write)
	if w == nil {
		w = new(write)
	}
	w.t, w.op, w.key, w.began = t, op, key, time.Now()
	return w
}

func (w *write) release() {
	t := w.t
	w.group.Reset()
	w.progress = progress{}
	t.writes.Put(w)
}

// first is the owner that decides.
func (w *write) first() *server { return w.r.servers[w.owners[0]] }

// Between two attempts on a server that can't be reached a write waits for
// another view, but no longer than this: the server may be back before it was
// ever out of the view. Each attempt is cheap, because the client backs off.
const (
	firstPause = 5 * time.Millisecond
	maxPause   = 100 * time.Millisecond
)

// run carries w out until every server that holds the key has done its part, and
// they still hold it.
func (w *write) run(ctx context.Context) error {
	w.enter(w.t.routing.Load())
	if w.phases() > 1 {
		var cancel context.CancelFunc
		if ctx, cancel = w.bounded(ctx); cancel != nil {
			defer cancel()
		}
	}
	err := w.attempt(ctx)
	if !w.again(err) {
		return w.result(err)
	}
	// What follows is rare: here begins a deadline that costs allocations. Until
	// here the client's own time-out, which is the same, served as well.
	ctx, cancel := w.bounded(ctx)
	if cancel != nil {
		defer cancel()
	}
	seen := w.r // the newest routing that was looked at: what was decided stays under its own
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		if err != nil {
			if waitErr := w.t.waitForView(ctx, seen, pause); waitErr != nil {
				return w.gaveUp(err, waitErr)
			}
		}
		if next := w.t.routing.Load(); next != seen {
			w.follow(next)
			seen = next
		}
		w.t.metrics.inc(writeRetry)
		err = w.attempt(ctx)
		if !w.again(err) {
			return w.result(err)
		}
	}
}

// phases is how many answers w waits for one after the other when all is well.
func (w *write) phases() int {
	n := 1
	if !w.cleared {
		n++
	}
	if w.opts.Cond != torc.CondNone || w.op == opDelete {
		n += len(w.owners) - 1
		if w.r.stamped {
			n++
		}
	}
	return n
}

// bounded gives ctx the deadline of a write, if it has none.
func (w *write) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, has := ctx.Deadline(); has {
		return ctx, nil
	}
	return context.WithDeadline(ctx, w.began.Add(w.t.opts.WriteTimeout))
}

// once says whether w must never be sent twice, as long as it is undecided.
func (w *write) once() bool { return w.opts.Cond != torc.CondNone }

// attempt carries w out under w.r.
func (w *write) attempt(ctx context.Context) error {
	w.at = nil
	if err := w.t.offline(w.r); err != nil {
		return err
	}
	if len(w.owners) == 0 {
		if err := memcache.CheckKey(w.key); err != nil {
			return err // no server would take it
		}
		return w.r.noServer()
	}
	return w.carry(w, ctx)
}

// again says whether w has to be carried out again after an attempt that ended
// with err.
func (w *write) again(err error) bool {
	switch {
	case noAnswer(err), errors.Is(err, errOvertaken):
		return !w.once() || w.decided || !w.maybe
	case err == nil, err == memcache.ErrNotFound:
		next := w.t.routing.Load()
		return next != w.r && !w.once() && w.otherwise(next)
	}
	return len(w.owners) == 0 && errors.Is(err, torc.ErrUnavailable) && w.t.offline(w.r) == nil
}

// errOvertaken ends an attempt that has to begin again because others write.
var errOvertaken = errors.New("others have written meanwhile")

// otherwise says whether under next anybody holds the key, or may, who has not
// carried w out, or so that it counts no more.
func (w *write) otherwise(next *routing) bool {
	var room, more [MaxCopies]int
	owners := next.owners(room[:0], w.key)
	if len(owners) == 0 {
		return false
	}
	if len(owners) != len(w.owners) {
		return true
	}
	for n, i := range owners {
		if !same(next.servers[i], w.r.servers[w.owners[n]]) || !next.keeps(w.r, w.key, i) {
			return true
		}
	}
	for _, i := range next.relics(more[:0], w.key, owners) {
		if !slices.ContainsFunc(w.formers, func(f int) bool { return same(w.r.servers[f], next.servers[i]) }) {
			return true
		}
	}
	return false
}

// result is what the caller of w hears when err is the end of it.
func (w *write) result(err error) error {
	switch {
	case err == nil:
		return nil
	case err == memcache.ErrNotFound && w.lost:
		// An earlier attempt of this same Delete may have removed it.
		return nil
	case err == memcache.ErrNotFound:
		return failure(w.op, w.key, w.at, err) // whatever it has left where nothing was
	case noAnswer(err) && w.t.isClosed():
		w.at, err = nil, torc.ErrClosed
	}
	return failure(w.op, w.key, w.at, w.outcome(err))
}

// gaveUp is what the caller of w hears when waiting ended with waitErr; err is
// how the last attempt failed.
func (w *write) gaveUp(err, waitErr error) error {
	if waitErr == torc.ErrClosed {
		w.at, err = nil, errWaiting
	}
	return failure(w.op, w.key, w.at, fmt.Errorf("%w: %w", brief{waitErr}, brief{w.outcome(err)}))
}

var errWaiting = errors.New("it was still waiting for a server")

// outcome is err, which ends w, with what is known of the attempts before: one
// that was carried out on a server which lost the key then counts too, since
// the key may come back to that server.
func (w *write) outcome(err error) error {
	have, lack := w.spread()
	if !w.tried() {
		return err
	}
	if len(have) == 0 || len(lack) == 0 {
		return fmt.Errorf("%w: %w", torc.ErrUnknownOutcome, brief{err})
	}
	return fmt.Errorf("%w (carried out at %s, not known to be at %s): %w", torc.ErrUnknownOutcome, strings.Join(have, ", "), strings.Join(lack, ", "), brief{err})
}

// spread is at which owners w is carried out, and at which not.
func (w *write) spread() (have, lack []string) {
	for n, i := range w.owners {
		if addr := w.r.servers[i].Addr; w.has[n] {
			have = append(have, addr)
		} else {
			lack = append(lack, addr)
		}
	}
	return have, lack
}

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

// carriedOut notes that owner number n has carried the write out; cas is that of what
// is there.
func (w *write) carriedOut(n int, cas uint64) { w.has[n], w.cas[n], w.took = true, cas, true }

// failed notes that a request for a change, to s, ended with err, and returns it.
func (w *write) failed(s *server, err error) error {
	w.at = s
	w.maybe = w.maybe || sent(err)
	return err
}

// sent says whether err leaves it open if the request was carried out.
func sent(err error) bool {
	if err == nil {
		return false
	}
	var ce *memcache.ConnError
	return errors.As(err, &ce) && ce.Sent
}

// asked is failed for a request that changes nothing.
func (w *write) asked(s *server, err error) error {
	w.at = s
	return unsent(err)
}

// unsent is err without the doubt that something was carried out: nothing was
// to be.
func unsent(err error) error {
	var ce *memcache.ConnError
	if !errors.As(err, &ce) || !ce.Sent {
		return err
	}
	harmless := *ce
	harmless.Sent = false
	return &harmless
}

// give sets item at every owner that has not carried w out, all at once. The
// error is one that no other attempt would mend, if there is such.
func (w *write) give(ctx context.Context, item *memcache.Item) error {
	g := &w.group
	g.Reset()
	for n, i := range w.owners {
		if !w.has[n] {
			g.Set(w.r.servers[i].client, *item, memcache.ModeSet)
		}
	}
	g.Wait(ctx)
	request := 0
	return w.collect(func(n int) error {
		cas, err := g.CAS(request)
		request++
		if err == nil {
			w.carriedOut(n, cas)
		}
		return err
	})
}

// collect has each owner that has not carried w out looked at, and returns the
// weightiest error: one that is an answer, before one that there was none.
func (w *write) collect(answer func(n int) error) (worst error) {
	var at *server
	for n, i := range w.owners {
		if w.has[n] {
			continue
		}
		err := answer(n)
		if err == nil {
			continue
		}
		err = w.failed(w.r.servers[i], err)
		if worst == nil || noAnswer(worst) && !noAnswer(err) {
			worst, at = err, w.r.servers[i]
		}
	}
	if worst != nil {
		w.at = at
	}
	return worst
}

// clear deletes the key at its formers.
func (w *write) clear(ctx context.Context) error {
	if w.cleared {
		return nil
	}
	w.origin = origin{} // what it has from now on says nothing
	g := &w.group
	g.Reset()
	for _, i := range w.formers {
		g.Delete(w.r.servers[i].client, w.key, 0)
	}
	g.Wait(ctx)
	var failed error
	for n, i := range w.formers {
		switch err := g.Err(n); err {
		case nil:
			w.existed = w.existed || !w.r.stamped
		case memcache.ErrNotFound:
		default:
			// With stamps, what counts was found, and is deleted, at the first owner.
			w.lost = w.lost || !w.r.stamped && sent(err)
			failed = w.failed(w.r.servers[i], err)
		}
	}
	w.cleared = failed == nil
	return failed
}

// everywhere gives item to the owners and clears the formers, in the order that
// the fleet's rule for what is stale wants.
//
// Where a former's having nothing proves that an owner's item is current, it must
// not come about before the owners have the new one. Where nothing proves that,
// an old item at a former must not outlive a new one that somebody may read.
func (w *write) everywhere(ctx context.Context, item *memcache.Item) error {
	if w.r.config.Rejoin == RejoinDrop {
		if err := w.clear(ctx); err != nil {
			return err
		}
	}
	if err := w.give(ctx, item); err != nil {
		return err
	}
	return w.clear(ctx)
}

// lasting is item as it is written now: with a stamp, and so that it stays for as
// long as its end has to be remembered.
func (w *write) lasting(item memcache.Item) memcache.Item {
	stamp := w.r.stamp
	if item.TTL > 0 {
		w.fleeting = !w.r.remembers(w.key, time.Now())
		if !w.fleeting {
			stamp = stamp.Lingering()
			item.TTL += fence.Linger
		}
	}
	item.Flags = uint32(stamp)
	return item
}
