package chord

import (
	"context"
	"time"

	"github.com/torc-dht/torc/chord/internal/link"
	"github.com/torc-dht/torc/chord/internal/msg"
	"github.com/torc-dht/torc/chord/internal/place"
	"github.com/torc-dht/torc/chord/internal/ring"
)

// nodeCalls is what a node does for tools, from other goroutines than its loop.
type nodeCalls struct{ l *serverLoop }

// Status implements [link.Calls].
func (c nodeCalls) Status(context.Context) (st link.Status, err error) {
	if !c.l.on(func() { st = c.l.status() }) {
		err = errGoing
	}
	return st, err
}

// Resolve implements [link.Calls]. What this node owns itself it knows by itself.
func (c nodeCalls) Resolve(ctx context.Context, target place.Place) (link.Resolved, error) {
	began := time.Now()
	found := make(chan ring.Found, 1)
	var owns msg.Span
	l := c.l
	var joined bool
	if !l.on(func() {
		if joined = l.joined; !joined {
			return
		}
		if o, ok := l.core.Owner(target); ok && o.Node == l.self {
			owns = o.Span
			found <- ring.Found{Owner: l.self}
			return
		}
		l.lookup(target, func(f *ring.Found) { found <- *f })
	}) {
		return link.Resolved{}, errGoing
	}
	if !joined {
		return link.Resolved{}, errNotJoined
	}
	select {
	case f := <-found:
		r := link.Resolved{Owner: f.Owner, Span: owns, Took: time.Since(began)}
		if owns == (msg.Span{}) {
			r.Span = msg.Span{From: f.Before.Place, To: f.Owner.Place}
		}
		for _, h := range f.Hops {
			r.Hops = append(r.Hops, link.Hop{Node: h.Node, Silent: h.Silent, Took: h.Took})
		}
		return r, f.Err
	case <-ctx.Done():
		return link.Resolved{}, ctx.Err()
	}
}

// farewell is how long a node that goes may take to let who is concerned know. Others
// find out soon after.
const farewell = time.Second

// Leave implements [link.Calls].
func (c nodeCalls) Leave(context.Context) error { return c.tell(c.l.leave) }

// Fail implements [link.Calls].
func (c nodeCalls) Fail(ctx context.Context) error {
	if err := c.tell(c.l.fail); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, farewell)
	defer cancel()
	return c.l.mesh.Finish(ctx)
}

func (c nodeCalls) tell(f func()) error {
	if !c.l.on(f) {
		return errGoing
	}
	return nil
}

// status is how the node is.
func (l *serverLoop) status() link.Status {
	s := l.core.Status()
	st := link.Status{
		Info: link.Info{Joined: s.Joined}, Predecessor: s.Predecessor, Successors: s.Successors, Fingers: s.Fingers,
		Suspects: s.Suspects, Lost: s.Remembered, Claim: s.Claim, Serving: s.Serving, Whole: s.Firm,
		Holdings: s.Holdings, Keys: s.Owned, Held: s.Keys, Bytes: s.Bytes, Limit: s.Limit,
		Counts: link.Counts{
			TakeOvers: s.Counts.TakeOvers, HandOffs: s.Counts.HandOffs,
			TakenEmpty: s.Counts.TakenEmpty, Overwritten: s.Counts.Overwritten,
		},
	}
	for _, h := range s.Holders {
		st.Holders = append(st.Holders, link.Holder{Node: h.Node, Complete: h.Complete})
	}
	return st
}
