package memcache

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"
)

// errFull says that the pipe has as many calls under way as it may.
var errFull = errors.New("too many requests wait for this server already")

// send encodes q and puts cl among the calls under way; from then on the value
// is the caller's again, and wait has to follow. It never waits for the server.
// Nothing is done on error, which is why the pipe died, or errFull with a channel
// that is closed when it is worth trying again.
func (p *pipe) send(ctx context.Context, cl *call, q *query) (room <-chan struct{}, err error) {
	p.mu.Lock()
	inFlight := p.inFlightLocked()
	if room, err := p.admitLocked(inFlight, q.maxLen()); err != nil {
		p.mu.Unlock()
		return room, err
	}
	crowd := inFlight > 0 || p.mu.crowd
	mine, now := p.takeWritingLocked()
	reads := p.takeReadingLocked(ctx, cl)
	cl.reads = reads
	p.appendLocked(cl, q)
	p.mu.calls++
	p.mu.Unlock()
	if mine {
		if crowd {
			// Others are about to ask too: let a batch form. Twice, since those
			// that the first lets run wake more; a third time gains nothing.
			runtime.Gosched()
			runtime.Gosched()
		}
		if reads && !p.fresh(now) {
			p.unflushed = true
		} else if err := p.flush(); err != nil {
			p.fail(err)
		}
	}
	return nil, nil
}

// takeWritingLocked takes the write role if nobody has it, for queries that are
// about to be appended. The role comes with the time, since born: others that
// append before it is laid down need no better one.
func (p *pipe) takeWritingLocked() (mine bool, now time.Duration) {
	mine = !p.mu.writing
	if mine {
		p.mu.now = time.Since(p.born)
	}
	p.mu.writing = true
	if !p.mu.armed {
		p.mu.quietSince = p.mu.now
		p.armLocked(p.limits.interval)
	}
	return mine, p.mu.now
}

// takeReadingLocked takes the read role if nobody has it, for a caller with
// calls to send of which cl will be the last.
func (p *pipe) takeReadingLocked(ctx context.Context, cl *call) bool {
	switch p.mu.reading {
	case readParked:
		p.readByRunLocked()
		return false
	case readNobody:
	default:
		return false
	}
	p.mu.reading = readCaller
	p.mu.lone, p.mu.loneCtx = cl, ctx
	cl.since = p.mu.now
	if p.mu.delay > sweepLone && cl.mayLeave(ctx) {
		p.armLocked(sweepLone)
	}
	return true
}

// appendLocked encodes q and puts cl among the calls under way.
func (p *pipe) appendLocked(cl *call, q *query) {
	p.mu.mark = (p.mu.mark + 1) & opaqueMask
	cl.mark = echo{p.mu.mark, q.id}
	cl.since = p.mu.now
	cl.at = p.mu.appended
	q.redirect = p.limits.redirect
	before := len(p.mu.buf)
	p.mu.buf = appendQuery(p.mu.buf, q, cl.mark.opaque)
	p.mu.appended += int64(len(p.mu.buf) - before)
	p.mu.pending = append(p.mu.pending, cl)
	p.mu.queued++
	if cl.notice > 0 && p.mu.delay > cl.notice {
		p.armLocked(cl.notice)
	}
}

// admitLocked says whether the pipe can take a query of that size now.
func (p *pipe) admitLocked(inFlight, size int) (room <-chan struct{}, err error) {
	if p.mu.dead != nil {
		return nil, p.mu.dead
	}
	if p.fitsLocked(inFlight, 1, size) {
		return nil, nil
	}
	return p.roomLocked(), errFull
}

// fitsLocked says whether there is room for n more calls of that size together.
// One may always wait to be written.
func (p *pipe) fitsLocked(inFlight, n, size int) bool {
	waiting := len(p.mu.buf) + p.mu.promised
	return inFlight+n <= p.limits.calls && (waiting+size <= p.limits.bytes || waiting == 0 && n == 1)
}

// roomLocked is closed when it is worth trying again.
func (p *pipe) roomLocked() <-chan struct{} {
	if p.mu.room == nil {
		p.mu.room = make(chan struct{})
	}
	return p.mu.room
}

// freshFor is how long after a lone call was sent the next may be without looking
// first whether the server has closed the connection. The look is a system call,
// 4 % of a lone call over loopback; what is further away or comes later than this
// doesn't feel it.
const freshFor = time.Millisecond

// fresh says whether the last lone call was sent just now, and notes this one,
// which is sent at now. Only the caller that reads may ask.
func (p *pipe) fresh(now time.Duration) bool {
	fresh := p.lastLone > 0 && now-p.lastLone < freshFor
	p.lastLone = now
	return fresh
}

// Bounds on what one holder of the write role does.
const (
	maxRounds = 16        // writes that a caller makes for others, before a goroutine takes over
	maxChunk  = 64 << 10  // bytes in one write that waits
	maxSpare  = 256 << 10 // bytes of a buffer that is kept
)

// flush has the write role. It writes what callers have appended until there is
// no more, as long as that takes no waiting; else it hands the role on. After an
// error, which the caller has to make the pipe fail with, it keeps it.
func (p *pipe) flush() error {
	for range maxRounds {
		out := p.take(p.sock != nil)
		if out == nil {
			return nil
		}
		if p.sock == nil {
			p.handOn(out)
			return nil
		}
		n, err := p.sock.write(out)
		if n == len(out) {
			p.give(out)
			continue
		}
		p.mu.Lock()
		p.mu.handed -= int64(len(out) - n)
		p.mu.Unlock()
		if err != nil {
			return fmt.Errorf("write: %w", err)
		}
		p.handOn(out[n:])
		return nil
	}
	p.handOn(nil)
	return nil
}

// take takes what has been appended, or else lays down the write role. Handed
// says that the kernel is about to get it.
func (p *pipe) take(handed bool) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.mu.buf) == 0 || p.mu.dead != nil {
		p.mu.writing = false
		return nil
	}
	out := p.mu.buf
	p.mu.buf, p.mu.spare = p.mu.spare, nil
	p.mu.crowd, p.mu.queued = p.mu.queued > 1, 0
	if handed {
		p.mu.handed += int64(len(out))
	}
	p.freeLocked()
	return out
}

// claim says whether n more bytes may be written, and notes that the kernel is
// about to get them. Not once the pipe is dead: its calls may have been told by
// then that they were not sent, and be on their way by another.
func (p *pipe) claim(n int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.dead != nil {
		return false
	}
	p.mu.handed += int64(n)
	return true
}

// give gives back a buffer that was taken and written.
func (p *pipe) give(out []byte) {
	if cap(out) <= maxSpare {
		p.mu.Lock()
		p.mu.spare = out[:0]
		p.mu.Unlock()
	}
}

// handOn gives the write role to a goroutine that may wait, with what is left
// of what was taken.
func (p *pipe) handOn(out []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.dead != nil {
		return
	}
	p.client.wg.Add(1) // run, which is counted too, comes to its end by this lock
	go func() {
		defer p.client.wg.Done()
		for {
			for len(out) > 0 {
				chunk := out[:min(len(out), maxChunk)]
				if !p.claim(len(chunk)) {
					return
				}
				if _, err := p.nc.Write(chunk); err != nil {
					p.fail(err)
					return
				}
				out = out[len(chunk):]
			}
			if out = p.take(false); out == nil {
				return
			}
		}
	}()
}
