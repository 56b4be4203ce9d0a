package chord

import (
	"context"
	"errors"
	"iter"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/chord/internal/place"
)

var _ torc.Ranger = (*Table)(nil)

// errUnsteady says that a node was asked for its keys and did not own the same from
// the beginning of the list to its end.
var errUnsteady = errors.New("what it owns has changed meanwhile")

// errEnough ends a walk whose caller is done with it.
var errEnough = errors.New("enough")

// Keys implements [torc.Ranger]. It goes around the ring and has each node list what it
// owns. Where that was not the same before the list and after it, who owns the places
// then is asked again, so that keys may come twice. It fails where it gets no further
// for TableOptions.ReadTimeout.
func (t *Table) Keys(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		w := walk{t: t, first: true}
		for !w.over {
			err := w.advance(ctx, func(key string) bool { return yield(key, nil) })
			if err == errEnough {
				return
			}
			if err != nil {
				yield("", err)
				return
			}
		}
	}
}

// walk is a walk over all keys: it has been clockwise from one place to another.
type walk struct {
	t        *Table
	first    bool // it has not begun
	from, to place.Place
	over     bool // it has been around
}

// next is the place that comes next.
func (w *walk) next() place.Place { return w.t.circle.Plus(w.to, 0) }

// advance lists the keys of who owns the next place.
func (w *walk) advance(ctx context.Context, yield func(string) bool) error {
	patience, cancel := context.WithTimeout(ctx, w.t.opts.ReadTimeout)
	defer cancel()
	p := pursuit{t: w.t, call: &call{verb: opKeys}}
	var failed *arc
	for {
		p.place = w.next()
		a, err := p.look(patience, failed)
		if err != nil {
			return err
		}
		err = w.list(ctx, a, yield)
		if err == nil || err == errEnough {
			return err
		}
		j := judgeTry(err)
		p.note(ctx, a.at, &j)
		if j.verdict == final {
			return p.failed(j.err)
		}
		failed = a
	}
}

// list yields the keys that a's owner has from the next place on.
func (w *walk) list(ctx context.Context, a *arc, yield func(string) bool) error {
	before, err := w.t.status(ctx, a.at)
	if err != nil {
		return err
	}
	if !owns(&before, w.next()) {
		return errNotOwner
	}
	if w.first { // the walk may begin anywhere
		w.first, w.from, w.to = false, before.Claim.Span.From, before.Claim.Span.From
	}
	end := before.Claim.Span.To
	if place.Between(w.to, w.from, end) {
		end = w.from
	}
	for info, err := range a.at.data.Metadump(ctx) {
		if err != nil {
			return err
		}
		if place.Between(w.to, w.t.circle.OfKey(info.Key), end) && !yield(info.Key) {
			return errEnough
		}
	}
	after, err := w.t.status(ctx, a.at)
	if err != nil {
		return err
	}
	if after.Self != before.Self || after.Claim.Term != before.Claim.Term || !owns(&after, w.next()) {
		return errUnsteady
	}
	w.to, w.over = end, end == w.from
	return nil
}
