package memcache

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Why a pipe broke.
var (
	errServerClosed = errors.New("the server closed the connection")
	errCutShort     = errors.New("the server closed the connection in the middle of an answer")
	errUnasked      = errors.New("the server spoke without being asked")
	errOutOfStep    = errors.New("the server refused a request in a way that leaves open what it makes of the value")
)

// pipeLimits is what a pipe needs to know of its client's Config.
type pipeLimits struct {
	calls    int           // in flight
	bytes    int           // not yet handed to the kernel
	value    int           // in an answer
	answer   time.Duration // that a timed call waits at least; 0 for ever
	stall    time.Duration // without a byte while calls wait
	interval time.Duration // between sweeps
}

// pipe is one connection and the calls under way on it, whose answers come in
// the order in which they were sent.
//
// There are two roles. Who appends a query while nobody writes has the write
// role: it writes what is appended until nothing is left. Who sends a query
// while nothing is under way has the read role: it reads until its own answer
// has come. When others are under way then, or when it has to leave before, the
// pipe's own goroutine goes on reading. So a lone caller waits for no other
// goroutine, which would double what a call takes, and of many callers all but
// two only append and wait.
//
// Locks are taken in the order inbox, mu. Neither is held during I/O.
type pipe struct {
	client  *Client
	nc      net.Conn
	sock    *socket // nil if nc is none; then only run reads, and only goroutines write
	limits  pipeLimits
	reader  *answerReader
	born    time.Time
	sweeper *time.Timer
	turn    chan struct{} // has room for one: gives run the read role

	// Only the caller that reads touches these.
	unflushed bool      // it has the write role too, and uses it once it has looked
	lastLone  time.Time // when the last such caller sent

	reads    atomic.Uint64 // how often bytes came
	answered atomic.Uint64 // calls that have left inbox

	mu struct {
		sync.Mutex
		dead     error // once set, takes no more calls
		buf      []byte
		spare    []byte
		writing  bool // somebody has the write role
		queued   int  // queries in buf
		crowd    bool // the last write carried more than one
		reading  readRole
		lone     *call           // of the caller that has the read role
		loneCtx  context.Context // its
		broke    bool            // lone's waiting was broken off
		appended int64           // bytes of queries, ever
		handed   int64           // those of them that the kernel may have
		pending  []*call
		calls    uint64 // appended, ever
		mark     opaque
		room     chan struct{} // closed when there may be room again; nil if nobody waits

		now        time.Duration // since born; as of the last sweep, or arming
		armed      bool          // a sweep is due
		delay      time.Duration // that it was armed with
		reads      uint64        // as of the last sweep
		quietSince time.Duration // nothing was read since, though calls wait
	}

	inbox struct {
		sync.Mutex
		calls []*call
		head  int // the one whose answer is next
	}
}

// readRole says who reads.
type readRole uint8

const (
	readNobody readRole = iota // nothing is under way
	readCaller                 // the caller of mu.lone
	readRun                    // run
)

// Sweeps come an eighth of the shorter time-out apart, so that a call fails at
// most that much late. They come more often while a caller reads whose context
// may end: that breaks off its waiting. (Not always: a timer that is near makes
// each wait of the runtime's dearer, by 4 % of a lone call.)
const (
	sweepShare = 8
	sweepLone  = 10 * time.Millisecond
)

// freshFor is how long after a lone call was sent the next may be without looking
// first whether the server has closed the connection. The look is a system call,
// 4 % of a lone call over loopback; what is further away or comes later than this
// doesn't feel it.
const freshFor = time.Millisecond

// fresh says whether the last lone call was sent just now, and notes this one.
func (p *pipe) fresh() bool {
	now := time.Now()
	fresh := now.Sub(p.lastLone) < freshFor
	p.lastLone = now
	return fresh
}

// newPipe greets the server on nc, which has a deadline for that, and returns a
// pipe that takes calls. The greeting makes sure that a server is there that
// serves: a frozen one still accepts connections, by its kernel.
func newPipe(c *Client, nc net.Conn, limits pipeLimits) (*pipe, error) {
	p := &pipe{client: c, nc: nc, limits: limits, sock: newSocket(nc), turn: make(chan struct{}, 1)}
	p.reader = newAnswerReader(countedReader{p}, limits.value)
	if _, err := nc.Write(appendQuery(nil, &query{op: opNoop}, 0)); err != nil {
		return nil, err
	}
	line, err := p.reader.line()
	if err != nil {
		return nil, readError(err)
	}
	a, err := p.reader.answer(line, opNoop, 0, false)
	if err != nil {
		return nil, err
	}
	if a.code == codeError {
		return nil, fmt.Errorf("it answers %q to the meta command mn: memcached before 1.6, or too busy", a.text)
	}
	p.born = time.Now()
	p.mu.mark = opaque(rand.Uint32())
	p.sweeper = time.AfterFunc(time.Hour, p.sweep)
	p.sweeper.Stop()
	if p.sock == nil {
		p.readByRunLocked()
	}
	return p, nil
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

// errFull says that the pipe has as many calls under way as it may.
var errFull = errors.New("too many requests wait for this server already")

// send encodes q and puts cl among the calls under way; from then on the value
// is the caller's again, and wait has to follow. It never waits for the server.
// Nothing is done on error, which is why the pipe died, or errFull with a channel
// that is closed when it is worth trying again.
func (p *pipe) send(ctx context.Context, cl *call, q *query) (room <-chan struct{}, err error) {
	p.mu.Lock()
	inFlight := p.inFlightLocked()
	if room, err := p.admitLocked(inFlight, q); err != nil {
		p.mu.Unlock()
		return room, err
	}
	reads := p.mu.reading == readNobody
	if reads {
		p.mu.reading = readCaller
		p.mu.lone, p.mu.loneCtx = cl, ctx
	}
	p.mu.mark = (p.mu.mark + 1) & opaqueMask
	cl.mark = p.mu.mark
	cl.reads = reads
	cl.at = p.mu.appended
	before := len(p.mu.buf)
	p.mu.buf = appendQuery(p.mu.buf, q, cl.mark)
	p.mu.appended += int64(len(p.mu.buf) - before)
	p.mu.pending = append(p.mu.pending, cl)
	p.mu.calls++
	p.mu.queued++
	if !p.mu.armed {
		p.mu.now = time.Since(p.born)
		p.mu.quietSince = p.mu.now
		p.armLocked(p.limits.interval)
	}
	if reads && ctx.Done() != nil && p.mu.delay > sweepLone {
		p.armLocked(sweepLone)
	}
	cl.since = p.mu.now
	crowd := inFlight > 0 || p.mu.crowd
	mine := !p.mu.writing
	p.mu.writing = true
	p.mu.Unlock()
	if mine {
		if crowd {
			runtime.Gosched() // others are about to ask too: let a batch form
		}
		if reads && !p.fresh() {
			p.unflushed = true
		} else {
			p.flush()
		}
	}
	return nil, nil
}

// admitLocked says whether the pipe can take q now.
func (p *pipe) admitLocked(inFlight int, q *query) (room <-chan struct{}, err error) {
	if p.mu.dead != nil {
		return nil, p.mu.dead
	}
	size := len(p.mu.buf) + len(q.key) + len(q.value) + maxQueryOverhead
	if inFlight < p.limits.calls && (len(p.mu.buf) == 0 || size <= p.limits.bytes) {
		return nil, nil
	}
	if p.mu.room == nil {
		p.mu.room = make(chan struct{})
	}
	return p.mu.room, errFull
}

// inFlightLocked is how many calls wait for answers, given up ones too.
func (p *pipe) inFlightLocked() int { return int(p.mu.calls - p.answered.Load()) }

// freeLocked lets those go on who wait for room.
func (p *pipe) freeLocked() {
	if p.mu.room != nil {
		close(p.mu.room)
		p.mu.room = nil
	}
}

// Bounds on what one holder of the write role does.
const (
	maxRounds = 16        // writes that a caller makes for others, before a goroutine takes over
	maxChunk  = 64 << 10  // bytes in one write that waits
	maxSpare  = 256 << 10 // bytes of a buffer that is kept
)

// flush has the write role. It writes what callers have appended until there is
// no more, as long as that takes no waiting; else it hands the role on.
func (p *pipe) flush() {
	for range maxRounds {
		out := p.take(p.sock != nil)
		if out == nil {
			return
		}
		if p.sock == nil {
			p.handOn(out)
			return
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
			p.fail(fmt.Errorf("write: %w", err))
			return
		}
		p.handOn(out[n:])
		return
	}
	p.handOn(nil)
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
				p.mu.Lock()
				p.mu.handed += int64(len(chunk))
				p.mu.Unlock()
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

// run reads answers whenever it has the read role. When the connection breaks it
// fails the calls that are left.
func (p *pipe) run() {
	defer p.client.wg.Done()
	for {
		<-p.turn
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
	for _, cl := range left {
		cl.err = reason
		cl.sent = cl.at < handed
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
	a, err := p.reader.answer(line, cl.op, cl.mark, !cl.abandoned.Load())
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
	for err == nil && (len(cl.done) == 0 || p.reader.ready()) {
		if p.reader.ready() {
			err = p.readAnswer()
		} else if p.reader.buffered() {
			break
		} else {
			err = p.reader.fill()
		}
	}
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		p.fail(readError(err))
	}
	p.flushFirst()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopReadingLocked()
}

// stopReadingLocked takes the read role from the caller that has it: run goes on
// if there is something to read.
func (p *pipe) stopReadingLocked() {
	p.mu.lone, p.mu.loneCtx = nil, nil
	if p.mu.broke {
		p.mu.broke = false
		p.nc.SetReadDeadline(time.Time{}) //nolint:errcheck // fails on a closed connection alone
	}
	if p.mu.dead != nil || p.inFlightLocked() > 0 || p.reader.buffered() {
		p.readByRunLocked()
	} else {
		p.mu.reading = readNobody
	}
}

// readByRunLocked gives run the read role, which nobody has.
func (p *pipe) readByRunLocked() {
	p.mu.reading = readRun
	p.turn <- struct{}{}
}

// breakOffLocked ends the waiting of the caller that reads.
func (p *pipe) breakOffLocked() {
	if !p.mu.broke {
		p.mu.broke = true
		p.nc.SetReadDeadline(time.Unix(1, 0)) //nolint:errcheck // fails on a closed connection alone
	}
}

// flushFirst writes what the caller that reads has put off, to look first
// whether the server has closed the connection: while nothing was under way
// nobody would have seen it.
func (p *pipe) flushFirst() {
	if p.unflushed {
		p.unflushed = false
		p.flush()
	}
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

// head is the call whose answer is next; nil if nothing was asked. It stays
// there until advance, so that a sweep sees it.
func (p *pipe) head() *call {
	p.inbox.Lock()
	defer p.inbox.Unlock()
	if len(p.inbox.calls) == 0 {
		p.mu.Lock()
		p.takePendingLocked()
		p.mu.Unlock()
		if len(p.inbox.calls) == 0 {
			return nil
		}
	}
	return p.inbox.calls[p.inbox.head]
}

// advance takes the head off the pipe.
func (p *pipe) advance() {
	p.inbox.Lock()
	defer p.inbox.Unlock()
	p.inbox.calls[p.inbox.head] = nil
	p.inbox.head++
	p.answered.Add(1)
	if p.inbox.head == len(p.inbox.calls) {
		p.mu.Lock()
		p.takePendingLocked()
		p.freeLocked()
		p.mu.Unlock()
	}
}

// takePendingLocked moves what is pending behind what is in the inbox. The
// caller holds both locks.
func (p *pipe) takePendingLocked() {
	in := &p.inbox
	n := copy(in.calls, in.calls[in.head:])
	clear(in.calls[n:])
	in.calls, in.head = in.calls[:n], 0
	if n == 0 {
		in.calls, p.mu.pending = p.mu.pending, in.calls
		return
	}
	in.calls = append(in.calls, p.mu.pending...)
	clear(p.mu.pending)
	p.mu.pending = p.mu.pending[:0]
}

// alive says whether the pipe takes calls.
func (p *pipe) alive() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.dead == nil
}

// fail breaks the connection, for the reason err unless there was one before.
// What waits fails soon after, by the hand of run. With calls under way the
// connection is reset, so that what the kernel hasn't sent stays unsent.
func (p *pipe) fail(err error) {
	p.mu.Lock()
	if p.mu.dead != nil {
		p.mu.Unlock()
		return
	}
	p.mu.dead = err
	abort := p.inFlightLocked() > 0
	p.freeLocked()
	if p.mu.reading == readNobody {
		p.readByRunLocked()
	}
	p.mu.Unlock()
	if abort {
		resetOnClose(p.nc)
	}
	p.nc.Close()
}

// resetOnClose makes Close drop unsent data and not wait to say goodbye.
func resetOnClose(nc net.Conn) {
	if t, ok := nc.(*tls.Conn); ok {
		nc = t.NetConn()
	}
	if l, ok := nc.(interface{ SetLinger(int) error }); ok {
		l.SetLinger(0) //nolint:errcheck // the connection is given up anyway
	}
}

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
	if p.mu.lone != nil {
		if p.overdue(p.mu.lone, now) || p.mu.loneCtx.Err() != nil {
			p.breakOffLocked()
		} else if p.mu.loneCtx.Done() != nil {
			delay = min(delay, sweepLone)
		}
	}
	p.armLocked(delay)
	p.takePendingLocked()
	p.mu.Unlock()

	for _, cl := range p.inbox.calls[p.inbox.head:] {
		if !cl.timed {
			continue
		}
		if !p.overdue(cl, now) {
			break // and the rest came later
		}
		cl.timed = false
		cl.abandoned.Store(true)
		cl.end(overdue)
	}
	p.inbox.Unlock()
	if stalled {
		p.fail(&stallError{p.limits.stall})
	}
}

// overdue says whether cl has surely waited too long for its answer: its since
// may be an interval before it was sent.
func (p *pipe) overdue(cl *call, now time.Duration) bool {
	return cl.timed && now-cl.since >= p.limits.answer+p.limits.interval
}

// stallError is why a pipe broke that had calls under way and read nothing.
type stallError struct{ after time.Duration }

func (e *stallError) Error() string {
	return fmt.Sprintf("the server has not sent a byte for %v, with requests waiting", e.after)
}

// Timeout says what it is, as a net.Error does.
func (e *stallError) Timeout() bool { return true }
