package memcache

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"
)

// run reads answers whenever it has the read role. When the connection breaks it
// fails the calls that are left.
func (p *pipe) run() {
	defer p.client.wg.Done()
	for {
		if alive := <-p.turn; !alive {
			break // what has come already may be out of step
		}
		if err := p.readAnswers(); err != nil {
			p.fail(readError(err))
			break
		}
	}

	p.inbox.Lock()
	p.mu.Lock()
	p.takePendingLocked()
	reason, handed := p.mu.dead, p.mu.handed
	p.mu.Unlock()
	left := p.inbox.calls
	p.inbox.calls, p.inbox.head = nil, 0
	p.inbox.Unlock()
	spent := len(left) > 0 && left[0].at < handed // on the first, and so on some

	if p.sweeper.Stop() {
		p.client.wg.Done()
	}
	p.client.lost(p, reason, spent)
	now := time.Since(p.born)
	for _, cl := range left {
		cl.err = reason
		cl.sent = cl.at < handed
		cl.spend(now - cl.since) // who tries again has no more than what is left
		cl.end(answered)
	}
}

// readAnswers reads answers for as long as calls are under way, and then lays
// down the read role; an error is the end of the pipe.
func (p *pipe) readAnswers() error {
	for batch := 0; ; batch++ {
		if !p.reader.buffered() {
			// One answer at a time is what a lone caller gets; it had better read
			// itself. In a crowd the next are on their way.
			if batch <= 1 && p.sock != nil && p.layDownReading() {
				return nil
			}
			batch = 0
			runtime.Gosched() // who was answered asks again: let that be in one go
		}
		if err := p.readAnswer(); err != nil {
			return err
		}
	}
}

// layDownReading lays down the read role unless calls are under way.
func (p *pipe) layDownReading() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.dead != nil || p.inFlightLocked() > 0 {
		return false
	}
	p.mu.reading = readNobody
	return true
}

// readAnswer reads one answer and gives it to the call that is next.
func (p *pipe) readAnswer() error {
	line, err := p.reader.line()
	if err != nil {
		return err
	}
	cl := p.head()
	if cl == nil {
		return fmt.Errorf("%w: %w", errUnasked, badLine(line, "the answer to no request"))
	}
	a, err := p.reader.answer(line, cl.op, cl.mark, !cl.abandoned())
	if err != nil {
		return err
	}
	cl.answer = a
	lostStep := a.outOfStep(cl.op)
	p.advance()
	cl.end(answered)
	if lostStep {
		return errOutOfStep
	}
	p.client.good()
	return nil
}

// readFor has the read role, by having sent cl, and reads until cl is answered,
// or for as long as that is possible: it leaves to run what needs another's
// patience, the rest of an answer that came in part, and all that goes wrong.
// Then it hands the read role on. How cl ended, its channel says.
func (p *pipe) readFor(cl *call) {
	var err error
	for err == nil && (!cl.signalled() || p.reader.ready()) {
		if p.reader.ready() {
			err = p.readAnswer()
		} else if p.reader.buffered() {
			break
		} else {
			err = p.reader.fill()
		}
	}
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		err = p.flushFirst()
	}
	if err != nil {
		p.fail(readError(err))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopReadingLocked()
}

// stopReadingLocked takes the read role from the caller that has it: run goes on
// if there is something to read.
func (p *pipe) stopReadingLocked() {
	if p.mu.broke {
		p.mu.broke = false
		p.nc.SetReadDeadline(time.Time{}) //nolint:errcheck // fails on a closed connection alone
	}
	if p.mu.dead != nil || p.inFlightLocked() > 0 || p.reader.buffered() {
		p.readByRunLocked()
	} else {
		p.mu.lone, p.mu.loneCtx = nil, nil
		p.mu.reading = readNobody
	}
}

// readByRunLocked gives run the read role, which nobody uses.
func (p *pipe) readByRunLocked() {
	p.mu.lone, p.mu.loneCtx = nil, nil
	p.mu.reading = readRun
	p.turn <- p.mu.dead == nil
}

// flushFirst writes what the caller that reads has put off, to look first
// whether the server has closed the connection: while nothing was under way
// nobody would have seen it.
func (p *pipe) flushFirst() error {
	if !p.unflushed {
		return nil
	}
	p.unflushed = false
	return p.flush()
}

// readError puts the end of a stream in words.
func readError(err error) error {
	switch err {
	case io.EOF:
		return errServerClosed
	case io.ErrUnexpectedEOF:
		return errCutShort
	}
	return err
}

// countedReader reads from the connection and counts reads that brought bytes.
// The first read of a caller that reads writes, too.
type countedReader struct{ p *pipe }

func (r countedReader) Read(b []byte) (int, error) {
	p := r.p
	var n int
	var err error
	if p.unflushed {
		n, err = p.sock.readAfter(b, p.flushFirst)
	} else {
		n, err = p.nc.Read(b)
	}
	if n > 0 {
		p.reads.Add(1)
	}
	return n, err
}
