package link

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/torc-dht/torc/chord/internal/ring"
)

// idleAfter is how long a connection, and what is known of a peer, is kept without
// anything to send.
const idleAfter = time.Minute

// peer is another node, as one that messages are sent to. It lives while there are any,
// and a while longer.
type peer struct {
	m    *Mesh
	ref  ring.Ref
	out  *outbox
	news chan struct{}           // of one: it has called, or a call of its has ended
	end  context.CancelCauseFunc // ends the call under way, or the connection; guarded by Mesh.mu

	// Of keep's goroutine:
	again redial
	took  time.Duration // to connect, the last time
}

func newPeer(m *Mesh, ref ring.Ref) *peer {
	return &peer{m: m, ref: ref, out: newOutbox(m.cfg.queueBytes()), news: make(chan struct{}, 1)}
}

func (p *peer) hear() {
	select {
	case p.news <- struct{}{}:
	default:
	}
}

// keep calls the peer for as long as there is something to say to it.
func (p *peer) keep() {
	for {
		rest, hurried := p.once()
		p.pause(rest)
		for !hurried && p.out.isEmpty() {
			if !p.await() && p.retire() {
				return
			}
		}
		if p.m.ctx.Err() != nil {
			p.retire()
			return
		}
	}
}

// once calls the peer and sends until the connection ends. It says how long to wait
// before the next call, and whether that is due without anything to say, too.
func (p *peer) once() (rest time.Duration, hurried bool) {
	ctx, cancel := context.WithCancelCause(p.m.ctx)
	p.ending(cancel)
	defer func() {
		p.ending(nil)
		cancel(ErrClosed)
	}()
	c, failed := p.call(ctx)
	if failed != nil {
		return p.tell(failed)
	}
	begun := time.Now()
	emit(p.m.sending, p.m.cfg.Events, Up{p.ref})
	err := p.write(c)
	c.close()
	if errors.Is(err, errIdle) {
		p.again = redial{}
		return 0, false
	}
	p.out.drop()
	if errors.Is(err, ErrQueueFull) {
		return p.tell(&failure{silent, err})
	}
	return p.again.lost(time.Since(begun)), p.m.sending.Err() == nil
}

// ending says how to end what is under way; nil: nothing is.
func (p *peer) ending(end context.CancelCauseFunc) {
	p.m.mu.Lock()
	p.end = end
	p.m.mu.Unlock()
}

// tell reports a call that failed, unless the next one follows at once.
func (p *peer) tell(f *failure) (rest time.Duration, hurried bool) {
	rest, report, dead := p.again.failed(f.outcome, p.m.isCalling(p.ref.Boot))
	if !report {
		return rest, true
	}
	p.out.drop()
	if f.outcome == rejected {
		emit(p.m.sending, p.m.cfg.Events, Rejected{p.ref.Addr, f.err.Error()})
	}
	emit(p.m.sending, p.m.cfg.Events, Down{Peer: p.ref, Refused: dead, Err: fmt.Errorf("%s: %w", p.ref.Addr, f.err)})
	return rest, false
}

// pause waits for rest; less if it is a long one and the peer is heard of, or nothing
// else is to be sent to anybody.
func (p *peer) pause(rest time.Duration) {
	if rest == 0 {
		return
	}
	news, over := p.news, p.m.sending.Done()
	if rest < minRest {
		news, over = nil, p.m.ctx.Done()
	}
	t := time.NewTimer(rest)
	defer t.Stop()
	select {
	case <-t.C:
	case <-news:
		p.again.heard()
	case <-over:
	}
}

// await waits for something to say, and says whether there may be.
func (p *peer) await() bool {
	t := time.NewTimer(p.m.cfg.idle)
	defer t.Stop()
	select {
	case <-p.out.wake:
		return true
	case <-t.C:
	case <-p.m.sending.Done():
	}
	return false
}

// retire forgets the peer, unless there is something to say to it.
func (p *peer) retire() bool {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	if !p.out.isEmpty() && p.m.ctx.Err() == nil {
		return false
	}
	delete(p.m.mu.peers, p.ref)
	return true
}

// errIdle: nothing was sent for idleAfter, or nothing will be.
var errIdle = errors.New("idle")

// write sends what waits until the connection ends, and says why it does.
func (p *peer) write(c *call) error {
	idle := time.NewTimer(p.m.cfg.idle)
	defer idle.Stop()
	for {
		finishing := p.m.sending.Err() != nil // from then on, nothing is put in
		msgs, n := p.out.take()
		if msgs != nil {
			if err := c.stream.SendMsg(&frame{msgs: msgs}); err != nil {
				<-c.ctx.Done() // reading says why
				return context.Cause(c.ctx)
			}
			p.out.done(n)
			idle.Reset(p.m.cfg.idle)
			continue
		}
		if finishing {
			_ = c.stream.CloseSend() // it never fails
			<-c.ctx.Done()           // the other side has read all, or the connection broke
			return errIdle
		}
		select {
		case <-p.out.wake:
		case <-p.m.sending.Done():
		case <-idle.C:
			return errIdle
		case <-c.ctx.Done():
			return context.Cause(c.ctx)
		}
	}
}
