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
	var moved Moved
	began := time.Now()
	now := func() torc.Progress { return moved.progress(time.Since(began)) }
	report := func() {
		if o.Report != nil {
			o.Report(now())
		}
	}
	err := t.rebalance(ctx, &moved, report)
	if t.life.Err() != nil {
		err = torc.ErrClosed
	} else if err != nil {
		err = unavailable(err)
	}
	report()
	if err != nil {
		return now(), failure(opRebalance, "", nil, err)
	}
	return now(), nil
}

func (t *Table) rebalance(ctx context.Context, moved *Moved, report func()) error {
	admin := Admin{Masters: t.masters, TLS: t.opts.TLS, Dialer: t.opts.Dialer}
	if err := admin.Rebalance(ctx); err != nil {
		return err
	}
	for st, err := range admin.Status(ctx, rebalanceInterval) {
		if err != nil {
			return err
		}
		moved.Note(st.Moves)
		if st.Settled {
			return nil
		}
		report()
	}
	return errors.New("the master ended the connection")
}

// Moved adds up what the moves of a table have come to, from one Status to the next.
// The zero value is ready for use.
type Moved struct {
	pairs map[pair]Move
	past  Move // of pairs that have begun again
}

// pair is who sends to whom.
type pair struct{ from, to string }

// Note takes the moves of the next Status. Those that are no more among them are over.
func (m *Moved) Note(moves []Move) {
	for at, last := range m.pairs {
		last.Left, last.Rate = 0, 0
		m.pairs[at] = last
	}
	if m.pairs == nil {
		m.pairs = make(map[pair]Move)
	}
	for _, now := range moves {
		at := pair{now.From, now.To}
		if last := m.pairs[at]; now.Keys < last.Keys {
			m.past.Keys += last.Keys
			m.past.Bytes += last.Bytes
		}
		m.pairs[at] = now
	}
}

// Sum is all moves in one, From and To left out.
func (m *Moved) Sum() Move {
	sum := m.past
	for _, of := range m.pairs {
		sum.Slots += of.Slots
		sum.Left += of.Left
		sum.Keys += of.Keys
		sum.Bytes += of.Bytes
		sum.Rate += of.Rate
	}
	return sum
}

// progress is how far m is, after a time. What is left is guessed by the slots that
// are.
func (m *Moved) progress(elapsed time.Duration) torc.Progress {
	all := m.Sum()
	p := torc.Progress{
		Pass: 1, Looked: all.Keys, Total: all.Keys, Copied: all.Keys, Bytes: all.Bytes,
		Elapsed: elapsed,
	}
	if begun := all.Slots - all.Left; all.Left > 0 && begun > 0 {
		part := float64(all.Left) / float64(begun)
		p.Total += uint64(part * float64(all.Keys))
		p.Left = time.Duration(part * float64(elapsed))
	}
	return p
}
