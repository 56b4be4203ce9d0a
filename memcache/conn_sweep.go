package memcache

import (
	"context"
	"fmt"
	"math"
	"time"
)

// Sweeps come a sixteenth of the shortest time-out apart. A call is ended by the
// last sweep before its time is up, and since its beginning is known to a sweep's
// interval too, up to an eighth of its time-out early. They come more often while
// a caller reads whose context may end: that breaks off its waiting. (Not always:
// a timer that is near makes each wait of the runtime's dearer, by 4 % of a lone
// call.)
const (
	sweepShare = 16
	sweepLone  = 10 * time.Millisecond
)

// armLocked has a sweep come after d.
func (p *pipe) armLocked(d time.Duration) {
	p.mu.armed, p.mu.delay = true, d
	if !p.sweeper.Reset(d) {
		p.client.wg.Add(1)
	}
}

// sweep runs every now and then while calls are under way. It ends the waiting
// of those that are overdue, and breaks a connection that is silent for too
// long. One timer for all: one for each call would cost as much again as the
// rest of a call does, and the time of day would.
func (p *pipe) sweep() {
	defer p.client.wg.Done()
	p.inbox.Lock()
	p.mu.Lock()
	if p.mu.dead != nil || p.inFlightLocked() == 0 {
		p.mu.armed = false
		p.mu.Unlock()
		p.inbox.Unlock()
		return
	}
	now := time.Since(p.born)
	p.mu.now = now
	if reads := p.reads.Load(); reads != p.mu.reads {
		p.mu.reads, p.mu.quietSince = reads, now
	}
	stalled := now-p.mu.quietSince >= p.limits.stall
	delay := p.limits.interval
	if lone := p.mu.lone; lone != nil {
		switch {
		case !p.leaves(lone, now) && p.mu.loneCtx.Err() == nil:
			if lone.mayLeave(p.mu.loneCtx) {
				delay = min(delay, sweepLone)
			}
		case p.mu.reading == readParked:
			p.readByRunLocked()
		default:
			p.breakOffLocked()
		}
	}
	p.armLocked(delay)
	p.takePendingLocked()
	p.mu.Unlock()

	soon := delay
	for _, cl := range p.inbox.calls[p.inbox.head:] {
		switch in := cl.lateIn(now); {
		case p.overdue(cl, now):
			cl.patience, cl.notice = 0, 0
			cl.end(overdue)
		case in == 0:
			cl.notice = 0
			cl.end(late)
		default:
			soon = min(soon, in)
		}
	}
	if soon < delay {
		p.mu.Lock()
		if p.mu.dead == nil {
			p.armLocked(soon)
		}
		p.mu.Unlock()
	}
	p.inbox.Unlock()
	if stalled {
		p.fail(&stallError{p.limits.stall})
	}
}

// overdue says whether cl will have waited too long by the next sweep.
func (p *pipe) overdue(cl *call, now time.Duration) bool {
	return cl.patience > 0 && now-cl.since >= cl.patience-p.limits.interval
}

// leaves says whether the caller that reads for cl has to leave to others what it
// reads: it has something to tell its waiter, or the waiter may be needed by
// another of its connections.
func (p *pipe) leaves(cl *call, now time.Duration) bool {
	return p.overdue(cl, now) || cl.lateIn(now) == 0 ||
		cl.severally() && now-cl.since >= min(sweepLone, p.limits.interval)/2
}

// lateIn is how long it is until cl's waiter is to be given notice; more than
// any time if he is not.
func (cl *call) lateIn(now time.Duration) time.Duration {
	if cl.notice == 0 {
		return math.MaxInt64
	}
	return max(cl.notice-(now-cl.since), 0)
}

// mayLeave says whether the caller that reads for cl may have to leave before.
func (cl *call) mayLeave(ctx context.Context) bool { return ctx.Done() != nil || cl.severally() }

// severally says whether cl's waiter waits for other connections, too.
func (cl *call) severally() bool { return cl.wave != nil && cl.wave.several }

// stallError is why a pipe broke that had calls under way and read nothing.
type stallError struct{ after time.Duration }

func (e *stallError) Error() string {
	return fmt.Sprintf("the server has not sent a byte for %v, with requests waiting", e.after)
}

// Timeout says what it is, as a net.Error does.
func (e *stallError) Timeout() bool { return true }

// breakOffLocked ends the waiting of the caller that reads.
func (p *pipe) breakOffLocked() {
	if !p.mu.broke {
		p.mu.broke = true
		p.nc.SetReadDeadline(time.Unix(1, 0)) //nolint:errcheck // fails on a closed connection alone
	}
}
