package memcache

import (
	"context"
	"runtime"
	"time"
)

// lane is the requests of a Group that share a connection and are not done, in
// order.
type lane struct {
	group       *Group
	client      *Client
	slot        *slot
	first, last int  // indexes; those between by request.next
	n           int  // how many
	size        int  // bytes that they take at most
	fed         bool // a copy of it is carried out by a goroutine of its own

	// Of those that are under way:
	pipe   *pipe
	sent   int    // how many: the first so many of n
	writes bool   // flush has to follow
	looks  bool   // and that has to look first whether the server has closed the connection
	lone   *call  // the last of them, if their waiter has the read role
	crowd  bool   // others ask over the same connection
	upTo   uint64 // as pipe.mu.calls, them included
}

// push puts the request at index i behind the others.
func (l *lane) push(i int) {
	r := &l.group.requests[i]
	r.next = -1
	if l.n == 0 {
		l.first = i
	} else {
		l.group.requests[l.last].next = i
	}
	l.last = i
	l.n++
	l.size += r.query.maxLen()
}

// filter keeps those requests of which keep, asked in order, says so.
func (l *lane) filter(keep func(i int) bool) {
	i, n := l.first, l.n
	l.n, l.size = 0, 0
	for range n {
		next := l.group.requests[i].next
		if keep(i) {
			l.push(i)
		}
		i = next
	}
}

// begin appends the lane's requests to its pipe, as calls of w; carry and settle
// have to follow. If that has to wait for a connection, or for room for all of
// them, then it waits, and is content with room for some, if it is patient; else
// it returns false, and nothing is done. Requests that can't be sent leave the
// lane with their errors.
func (l *lane) begin(ctx context.Context, w *wave, patient bool) bool {
	l.sent, l.lone = 0, nil
	for l.n > 0 {
		if err := ctx.Err(); err != nil {
			l.fail(givenUp, l.client.connError(err, false))
			break
		}
		p := l.slot.pipe.Load()
		if p == nil {
			var d *dial
			var err error
			how := answered
			if p, d, err = l.client.pipeOf(l.slot); d != nil {
				if !patient {
					return false
				}
				var patience time.Duration
				how, patience = l.waitUnsent(ctx, d.done)
				p, err = l.client.dialled(ctx, d, how, patience)
			}
			if err != nil {
				l.fail(how, err)
				continue
			}
		}
		room, err := p.sendLane(ctx, l, w, !patient)
		switch {
		case err == nil:
			return true
		case room == nil:
			l.slot.pipe.CompareAndSwap(p, nil) // dead: the next round dials
		case !patient:
			return false
		default:
			how, patience := l.waitUnsent(ctx, room)
			if err := l.client.noRoom(ctx, how, patience); err != nil {
				l.fail(how, err)
			}
		}
	}
	return true
}

// waitUnsent waits, with requests that are not sent, until ready is closed or
// the patience of one, which it returns, or ctx ends.
func (l *lane) waitUnsent(ctx context.Context, ready <-chan struct{}) (how signal, patience time.Duration) {
	hasty := l.group.calls[l.first]
	for i := l.first; i >= 0; i = l.group.requests[i].next {
		if cl := l.group.calls[i]; cl.patience > 0 && (hasty.patience == 0 || cl.patience < hasty.patience) {
			hasty = cl
		}
	}
	patience = hasty.patience
	began := time.Now()
	how = waitUnsent(ctx, hasty, ready)
	spent := time.Since(began)
	for i := l.first; i >= 0; i = l.group.requests[i].next {
		if cl := l.group.calls[i]; cl != hasty {
			cl.spend(spent)
		}
	}
	return how, patience
}

// fail ends requests that are not sent: all of them, or, where how they waited is
// overdue, those without patience left.
func (l *lane) fail(how signal, err error) {
	l.filter(func(i int) bool {
		if how == overdue && !l.group.calls[i].spent() {
			return true
		}
		l.group.requests[i].err = err
		return false
	})
}

// carry writes what begin has appended to each lane, and reads answers as long as
// that is for the calling goroutine to do.
func carry(lanes []lane) {
	for i := range lanes {
		if l := &lanes[i]; l.writes && l.crowd {
			runtime.Gosched() // as in pipe.send
			runtime.Gosched()
			break
		}
	}
	for i := range lanes {
		lanes[i].flush()
	}
	var first *lane
	for i := range lanes {
		switch l := &lanes[i]; {
		case l.lone == nil:
		case first == nil:
			first = l
		default:
			l.pipe.park(l.upTo)
		}
	}
	stay := true
	for i := range lanes {
		if l := &lanes[i]; l.lone != nil && (l == first || l.pipe.unpark(l.lone, stay)) {
			l.pipe.readFor(l.lone)
			stay = l.lone.signalled() // else somebody needs this goroutine elsewhere
		}
	}
}

// flush writes what was appended to the lane's pipe, if that is for the calling
// goroutine to do.
func (l *lane) flush() {
	if !l.writes {
		return
	}
	l.writes = false
	p := l.pipe
	var err error
	if l.looks {
		l.looks = false
		err = p.sock.look()
	}
	if err == nil {
		err = p.flush()
	}
	if err != nil {
		p.fail(readError(err))
	}
}

// ended says whether those under way have.
func (l *lane) ended() bool {
	i := l.first
	for range l.sent {
		if l.group.calls[i].stage.Load() == stageOpen {
			return false
		}
		i = l.group.requests[i].next
	}
	return true
}

// giveUp ends the waiting for those, calls of w, that are under way.
func (l *lane) giveUp(w *wave) {
	i := l.first
	for range l.sent {
		if l.group.calls[i].stage.CompareAndSwap(stageOpen, stageGivenUp) {
			w.left.Add(-1)
		}
		i = l.group.requests[i].next
	}
}

// settle notes how those ended that were under way. What is left in the lane is
// to be sent yet, or again.
func (l *lane) settle(ctx context.Context) {
	sent := l.sent
	l.sent = 0
	l.filter(func(i int) bool {
		sent--
		return sent < 0 || !l.done(ctx, i)
	})
}

// done notes how the call at index i ended. It is false if it is to be sent again.
func (l *lane) done(ctx context.Context, i int) bool {
	r, cl := &l.group.requests[i], l.group.calls[i]
	switch cl.stage.Load() {
	case stageOverdue:
		r.err = l.client.tookTooLong(r.query.op)
		l.group.calls[i] = nil
	case stageGivenUp:
		r.err = l.client.gaveUp(ctx, true)
		l.group.calls[i] = nil
	default:
		if r.err = nil; cl.err == nil {
			break
		}
		if !cl.sent && !r.again {
			r.again = true // it found a connection that the server had closed
			cl.reopen()
			return false
		}
		r.err = l.client.connError(cl.err, cl.sent)
	}
	return true
}

// feed carries out the requests of the one lane, as many at a time as there is
// room for on its connection.
func feed(ctx context.Context, it lane) {
	one := [...]lane{it}
	l := &one[0]
	w := &wave{done: make(chan struct{}, 1)}
	for i := l.first; i >= 0; i = l.group.requests[i].next {
		l.group.calls[i].wave = w
	}
	for l.n > 0 {
		l.begin(ctx, w, true)
		carry(one[:])
		for w.left.Load() > 0 {
			if !w.wait(ctx) {
				l.giveUp(w)
			}
		}
		l.settle(ctx)
	}
}
