package replica

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"iter"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/replica/internal/client"
)

const (
	// viewAge is how old what is known of the members may be: a server that dies is
	// out of the view after 250 ms.
	viewAge = 250 * time.Millisecond
	// viewGrace is for how long after a view others that may be better are waited for.
	viewGrace = 20 * time.Millisecond
	// askTimeout is how long a server may take to tell how it stands.
	askTimeout = time.Second
	// openPause is between two rounds of asking who serves.
	openPause = 20 * time.Millisecond
)

// errNotServing says that a server is there and can't serve.
var errNotServing = errors.New("it has not found enough of the others yet to serve")

// opened waits until a server serves.
func (t *Table) opened(ctx context.Context) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, OpenTimeout)
		defer cancel()
	}
	var last error // that the end of ctx did not cut short
	for {
		err := t.refresh(ctx, opOpen)
		if err == nil {
			return nil
		}
		if last == nil || ctx.Err() == nil {
			last = err
		}
		select {
		case <-time.After(openPause):
		case <-ctx.Done():
			return last
		}
	}
}

// refresh asks all servers at once for the view, and takes the best of those that
// come by the time that one has, and a little later.
func (t *Table) refresh(caller context.Context, verb string) error {
	ctx, cancel := context.WithCancel(caller)
	type told struct {
		status Status
		err    error
	}
	hosts := t.client.Hosts()
	answers := make(chan told, len(hosts))
	var asking sync.WaitGroup
	for i := range hosts {
		asking.Go(func() {
			st, err := statusOf(ctx, t.client, i, verb)
			if err == nil && !st.Serving {
				err = &torc.Error{Op: verb, Member: hosts[i], Err: fmt.Errorf("%w: %w", torc.ErrUnavailable, errNotServing)}
			}
			answers <- told{st, err}
		})
	}
	defer asking.Wait()
	defer cancel()
	var best *Status
	var failed error
	var enough <-chan time.Time
gather:
	for range hosts {
		select {
		case a := <-answers:
			switch {
			case a.err != nil && (failed == nil || errors.Is(a.err, errNotServing)):
				failed = a.err
			case a.err == nil && (best == nil || better(&a.status, best)):
				best = &a.status
			}
			if best != nil && enough == nil {
				enough = time.After(viewGrace)
			}
		case <-enough:
			break gather
		}
	}
	if best == nil {
		if caller.Err() == nil {
			t.lose()
		}
		return failed
	}
	t.take(best)
	return nil
}

// better tells whether a says more of the table than b: it is of the part that kept
// its quorum, or a later epoch or view.
func better(a, b *Status) bool {
	if a.Degraded != b.Degraded {
		return b.Degraded
	}
	return cmp.Or(cmp.Compare(a.Epoch.Number, b.Epoch.Number), cmp.Compare(a.View, b.View)) > 0
}

// statusOf asks a host of the client's how it stands.
func statusOf(ctx context.Context, c *client.Client, host int, verb string) (st Status, err error) {
	a, err := c.Ask(ctx, host, client.Request{Status: true}, askTimeout)
	e := &torc.Error{Op: verb}
	switch {
	case err != nil:
		_, e.Since, e.Err = unanswered(err)
	case a.Code != http.StatusOK || json.Unmarshal(a.Body, &st) != nil:
		e.Err = fmt.Errorf("%w: it doesn't tell its status as a torc replica server does", torc.ErrUnavailable)
	default:
		return st, nil
	}
	e.Member = c.Hosts()[host]
	return Status{}, e
}

// take makes what a server told the view, unless a later one of its generation is
// known.
func (t *Table) take(st *Status) {
	view := torc.View{Generation: generation(st.Epoch), Version: st.View}
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	old := &t.mu.view
	t.mu.asked = now
	if view.Generation == old.Generation && view.Version < old.Version {
		old.LostContact = time.Time{} // it is in touch, and has not heard yet
		return
	}
	for _, m := range st.Members {
		of := member(&m, now)
		if i := slices.IndexFunc(old.Members, func(was torc.Member) bool { return was.Addr == of.Addr && was.State == of.State }); i >= 0 {
			of.Since = old.Members[i].Since
		}
		view.Members = append(view.Members, of)
	}
	slices.SortFunc(view.Members, func(a, b torc.Member) int { return cmp.Compare(a.Addr, b.Addr) })
	t.mu.view = view
}

// lose notes that no server tells of the view.
func (t *Table) lose() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.view.LostContact.IsZero() {
		t.mu.view.LostContact = time.Now()
	}
}

// generation names a lineage, by its founder, whom no two have in common.
func generation(e Epoch) uint64 {
	if n, err := strconv.ParseUint(e.Founder, 16, 64); err == nil {
		return n
	}
	return maphash.String(generations, e.Founder)
}

var generations = maphash.MakeSeed()

// member is a server as a member: up is who has every answered write.
func member(m *MemberStatus, now time.Time) torc.Member {
	of := torc.Member{Addr: m.Addr, Weight: 1, State: torc.Down, Since: now}
	switch m.State {
	case MemberLeader, MemberFollower, MemberLearner:
		of.State = torc.Up
	case MemberJoining:
		of.Reason = "it is being brought up to date"
	case MemberDown:
		of.Reason = "it gives no sign to the others"
	default:
		of.Reason = strings.TrimSpace("it is " + string(m.State))
	}
	return of
}

// current returns a view that is no older than viewAge, or the last one known, whose
// LostContact is set.
func (t *Table) current(ctx context.Context, verb string) (torc.View, error) {
	if t.life.Err() != nil {
		return torc.View{}, &torc.Error{Op: verb, Err: torc.ErrClosed}
	}
	t.mu.Lock()
	view, asked := t.mu.view, t.mu.asked
	t.mu.Unlock()
	if time.Since(asked) < viewAge && view.LostContact.IsZero() {
		return view, nil
	}
	err := t.refresh(ctx, verb)
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mu.view, err
}

// Locate implements [torc.Table]: every server of the view holds every key. They are
// in the order of their addresses; who is asked first is who has the least to do.
func (t *Table) Locate(ctx context.Context, key string) (torc.Placement, error) {
	if err := torc.CheckKey(key); err != nil {
		return torc.Placement{}, &torc.Error{Op: opLocate, Key: key, Err: err}
	}
	view, err := t.current(ctx, opLocate)
	if err != nil && (t.life.Err() != nil || ctx.Err() != nil) {
		err.(*torc.Error).Key = key
		return torc.Placement{}, err
	}
	p := torc.Placement{Generation: view.Generation, Version: view.Version}
	for _, m := range view.Members {
		if m.State == torc.Up {
			p.Owners = append(p.Owners, m)
		}
	}
	return p, nil
}

// Members implements [torc.Table]. Servers are asked for the view four times a
// second while there is somebody to see it. A view of another generation is one of
// another epoch: of servers that went on without the others, or found them again.
func (t *Table) Members(ctx context.Context) iter.Seq2[torc.View, error] {
	return func(yield func(torc.View, error) bool) {
		ticker := time.NewTicker(viewAge)
		defer ticker.Stop()
		var last torc.View
		for first := true; ctx.Err() == nil; first = false {
			view, err := t.current(ctx, opMembers)
			if t.life.Err() != nil {
				yield(torc.View{}, &torc.Error{Op: opMembers, Err: torc.ErrClosed})
				return
			}
			if err != nil && ctx.Err() != nil {
				return
			}
			if first || differs(&view, &last) {
				if !yield(view, nil) {
					return
				}
				last = view
			}
			select {
			case <-ticker.C:
			case <-ctx.Done():
			case <-t.life.Done():
			}
		}
	}
}

// differs tells whether a is another view than b, or contact came or went.
func differs(a, b *torc.View) bool {
	return a.Generation != b.Generation || a.Version != b.Version || a.LostContact.IsZero() != b.LostContact.IsZero()
}

// Survey implements [torc.Surveyor]. It asks the servers that the table was given.
// Each holds every entry, and an even share of the reads.
func (t *Table) Survey(ctx context.Context) (torc.Survey, error) {
	view, err := t.current(ctx, opSurvey)
	if err != nil && (t.life.Err() != nil || ctx.Err() != nil) {
		return torc.Survey{}, err
	}
	s := torc.Survey{Placement: "all", Version: view.Version, Members: make([]torc.MemberSurvey, len(view.Members))}
	for _, m := range view.Members {
		if m.State == torc.Up {
			s.Copies++
		}
	}
	var asking sync.WaitGroup
	for i, m := range view.Members {
		of := &s.Members[i]
		of.Member = m
		if m.State == torc.Up {
			of.Share = 1 / float64(s.Copies)
		}
		host := slices.Index(t.client.Hosts(), m.Addr)
		switch {
		case m.State != torc.Up:
			of.Err = &torc.Error{Op: opSurvey, Member: m.Addr, Since: m.Since, Err: fmt.Errorf("%w: %s", torc.ErrUnavailable, m.Reason)}
		case host < 0:
			of.Err = &torc.Error{Op: opSurvey, Member: m.Addr, Err: fmt.Errorf("%w: it is not among the servers that the table was given", torc.ErrUnavailable)}
		default:
			asking.Go(func() {
				var st Status
				st, of.Err = statusOf(ctx, t.client, host, opSurvey)
				of.Entries, of.Bytes = st.Keys, st.Bytes
			})
		}
	}
	asking.Wait()
	if t.life.Err() != nil {
		return torc.Survey{}, &torc.Error{Op: opSurvey, Err: torc.ErrClosed}
	}
	return s, nil
}
