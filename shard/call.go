package shard

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/memcache"
	"github.com/torc-dht/torc/shard/slots"
)

const (
	// maxHops is how many servers in a row may send a call on before the map is
	// waited for. One or two do when slots move; more are a circle.
	maxHops = 4
	// Pauses between tries double from the one to the other. A new map ends them.
	minPause = 2 * time.Millisecond
	maxPause = 200 * time.Millisecond
	// heldPause is the longest before a call is tried again that its server has held
	// for as long as others could wait behind it: it has paused already.
	heldPause = 10 * time.Millisecond
	// repeatFor is for how long a write is sent again. Servers remember what came
	// of it for ten minutes; what arrives after that would be carried out twice.
	repeatFor = 5 * time.Minute
)

// errDead says that a slot's primary is dead, and nobody can take its place.
var errDead = errors.New("it gives no sign to its master, and nobody else has a copy of the slot")

// call is one Get, Put or Delete.
type call struct {
	verb string // opGet, opPut or opDelete
	key  string
	slot slots.Slot

	item memcache.Item // of a Put
	mode memcache.Mode
	cond torc.Condition
	id   memcache.OpID // of a write
}

// try asks one server, once.
func (c *call) try(ctx context.Context, at *memcache.Client) (memcache.Item, error) {
	switch c.verb {
	case opGet:
		return at.Get(ctx, c.key)
	case opPut:
		_, err := at.SetOp(ctx, c.item, c.mode, c.id)
		return memcache.Item{}, err
	}
	return memcache.Item{}, at.DeleteOp(ctx, c.key, 0, c.id)
}

// refused is a server's refusal in the words of the condition.
func (c *call) refused(err error) error {
	switch {
	case err == memcache.ErrNotStored && c.cond == torc.CondAbsent:
		return torc.ErrExists
	case err == memcache.ErrNotStored:
		return torc.ErrNotFound
	case err == memcache.ErrExists:
		return torc.ErrConflict
	}
	return err
}

// tries is what came of the tries of a call.
type tries struct {
	// last is how the last one failed that the end of the call did not cut short.
	last error
	// unheard is when one of a write that had no answer was first known to have been
	// sent; zero if there was none.
	unheard time.Time
}

// note notes a try that failed, and says whether it is the last to be told of.
func (t *tries) note(ctx context.Context, c *call, j *judgement) (told bool) {
	if j.sent && c.verb != opGet && t.unheard.IsZero() {
		t.unheard = time.Now()
	}
	if t.last != nil && ctx.Err() != nil {
		return false
	}
	t.last = j.err
	return true
}

// tooLate says that servers may soon have forgotten what came of the first try.
func (t *tries) tooLate() bool { return !t.unheard.IsZero() && time.Since(t.unheard) > repeatFor }

// outcome is err, what came of the last try, as what came of the call.
func (t *tries) outcome(err error) error {
	inDoubt := errors.Is(err, torc.ErrUnavailable) || errors.Is(err, ErrElsewhere)
	if t.unheard.IsZero() || !inDoubt || errors.Is(err, torc.ErrUnknownOutcome) {
		return err
	}
	return fmt.Errorf("%w; %w", err, torc.ErrUnknownOutcome)
}

// gaveUp is why the call is not tried again; ended, if not nil, has ended it.
func (t *tries) gaveUp(ended error) error {
	return &gaveUp{ended: ended, last: t.last, unknown: !t.unheard.IsZero()}
}

// carryOut makes c: by the map, which nearly always does, or as pursue does.
func (t *Table) carryOut(ctx context.Context, c *call) (memcache.Item, error) {
	r := t.routing.Load()
	at := r.primary(c.slot)
	if at == nil {
		return t.pursue(ctx, *c, r, nil, nil)
	}
	item, err := c.try(ctx, at)
	if err != nil {
		return t.pursue(ctx, *c, r, at, err)
	}
	return item, nil
}

// pursue goes on with c after a try by r failed with err at a server; at is nil if
// there is nobody to ask by r. It takes a copy, so that the call of who needs no
// pursuit is not allocated.
func (t *Table) pursue(ctx context.Context, c call, r *routing, at *memcache.Client, err error) (memcache.Item, error) {
	if err := memcache.CheckKey(c.key); err != nil {
		return memcache.Item{}, failure(c.verb, c.key, nil, judge(err).err)
	}
	ctx, cancel := t.bounded(ctx, c.verb, err)
	defer cancel()
	p := pursuit{t: t, call: &c}
	for {
		if at == nil {
			err = p.wait(ctx, r)
		} else {
			at, err = p.next(ctx, r, at, err)
		}
		if err != nil {
			return memcache.Item{}, err
		}
		r = t.routing.Load()
		if at == nil {
			at = r.primary(c.slot)
		}
		if at != nil {
			var item memcache.Item
			if item, err = c.try(ctx, at); err == nil {
				return item, nil
			}
		}
	}
}

// bounded gives a context without a deadline that of the table's options, for a call
// whose first try failed with err. When that began is not known, since to look at
// the clock costs every call a twentieth; a try that was not waited for to the end
// isn't counted.
func (t *Table) bounded(ctx context.Context, verb string, err error) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	patience := t.opts.WriteTimeout
	if verb == opGet {
		patience = t.opts.ReadTimeout
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		patience -= t.opts.TryTimeout
	}
	return context.WithTimeout(ctx, patience)
}

// pursuit is a call whose first try failed.
type pursuit struct {
	t *Table
	*call
	tries

	at    *memcache.Client // whose failure is told of; nil if it is nobody's
	hops  int              // in a row
	pause time.Duration
}

// next decides what comes after a try by r failed with err at a server: the error
// that ends the call, or another try, at the server that it returns or, if that is
// nil, by the map.
func (p *pursuit) next(ctx context.Context, r *routing, at *memcache.Client, err error) (*memcache.Client, error) {
	j := judge(err)
	if p.note(ctx, p.call, &j) || j.verdict == final {
		p.at = at
	}
	switch j.verdict {
	case final:
		return nil, p.failed(p.outcome(p.refused(j.err)))
	case elsewhere:
		p.t.hint(hint{j.addr, j.epoch})
		newer := p.t.routing.Load().m.Epoch.Before(j.epoch)
		if p.hops++; newer && p.hops <= maxHops && ctx.Err() == nil {
			if next := p.t.client(j.addr, j.epoch); next != nil {
				return next, nil
			}
		}
	case unheard:
		p.t.hint(hint{})
	case notNow:
		p.pause = min(p.pause, heldPause/2)
		p.t.hint(hint{})
	}
	return nil, p.wait(ctx, r)
}

// wait waits for a newer routing than r, or until it is time to try again without.
// It fails if the call ends before, or r says that nobody will have the slot.
func (p *pursuit) wait(ctx context.Context, r *routing) error {
	if dead := r.dead(p.slot); dead != "" && p.t.life.Err() == nil {
		p.at, p.last = nil, errDead
		return &torc.Error{Op: p.verb, Key: p.key, Member: dead, Since: r.since(dead), Err: p.gaveUp(nil)}
	}
	if p.last == nil {
		p.last = errNoServer
	}
	if p.tooLate() {
		return p.failed(p.gaveUp(nil))
	}
	p.hops = 0
	p.pause = min(max(2*p.pause, minPause), maxPause)
	timer := time.NewTimer(p.pause)
	defer timer.Stop()
	select {
	case <-p.t.life.Done():
	case <-ctx.Done():
	default:
		select {
		case <-r.replaced:
		case <-timer.C:
		case <-ctx.Done():
		case <-p.t.life.Done():
		}
	}
	switch {
	case p.t.life.Err() != nil:
		return p.failed(p.gaveUp(torc.ErrClosed))
	case ctx.Err() != nil:
		return p.failed(p.gaveUp(ctx.Err()))
	}
	return nil
}

// failed is the error that the call ends with.
func (p *pursuit) failed(err error) error { return failure(p.verb, p.key, p.at, err) }
