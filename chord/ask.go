package chord

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/chord/internal/link"
	"github.com/torc-dht/torc/chord/internal/msg"
	"github.com/torc-dht/torc/chord/internal/place"
)

const (
	// askTimeout is how long one question may take, whoever answers it in the end.
	askTimeout = time.Second
	// askNext is after how long without an answer the next node is asked as well. A
	// lookup through hundreds of nodes takes less, and of one that is frozen nothing
	// more is to be had.
	askNext = 100 * time.Millisecond
	// joinPause is how long a node that has not joined yet is left alone.
	joinPause = 20 * time.Millisecond
	// toldOf is how many nodes that didn't answer are named in an error.
	toldOf = 3
)

// errJoining says that a node has not joined its ring yet.
var errJoining = errors.New("it has not joined a ring yet")

// greet asks the seeds what ring they are of, all at once, until one says so.
func (t *Table) greet(ctx context.Context) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, OpenTimeout)
		defer cancel()
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make(joined, len(t.seeds))
	answers := make(chan link.Info, len(t.seeds))
	var asking sync.WaitGroup
	for i, addr := range t.seeds {
		at := t.node(addr)
		asking.Go(func() {
			info, err := at.greet(ctx)
			if err == nil {
				answers <- info
				cancel()
			}
			errs[i] = err
		})
	}
	asking.Wait()
	select {
	case info := <-answers:
		t.ring, t.circle, t.replicas = info.Ring, place.Circle(info.Bits), info.Replicas
		return nil
	default:
		return unavailable(errs)
	}
}

// greet asks a node what ring it is of, and waits while it is joining.
func (at *reached) greet(ctx context.Context) (link.Info, error) {
	questions, err := at.client()
	if err != nil {
		return link.Info{}, &unansweredError{at, err}
	}
	var last error
	for {
		info, err := questions.Info(ctx)
		switch {
		case err == nil && info.Joined:
			return info, nil
		case err == nil:
			last = &unansweredError{at, errJoining}
		case last != nil && ctx.Err() != nil: // the end has cut this one short
			return info, last
		case errors.Is(err, link.ErrRefused):
			return info, fmt.Errorf("%w: is this where a node is, and does it run?", err)
		case errors.Is(err, link.ErrForeign):
			return info, fmt.Errorf("%w: give the address of a node of a ring", err)
		default:
			return info, err
		}
		if !sleep(ctx, joinPause) {
			return info, last
		}
	}
}

// sleep waits, and says whether ctx goes on.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// inquiry is the question who owns a place. All calls that need the answer wait for one.
type inquiry struct {
	done chan struct{}
	// What has come of it, once that is closed: how many nodes were asked, or why there
	// was no answer.
	asked int
	err   error
}

// inquire has the routing say who owns p, by what the ring says, which may be what the
// routing had already. It returns how many nodes were asked.
func (t *Table) inquire(ctx context.Context, p place.Place) (asked int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	about := p
	if a := t.routing.Load().find(p); a != nil {
		about = a.owner.Place // others in the range that p was in want to know the same
	}
	t.mu.Lock()
	if t.mu.closed {
		t.mu.Unlock()
		return 0, torc.ErrClosed
	}
	q := t.mu.inquiries[about]
	if q == nil {
		q = &inquiry{done: make(chan struct{})}
		t.mu.inquiries[about] = q
		t.running.Go(func() {
			q.asked, q.err = t.resolve(p)
			t.mu.Lock()
			delete(t.mu.inquiries, about)
			t.mu.Unlock()
			close(q.done)
		})
	}
	t.mu.Unlock()
	select {
	case <-q.done:
		return q.asked, q.err
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-t.life.Done():
		return 0, torc.ErrClosed
	}
}

// resolve asks the ring who owns p.
func (t *Table) resolve(p place.Place) (asked int, err error) {
	found, err := askAround(t, func(ctx context.Context, c *link.Client) (link.Resolved, error) { return c.Resolve(ctx, p) })
	if err != nil {
		return 0, err
	}
	span := found.Span
	if span.To != found.Owner.Place || !place.Between(span.From, p, span.To) {
		span = msg.Span{From: t.before(p), To: found.Owner.Place} // so much is certain
	}
	t.heard(span, found.Owner)
	return 1 + len(found.Hops), nil
}

// before returns the place before p.
func (t *Table) before(p place.Place) place.Place {
	one := t.circle.Plus(place.Place{}, 0)
	return t.circle.Distance(one, p)
}

// askAround asks one node after the other, until one answers: the one that did so
// last, then others that are known, in no order. Whoever takes long is not waited for
// before the next is asked.
func askAround[T any](t *Table, ask func(context.Context, *link.Client) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(t.life, askTimeout)
	defer cancel()
	type result struct {
		at     *reached
		answer T
		err    error
	}
	results := make(chan result)
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel() // before that
	var (
		none    T
		failed  joined
		left    = t.acquaintances()
		waiting = 0
		silent  *reached // the first of those that were asked
		next    = time.NewTimer(0)
	)
	defer next.Stop()
	for {
		if waiting == 0 && len(left) == 0 {
			return none, failed
		}
		select {
		case <-next.C:
			if len(left) == 0 {
				break
			}
			at := left[0]
			left = left[1:]
			waiting++
			silent = cmp.Or(silent, at)
			asking.Go(func() {
				r := result{at: at}
				r.err = at.ask(ctx, func(c *link.Client) (err error) {
					r.answer, err = ask(ctx, c)
					return err
				})
				select {
				case results <- r:
				case <-ctx.Done():
				}
			})
			next.Reset(askNext)
		case r := <-results:
			waiting--
			if r.err == nil {
				t.mu.Lock()
				if !t.mu.closed {
					t.mu.speaker = r.at
				}
				t.mu.Unlock()
				return r.answer, nil
			}
			if len(failed) < toldOf {
				failed = append(failed, r.err)
			}
			next.Reset(0)
		case <-ctx.Done():
			if len(failed) == 0 {
				failed = joined{&unansweredError{silent, link.ErrSilent}}
			}
			return none, failed
		}
	}
}

// acquaintances are the nodes that the table can ask, in the order in which it does:
// those that didn't answer last time come last.
func (t *Table) acquaintances() (all []*reached) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.closed {
		return nil
	}
	for _, addr := range t.seeds {
		t.nodeLocked(addr)
	}
	for _, at := range t.mu.nodes {
		if at != t.mu.speaker {
			all = append(all, at)
		}
	}
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	slices.SortStableFunc(all, func(a, b *reached) int { return cmp.Compare(a.deafness(), b.deafness()) })
	if t.mu.speaker != nil {
		all = append([]*reached{t.mu.speaker}, all...)
	}
	return all
}

// mutedBy is the node that an error says gives no answer, nil if it says of none.
func mutedBy(err error) *reached {
	var e *unansweredError
	if errors.As(err, &e) {
		return e.at
	}
	return nil
}
