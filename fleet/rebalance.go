package fleet

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/torc-dht/torc"
)

var _ torc.Rebalancer = (*Table)(nil)

// rebalance is one call of Rebalance.
type rebalance struct {
	table   *Table
	options torc.RebalanceOptions
	pace    *pace
	tally   tally
}

// Finisher is a [Directory] that keeps for which view a rebalance was last
// finished, so that nobody looks for keys any more where they were before it.
type Finisher interface {
	// SetDone takes note that a rebalance under the given view is finished. It
	// does nothing if one of a later view is, or the generation is over.
	SetDone(ctx context.Context, generation, version uint64) error
}

// Rebalance implements [torc.Rebalancer]. It walks over all servers that are
// announced, drained ones too, until no owner lacks anything: memcached's listing
// of its keys leaves some out, above all what has just been read. Then it sweeps,
// until there is nothing left with servers that don't own it; that leaves out
// none. Then, where the directory is a [Finisher], the view counts as rebalanced,
// and the next call passes over the keys whose owners have stayed the same.
//
// A change of members ends a pass, and the next goes on under the new view. A
// server that can't be asked and does not leave the fleet either ends it with
// torc.ErrUnavailable. Where servers evict what they are given, it ends although
// they lack that: there is no room for it.
//
// Its memory does not grow with the number of keys: at most some dozen megabytes,
// or three of the largest values for each of eight servers.
//
// Several processes may rebalance one fleet at the same time, to no good: each
// does the work of all. On one table a second call fails with torc.ErrInvalid.
func (t *Table) Rebalance(ctx context.Context, o torc.RebalanceOptions) (torc.Progress, error) {
	r := rebalance{table: t, options: o, pace: newPace(o.Rate)}
	r.tally.began = time.Now()
	if t.isClosed() {
		return r.tally.progress(), failure("rebalance", "", nil, torc.ErrClosed)
	}
	if !t.rebalancing.TryLock() {
		return r.tally.progress(), failure("rebalance", "", nil, fmt.Errorf("%w: this table is being rebalanced already", torc.ErrInvalid))
	}
	defer t.rebalancing.Unlock()

	ctx, cancel := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	var beside sync.WaitGroup
	beside.Go(func() {
		select {
		case <-t.closed:
			cancel(torc.ErrClosed)
		case <-ended:
		}
	})
	if o.Report != nil {
		beside.Go(func() { r.tally.report(o.Report, ended) })
	}
	err := r.run(ctx)
	close(ended)
	beside.Wait()
	cancel(nil)
	if err != nil {
		err = failure("rebalance", "", nil, err)
	}
	return r.tally.progress(), err
}

// errViewChanged ends a pass whose view is not that of the table any more, or
// not surely that of others.
var errViewChanged = errors.New("the fleet's members have changed")

// A rebalance gives up after so many passes in a row in which something failed
// and nothing else was done. Between them it waits, each time twice as long: in
// all as long as it takes until a server that is dead has left the fleet.
const (
	maxStrikes  = 6
	strikePause = 100 * time.Millisecond
)

// run makes passes until one finds nothing to do.
func (o *rebalance) run(ctx context.Context) error {
	t := o.table
	strikes, nth := 0, 0
	sweep := false
	var under *routing // what the last pass was made under
	for {
		r := t.routing.Load()
		if under == nil || !r.sameView(under) {
			nth, sweep = 0, false
		}
		if under = r; nth == 0 {
			if err := o.settle(ctx, r); errors.Is(err, errViewChanged) {
				continue
			} else if err != nil {
				return err
			}
		}
		nth++
		p, err := o.pass(ctx, r, nth, sweep)
		switch {
		case errors.Is(err, errViewChanged):
			under = nil // contact may have been lost and the view be the same
			continue
		case err != nil:
			return err
		case o.options.DryRun:
			return p.failures.last
		case p.failures.n > 0:
			if p.achieved() > 0 {
				strikes = 0
			}
			if strikes++; strikes == maxStrikes {
				return fmt.Errorf("%d keys or servers could not be dealt with, the last because: %w", p.failures.n, p.failures.last)
			}
			if err := t.pause(ctx, r, strikePause<<strikes); err != nil {
				return err
			}
		case sweep && p.foundNothing():
			return o.finish(ctx, r)
		default:
			strikes, sweep = 0, p.sweepNext()
		}
	}
}

// pass makes one walk over all servers.
func (o *rebalance) pass(ctx context.Context, r *routing, nth int, sweep bool) (*pass, error) {
	stop, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var watching sync.WaitGroup
	watching.Go(func() {
		if o.table.left(stop, r) {
			cancel(errViewChanged)
		}
	})
	defer watching.Wait()
	defer cancel(nil)

	p := newPass(o.table, r, nth, sweep, o)
	total := uint64(0)
	p.before = p.stats(stop)
	for i := range p.before {
		total += p.before[i].items
	}
	o.tally.next(total)
	p.run(stop)
	p.after = p.stats(stop)
	return p, context.Cause(stop)
}

// foundNothing says whether there was nothing to do for the pass.
func (p *pass) foundNothing() bool {
	return p.again.Load()+p.deferred.Load()+p.gone.Load() == 0 && !p.foundLacking()
}

// foundLacking says whether owners lacked copies. What was given again to a server
// that has thrown it out meanwhile, or something else for its sake, was not
// lacking: there is no room for it.
func (p *pass) foundLacking() bool {
	for i := range p.copiedTo {
		if p.copiedTo[i].Load() > 0 && !(p.nth > 2 && p.after[i].evicted > p.before[i].evicted) {
			return true
		}
	}
	return false
}

// sweepNext says whether a sweep is enough for the next pass: what may be left is
// at servers that don't own it. With one copy that is so from the beginning, since
// an owner has no others to give anything to.
func (p *pass) sweepNext() bool {
	switch {
	case p.deferred.Load() > 0:
		return false
	case p.sweep, p.r.config.Copies == 1:
		return true
	}
	return p.again.Load() == 0 && !p.foundLacking()
}

func (p *pass) stats(ctx context.Context) []figures {
	all := make([]figures, len(p.r.servers))
	for i, s := range p.r.servers {
		all[i] = figuresOf(ctx, s.client)
	}
	return all
}

// finish makes r's view count as rebalanced.
func (o *rebalance) finish(ctx context.Context, r *routing) error {
	f, ok := o.table.dir.(Finisher)
	if !ok || r.owner("") == nil { // where nobody is in use, nothing has been moved to anybody
		return nil
	}
	return f.SetDone(ctx, r.view.Generation, r.view.Version)
}

// quietTime is how long a view has to be known before a rebalance begins under
// it: until whoever has not heard of it has lost his ZooKeeper session (the
// time-out that package zookeeper asks for), and knows that he may be wrong. He
// would write to a server that was the key's, after the rebalance has been there.
const quietTime = 2 * time.Second

// settle waits until a rebalance may begin under r.
func (o *rebalance) settle(ctx context.Context, r *routing) error {
	if !r.stamped || o.options.DryRun {
		return nil
	}
	if !r.view.LostContact.IsZero() {
		if err := o.table.pause(ctx, r, time.Minute); err != nil {
			return err
		}
		return errViewChanged
	}
	if err := o.table.pause(ctx, r, time.Until(r.came.Add(o.table.quiet))); err != nil {
		return err
	}
	if !o.table.routing.Load().sameView(r) {
		return errViewChanged
	}
	return nil
}

// pause waits until r is replaced, for the given time at most.
func (t *Table) pause(ctx context.Context, r *routing, most time.Duration) error {
	if most <= 0 {
		return context.Cause(ctx)
	}
	return t.waitForView(ctx, r, most)
}

// left waits until the table goes by another view than r's, or has lost its
// directory; it returns false if ctx is done before.
func (t *Table) left(ctx context.Context, r *routing) bool {
	for now := r; ; {
		if !now.sameView(r) || !now.view.LostContact.IsZero() {
			return true
		}
		select {
		case <-now.replaced:
			now = t.routing.Load()
		case <-ctx.Done():
			return false
		}
	}
}
