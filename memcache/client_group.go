package memcache

import (
	"context"
	"errors"
)

// Group is requests to one or several servers that go out together and are
// waited for together, by one goroutine and at little more than the cost of
// sending them: those that share a connection are written in one go, and nobody
// is woken for each.
//
//	var g memcache.Group
//	a := g.Set(c1, item, memcache.ModeSet)
//	b := g.Delete(c2, "k", 0)
//	g.Wait(ctx)
//	cas, err := g.CAS(a)
//	err = g.Err(b)
//
// Each request ends as it would if its client had been asked for it alone, with
// its own result or error, time-outs and contexts included, and none holds up
// another's end; only Wait waits for all of them. The requests of one client for
// one key are carried out in the order in which they were added, as long as none
// of them fails. A group may be of any size: what a connection has no room for
// is sent as others are answered.
//
// The zero Group is empty and ready for use. A Group is for one goroutine at a
// time. Used again, after Reset, it allocates nothing but what it returns; it
// keeps the room that its largest use took, some 300 bytes a request.
type Group struct {
	requests []request
	calls    []*call // of the requests; nil where a pipe kept the last one
	lanes    []lane  // of the requests that Wait was not called for yet
	wave     wave
}

// request is one request of a Group.
type request struct {
	query  query
	client *Client
	err    error // why it had no answer
	next   int   // the one behind it in its lane, none if negative
	again  bool  // it is the second attempt
}

// errNotWaited is the error of a request that was not sent yet.
var errNotWaited = errors.New("memcache: the group has not waited for this request")

// Get adds a Get to the group, as the others add what they are named after.
// Nothing is sent before Wait. It returns the index by which the result is found:
// the requests are counted from 0.
func (g *Group) Get(c *Client, key string) int {
	return g.add(c, query{op: opGet, key: key}, nil)
}

// Head adds a Head.
func (g *Group) Head(c *Client, key string) int {
	return g.add(c, query{op: opHead, key: key}, nil)
}

// Peek adds a Peek.
func (g *Group) Peek(c *Client, key string) int {
	return g.add(c, query{op: opGet, key: key, unused: true}, nil)
}

// Set adds a Set. The value must not change until Wait returns.
func (g *Group) Set(c *Client, item Item, mode Mode) int { return g.SetOp(c, item, mode, OpID{}) }

// SetOp adds a SetOp. The value must not change until Wait returns.
func (g *Group) SetOp(c *Client, item Item, mode Mode, id OpID) int {
	q, err := c.setQuery(item, mode, id)
	return g.add(c, q, err)
}

// Delete adds a Delete.
func (g *Group) Delete(c *Client, key string, cas uint64) int {
	return g.DeleteOp(c, key, cas, OpID{})
}

// DeleteOp adds a DeleteOp.
func (g *Group) DeleteOp(c *Client, key string, cas uint64, id OpID) int {
	return g.add(c, query{op: opDelete, key: key, cas: cas, id: id}, nil)
}

// Len is how many requests the group has.
func (g *Group) Len() int { return len(g.requests) }

// Item is what the Get or Head at index i returned. It may be called once Wait
// has returned, as CAS and Err may.
func (g *Group) Item(i int) (Item, error) {
	if err := g.Err(i); err != nil {
		return Item{}, err
	}
	return g.calls[i].answer.item(g.requests[i].query.key), nil
}

// CAS is what the Set at index i returned.
func (g *Group) CAS(i int) (uint64, error) {
	if err := g.Err(i); err != nil {
		return 0, err
	}
	return g.calls[i].answer.cas, nil
}

// Err is the error of the request at index i.
func (g *Group) Err(i int) error {
	r := &g.requests[i]
	if r.err != nil {
		return r.err
	}
	return r.client.refusal(&r.query, &g.calls[i].answer)
}

// Reset empties the group, for use again. Items that it returned stay good.
func (g *Group) Reset() {
	for i := range g.requests {
		if cl := g.calls[i]; cl != nil {
			cl.answer = answer{}
		}
	}
	clear(g.requests)
	g.requests = g.requests[:0]
	g.dropLanes()
}

func (g *Group) dropLanes() {
	clear(g.lanes)
	g.lanes = g.lanes[:0]
}

// add adds a request, which is not sent if there is an err.
func (g *Group) add(c *Client, q query, err error) int {
	i := len(g.requests)
	if err == nil {
		q.encoded, err = checkKey(q.key)
	}
	g.requests = append(g.requests, request{query: q, client: c, err: err, next: -1})
	if i == len(g.calls) {
		g.calls = append(g.calls, nil)
	}
	if err != nil {
		return i
	}
	g.requests[i].err = errNotWaited
	cl := g.calls[i]
	if cl == nil {
		cl = new(call)
		g.calls[i] = cl
	}
	cl.wave, cl.op, cl.patience = &g.wave, q.op, c.timeout(q.op)
	cl.reopen()
	g.laneOf(c, c.slotOf(q.key)).push(i)
	return i
}

// laneOf finds or makes a lane, of which there are few.
func (g *Group) laneOf(c *Client, s *slot) *lane {
	for i := len(g.lanes) - 1; i >= 0; i-- {
		if l := &g.lanes[i]; l.slot == s {
			return l
		}
	}
	g.lanes = append(g.lanes, lane{group: g, client: c, slot: s})
	return &g.lanes[len(g.lanes)-1]
}

// Wait sends the requests that were added since it was last called, and returns
// when each of them has ended, or ctx has: then those that have not are given up,
// each with its own error.
func (g *Group) Wait(ctx context.Context) {
	if len(g.lanes) == 0 {
		return
	}
	w := &g.wave
	if w.done == nil {
		w.done = make(chan struct{}, 1)
	}
	w.several = len(g.lanes) > 1
	w.left.Store(1) // or it would come to nothing before all are sent
	for i := range g.lanes {
		if !g.lanes[i].begin(ctx, w, false) {
			g.feed(ctx, i)
		}
	}
	carry(g.lanes)
	w.finish()
	for gaveUp := false; ; {
		ended := w.left.Load() == 0
		switch {
		case ended:
		case gaveUp:
			<-w.done
		case !w.wait(ctx):
			gaveUp = true
			for i := range g.lanes {
				if l := &g.lanes[i]; !l.fed {
					l.giveUp(w)
				}
			}
		}
		if again := g.settle(ctx); ended && !again {
			break
		}
	}
	g.dropLanes()
}

// settle notes the results of the lanes that have ended. It says whether there
// are requests that are tried again.
func (g *Group) settle(ctx context.Context) (again bool) {
	for i := range g.lanes {
		l := &g.lanes[i]
		if l.fed || l.n == 0 || !l.ended() {
			continue
		}
		if l.settle(ctx); l.n > 0 {
			again = true
			g.feed(ctx, i)
		}
	}
	return again
}

// feed has the lane at index i carried out by a goroutine of its own, since it
// has to wait for more than answers.
func (g *Group) feed(ctx context.Context, i int) {
	l := g.lanes[i]
	g.lanes[i].fed = true
	g.wave.left.Add(1)
	go func() {
		feed(ctx, l)
		g.wave.finish()
	}()
}
