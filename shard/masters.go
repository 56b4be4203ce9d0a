package shard

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/shard/internal/link"
	"github.com/torc-dht/torc/shard/slots"
)

const (
	// OpenTimeout is how long New waits, if its context has no deadline, for the
	// first server of a table whose master is there.
	OpenTimeout = 2 * time.Second

	// slowMap is after how long a master that sends no map is asked why: one that
	// has one sends it at once.
	slowMap = 250 * time.Millisecond
	// askTimeout is how long it, or a server that is asked for its map, may take.
	askTimeout = time.Second
	// Pauses between attempts to reach a master double from the one to the other.
	minRetry = 10 * time.Millisecond
	maxRetry = 500 * time.Millisecond
	// onItsWay is how long a map that a server has may take to come from the
	// master, before the server is asked for it.
	onItsWay = 20 * time.Millisecond
	// askPace is the least time between two rounds of asking several servers, and
	// askedServers how many are asked in each.
	askPace      = 100 * time.Millisecond
	askedServers = 3
)

// contact is how a table stands with one master.
type contact uint8

const (
	pending contact = iota // called, and has not said anything
	idle                   // it is there, and has no map
	touch                  // it sends maps
	broken
)

// standing is a contact and, unless that is touch, why.
type standing struct {
	contact
	err error
}

// follow has one master send each map, until the table is closed.
func (t *Table) follow(addr string) {
	pause := time.Duration(0)
	for {
		began := time.Now()
		heard, err := t.watch(addr)
		if t.life.Err() != nil {
			return
		}
		t.stand(addr, standing{broken, err})
		t.hint(hint{}) // whoever leads now, the servers know
		if pause = min(max(2*pause, minRetry), maxRetry); heard && time.Since(began) > maxRetry {
			pause = minRetry // and not where each connection ends at once
		}
		if !t.sleep(pause) {
			return
		}
	}
}

// watch has a master send each map until that fails. It says whether there was any.
func (t *Table) watch(addr string) (heard bool, err error) {
	c, err := link.NewClient(addr, t.opts.link())
	if err != nil {
		return false, err
	}
	defer func() { _ = c.Close() }() // fails only if it is closed already
	ctx, cancel := context.WithCancelCause(t.life)
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel(nil)
	first := make(chan struct{})
	asking.Go(func() { t.askWhy(ctx, cancel, addr, c, first) })
	err = fmt.Errorf("%s: it ended the connection", addr)
	for m, mapErr := range c.Maps(ctx) {
		if mapErr != nil {
			err = mapErr
			break
		}
		if !heard {
			heard = true
			close(first)
		}
		t.adopt(m)
		t.stand(addr, standing{touch, nil})
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return heard, err
}

// askWhy asks a master that sends no map why not, until the first comes. One that
// doesn't answer this either is given up, by cancel.
func (t *Table) askWhy(ctx context.Context, cancel context.CancelCauseFunc, addr string, c *link.Client, first <-chan struct{}) {
	for {
		select {
		case <-first:
			return
		case <-ctx.Done():
			return
		case <-time.After(slowMap):
		}
		asked, stop := context.WithTimeout(ctx, askTimeout)
		_, err := c.Map(asked)
		late := asked.Err() != nil
		stop()
		switch {
		case err == nil: // it has one now, and sends it
		case late:
			cancel(err)
		default:
			t.stand(addr, standing{idle, err})
		}
	}
}

// stand notes how the table stands with a master.
func (t *Table) stand(addr string, s standing) {
	t.mu.Lock()
	defer t.mu.Unlock()
	was := t.mu.masters[addr]
	t.mu.masters[addr] = s
	if was.contact == s.contact && s.contact == touch {
		return
	}
	close(t.mu.news)
	t.mu.news = make(chan struct{})
	lost := true
	for _, s := range t.mu.masters {
		lost = lost && s.contact != touch
	}
	if r := t.routing.Load(); lost == t.mu.lost.IsZero() && len(r.m.Servers) > 0 && !t.mu.closed {
		t.mu.lost = time.Time{}
		if lost {
			t.mu.lost = time.Now()
		}
		t.routeLocked(r.m) // the view says so
	}
}

// opened waits until the table can be used.
func (t *Table) opened(ctx context.Context) error {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, OpenTimeout)
		defer cancel()
	}
	for {
		r := t.routing.Load()
		if len(r.m.Servers) > 0 {
			return nil
		}
		t.mu.Lock()
		news, why, over := t.mu.news, t.whyNotLocked(), t.allBrokenLocked()
		t.mu.Unlock()
		if over {
			return failure(opOpen, "", nil, unavailable(why))
		}
		select {
		case <-r.replaced:
		case <-news:
		case <-ctx.Done():
			return failure(opOpen, "", nil, fmt.Errorf("%w: %w (%w)", torc.ErrUnavailable, why, bare{ctx.Err()}))
		}
	}
}

func (t *Table) allBrokenLocked() bool {
	for _, addr := range t.masters {
		if t.mu.masters[addr].contact != broken {
			return false
		}
	}
	return true
}

// whyNotLocked says of each master why it has told of no server, and what to do.
func (t *Table) whyNotLocked() error {
	var all []error
	for _, addr := range t.masters {
		s := t.mu.masters[addr]
		switch {
		case s.contact == touch, s.contact == idle:
			all = append(all, fmt.Errorf("the master at %s has no server yet: start one and have it join", addr))
		case s.contact == pending:
			all = append(all, fmt.Errorf("the master at %s has not answered yet", addr))
		case errors.Is(s.err, link.ErrRefused):
			all = append(all, fmt.Errorf("%w: is this where the master is, and does it run?", s.err))
		case errors.Is(s.err, link.ErrForeign):
			all = append(all, fmt.Errorf("%w: give the address of a sharded table's master", s.err))
		default:
			all = append(all, s.err)
		}
	}
	return joined(all)
}

// joined is several errors in one line.
type joined []error

func (j joined) Error() string {
	texts := make([]string, len(j))
	for i, err := range j {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

func (j joined) Unwrap() []error { return j }

// hint says that there may be a newer map than the table's: at the server at addr
// one of an epoch, or if addr is empty, somewhere.
type hint struct {
	addr  string
	epoch slots.Epoch
}

// hint has servers asked for their map, soon: of several hints at addresses, the one
// of the latest epoch counts.
func (t *Table) hint(h hint) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if h.addr == "" {
		t.mu.lookAround = true
	} else if t.mu.hinted.epoch.Before(h.epoch) {
		t.mu.hinted = h
	}
	select {
	case t.hints <- struct{}{}:
	default: // it is to be woken already
	}
}

// takeHints asks servers for their maps, until the table is closed. What a server
// has, its master sends to all, so that there is nearly always nothing to do.
func (t *Table) takeHints() {
	for {
		select {
		case <-t.life.Done():
			return
		case <-t.hints:
		}
		r := t.routing.Load()
		soon := time.NewTimer(onItsWay)
		select {
		case <-t.life.Done():
		case <-r.replaced:
		case <-soon.C:
		}
		soon.Stop()
		t.mu.Lock()
		h, around := t.mu.hinted, t.mu.lookAround
		t.mu.hinted, t.mu.lookAround = hint{}, false
		t.mu.Unlock()
		now := t.routing.Load()
		if h.addr != "" && now.m.Epoch.Before(h.epoch) {
			t.ask(h.addr)
		}
		if around && now == r && t.routing.Load() == r {
			t.ask(r.some(askedServers)...)
			t.sleep(askPace)
		}
	}
}

// some returns the addresses of some servers, n at the most.
func (r *routing) some(n int) []string {
	var alive []string
	for i := range r.m.Servers {
		if s := &r.m.Servers[i]; !s.Dead {
			alive = append(alive, s.Addr)
		}
	}
	rand.Shuffle(len(alive), func(i, j int) { alive[i], alive[j] = alive[j], alive[i] })
	return alive[:min(len(alive), n)]
}

// ask asks servers for their maps, all at once, and waits for them.
func (t *Table) ask(addrs ...string) {
	var asking sync.WaitGroup
	defer asking.Wait()
	for _, addr := range addrs {
		asking.Go(func() {
			ctx, cancel := context.WithTimeout(t.life, askTimeout)
			defer cancel()
			if m, err := t.mapOf(ctx, addr); err == nil {
				t.adopt(m)
			}
		})
	}
}

// mapOf asks a server for its map.
func (t *Table) mapOf(ctx context.Context, addr string) (*slots.Map, error) {
	c, err := link.NewClient(addr, t.opts.link())
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }() // fails only if it is closed already
	return c.ServerMap(ctx)
}

// sleep waits, and says whether the table is open still.
func (t *Table) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-t.life.Done():
		return false
	}
}
