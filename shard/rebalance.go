package shard

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/torc-dht/torc"
)

var _ torc.Rebalancer = (*Table)(nil)

// rebalanceInterval is how often progress is reported.
const rebalanceInterval = 100 * time.Millisecond

// Rebalance implements [torc.Rebalancer]. The master spreads the slots anew, which
// it does by itself when servers come and go, and the servers move them: Rebalance
// waits until that is done, and interrupted, leaves them to it. A dry run and a
// rate are not supported: moves give way to calls by themselves.
func (t *Table) Rebalance(ctx context.Context, o torc.RebalanceOptions) (torc.Progress, error) {
	switch {
	case t.life.Err() != nil:
		return torc.Progress{}, failure(opRebalance, "", nil, torc.ErrClosed)
	case o.DryRun:
		return torc.Progress{}, failure(opRebalance, "", nil, fmt.Errorf("%w: the master keeps the slots spread, so that there is nothing to try", torc.ErrUnsupported))
	case o.Rate > 0:
		return torc.Progress{}, failure(opRebalance, "", nil, fmt.Errorf("%w: a rate; moves give way to calls by themselves", torc.ErrUnsupported))
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(t.life, cancel)()
	p := progress{began: time.Now(), pairs: make(map[pair]sent)}
	err := t.rebalance(ctx, &p, o.Report)
	if t.life.Err() != nil {
		err = torc.ErrClosed
	} else if err != nil {
		err = unavailable(err)
	}
	if o.Report != nil {
		o.Report(p.now())
	}
	if err != nil {
		return p.now(), failure(opRebalance, "", nil, err)
	}
	return p.now(), nil
}

func (t *Table) rebalance(ctx context.Context, p *progress, report func(torc.Progress)) error {
	admin := Admin{Masters: t.masters, TLS: t.opts.TLS, Dialer: t.opts.Dialer}
	if err := admin.Rebalance(ctx); err != nil {
		return err
	}
	for st, err := range admin.Status(ctx, rebalanceInterval) {
		if err != nil {
			return err
		}
		p.note(st.Moves)
		if st.Settled {
			return nil
		}
		if report != nil {
			report(p.now())
		}
	}
	return errors.New("the master ended the connection")
}

// progress adds up what servers say of the slots that they send to each other.
type progress struct {
	began time.Time
	pairs map[pair]sent
	past  sent // of pairs that have begun again
}

// pair is who sends to whom.
type pair struct{ from, to string }

type sent struct {
	slots, left int
	keys, bytes uint64
}

func (p *progress) note(moves []Move) {
	seen := make(map[pair]bool)
	for _, m := range moves {
		at := pair{m.From, m.To}
		seen[at] = true
		if last := p.pairs[at]; m.Keys < last.keys {
			p.past.keys += last.keys
			p.past.bytes += last.bytes
		}
		p.pairs[at] = sent{m.Slots, m.Left, m.Keys, m.Bytes}
	}
	for at, last := range p.pairs {
		if last.left = 0; !seen[at] {
			p.pairs[at] = last // what is over is no more to be seen
		}
	}
}

// now is how far it is. What is left is guessed by the slots that are.
func (p *progress) now() torc.Progress {
	all := sent{keys: p.past.keys, bytes: p.past.bytes}
	for _, s := range p.pairs {
		all.slots += s.slots
		all.left += s.left
		all.keys += s.keys
		all.bytes += s.bytes
	}
	out := torc.Progress{
		Pass: 1, Looked: all.keys, Total: all.keys, Copied: all.keys, Bytes: all.bytes,
		Elapsed: time.Since(p.began),
	}
	if begun := all.slots - all.left; all.left > 0 && begun > 0 {
		part := float64(all.left) / float64(begun)
		out.Total += uint64(part * float64(all.keys))
		out.Left = time.Duration(part * float64(out.Elapsed))
	}
	return out
}
