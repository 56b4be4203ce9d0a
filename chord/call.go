package chord

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/chord/internal/place"
	"github.com/torc-dht/torc/memcache"
)

const (
	// maxHops is how many nodes in a row may send a call on before the ring is asked.
	// One or two do when nodes join; more are a circle.
	maxHops = 6
	// Pauses between tries at one node double from the one to the other. News of who
	// owns what end them.
	minPause = 2 * time.Millisecond
	maxPause = 200 * time.Millisecond
	// heldPause is the longest before a call is tried again that its node has held
	// for as long as others could wait behind it: it has paused already.
	heldPause = 10 * time.Millisecond
	// repeatFor is for how long a write is sent again. Nodes remember what came of it
	// for longer; what arrives when they have forgotten would be carried out twice.
	repeatFor = 5 * time.Minute
)

// call is one request at a key's owner: a Get, Put, Delete or Locate, or another.
type call struct {
	verb  string // opGet, opPut, opDelete or opLocate
	key   string
	place place.Place

	item memcache.Item // of a Put
	mode memcache.Mode
	cond torc.Condition
	id   memcache.OpID // of a write
	// found is what comes of a Locate.
	found *torc.Placement
	// ask, if not nil, is what the owner is asked in place of all that. Its errors are
	// those of the client.
	ask func(ctx context.Context, owner *memcache.Client) error
}

// try asks one node, once.
func (c *call) try(ctx context.Context, t *Table, a *arc) (memcache.Item, error) {
	if c.ask != nil {
		return memcache.Item{}, c.ask(ctx, a.at.data)
	}
	switch c.verb {
	case opGet:
		return a.at.data.Get(ctx, c.key)
	case opPut:
		_, err := a.at.data.SetOp(ctx, c.item, c.mode, c.id)
		return memcache.Item{}, err
	case opDelete:
		return memcache.Item{}, a.at.data.DeleteOp(ctx, c.key, c.item.CAS, c.id)
	}
	return memcache.Item{}, t.placement(ctx, c.place, a, c.found)
}

func (c *call) writes() bool { return c.id != memcache.OpID{} }

// refused is a node's refusal in the words of the condition.
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

// carryOut makes c: at whom the table takes for the owner, who nearly always is, or as
// pursue does.
func (t *Table) carryOut(ctx context.Context, c *call) (memcache.Item, error) {
	a := t.routing.Load().find(c.place)
	if a == nil {
		return t.pursue(ctx, *c, nil, nil)
	}
	item, err := c.try(ctx, t, a)
	if err != nil {
		return t.pursue(ctx, *c, a, err)
	}
	return item, nil
}

// pursue goes on with c after a try at a failed with err; a is nil if nobody was known.
// It takes a copy, so that the call of who needs no pursuit is not allocated.
func (t *Table) pursue(ctx context.Context, c call, a *arc, err error) (memcache.Item, error) {
	if err := memcache.CheckKey(c.key); err != nil {
		return memcache.Item{}, failure(c.verb, c.key, nil, judgeTry(err).err)
	}
	ctx, cancel := t.bounded(ctx, c.verb, err)
	defer cancel()
	p := pursuit{t: t, call: &c}
	for {
		if a, err = p.next(ctx, a, err); err != nil {
			return memcache.Item{}, err
		}
		var item memcache.Item
		if item, err = c.try(ctx, t, a); err == nil {
			if c.found != nil {
				c.found.Hops += p.asked
			}
			return item, nil
		}
	}
}

// bounded gives a context without a deadline that of the table's options, for a call
// whose first try failed with err. When that began is not known, since to look at the
// clock costs every call; a try that was not waited for to the end isn't counted.
func (t *Table) bounded(ctx context.Context, verb string, err error) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	patience := t.opts.ReadTimeout
	if verb == opPut || verb == opDelete {
		patience = t.opts.WriteTimeout
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		patience -= t.opts.TryTimeout
	}
	return context.WithTimeout(ctx, patience)
}

// pursuit is a call whose first try failed, and what came of its tries.
type pursuit struct {
	t *Table
	*call

	// last is how the last try failed that the end of the call did not cut short, and
	// at the node where; nil if it is nobody's failure.
	last error
	at   *reached
	// unheard is when a try of a write that had no answer was first known to have been
	// sent; zero if there was none.
	unheard time.Time
	hops    int // in a row
	asked   int // nodes, who owns the place
	pause   time.Duration
}

// next decides what comes after a try at a, nil if there was none, that failed with
// err: the error that ends the call, or whom to try.
func (p *pursuit) next(ctx context.Context, a *arc, err error) (*arc, error) {
	if a == nil {
		return p.look(ctx, nil)
	}
	j := judgeTry(err)
	p.note(ctx, a.at, &j)
	switch j.verdict {
	case final:
		p.at = a.at
		return nil, p.failed(p.outcome(p.refused(j.err)))
	case elsewhere:
		next := p.t.heard(j.span, j.owner)
		if p.hops++; p.hops <= maxHops && next != nil && next.owner != a.owner && next.covers(p.place) && ctx.Err() == nil {
			return next, nil
		}
	case notNow:
		p.pause = min(p.pause, heldPause/2)
	}
	p.hops = 0
	return p.look(ctx, a)
}

// note notes a try that failed.
func (p *pursuit) note(ctx context.Context, at *reached, j *judgement) {
	if j.sent && p.writes() && p.unheard.IsZero() {
		p.unheard = time.Now()
	}
	if p.last == nil || ctx.Err() == nil {
		p.last, p.at = j.err, at
	}
}

// look finds whom to try: at once who owns the place by now, if that isn't who failed
// just before, or the same again after a pause. It fails when the call ends.
func (p *pursuit) look(ctx context.Context, failed *arc) (*arc, error) {
	for {
		if p.tooLate() {
			return nil, p.failed(p.gaveUp(nil))
		}
		r := p.t.routing.Load()
		a := r.find(p.place)
		if a == nil || failed != nil && a.owner == failed.owner {
			asked, err := p.t.inquire(ctx, p.place)
			if p.asked += asked; err != nil && p.last == nil {
				p.last, p.at = err, mutedBy(err)
			}
			a = p.t.routing.Load().find(p.place)
		}
		if over := p.over(ctx); over != nil {
			return nil, p.failed(p.gaveUp(over))
		}
		if a != nil && (failed == nil || a.owner != failed.owner) {
			return a, nil
		}
		p.rest(ctx, r)
		if a != nil {
			return a, nil // and see whether the ring has noticed, or it is back
		}
	}
}

// over is why the call has ended, nil while it hasn't.
func (p *pursuit) over(ctx context.Context) error {
	if p.t.life.Err() != nil {
		return torc.ErrClosed
	}
	return ctx.Err()
}

// rest pauses, each time longer, or until there is a newer routing than r.
func (p *pursuit) rest(ctx context.Context, r *routing) {
	p.pause = min(max(2*p.pause, minPause), maxPause)
	timer := time.NewTimer(p.pause)
	defer timer.Stop()
	select {
	case <-r.replaced:
	case <-timer.C:
	case <-ctx.Done():
	case <-p.t.life.Done():
	}
}

// tooLate says that nodes may soon have forgotten what came of the first try.
func (p *pursuit) tooLate() bool { return !p.unheard.IsZero() && time.Since(p.unheard) > repeatFor }

// outcome is err, what came of the last try, as what came of the call.
func (p *pursuit) outcome(err error) error {
	if p.unheard.IsZero() || !errors.Is(err, torc.ErrUnavailable) || errors.Is(err, torc.ErrUnknownOutcome) {
		return err
	}
	return fmt.Errorf("%w; %w", err, torc.ErrUnknownOutcome)
}

// gaveUp is why the call is not tried again; ended, if not nil, has ended it.
func (p *pursuit) gaveUp(ended error) error {
	last := p.last
	if last == nil {
		last = ended
	}
	return &gaveUp{ended: ended, last: last, unknown: !p.unheard.IsZero()}
}

// failed is the error that the call ends with.
func (p *pursuit) failed(err error) error { return failure(p.verb, p.key, p.at, err) }
