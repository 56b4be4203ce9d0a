package memcache

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
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

// pipe is one connection and the calls under way on it. Callers append their
// queries to one buffer, and whoever finds nobody writing writes it; one
// goroutine reads, and matches answers to calls by their order.
//
// Locks are taken in the order inbox, mu. Neither is held during I/O.
type pipe struct {
	client  *Client
	nc      net.Conn
	try     *tryWriter // nil if a write can't be tried without waiting
	limits  pipeLimits
	reader  *answerReader
	born    time.Time
	sweeper *time.Timer

	reads    atomic.Uint64 // how often bytes came
	answered atomic.Uint64 // calls that have left inbox

	mu struct {
		sync.Mutex
		dead     error // once set, takes no more calls
		buf      []byte
		spare    []byte
		writing  bool  // somebody has the write role
		appended int64 // bytes of queries, ever
		handed   int64 // those of them that the kernel may have
		pending  []*call
		calls    uint64 // appended, ever
		mark     opaque
		room     chan struct{} // closed when there may be room again; nil if nobody waits
		tick     uint32        // counts sweeps
		armed    bool          // a sweep is due
	}

	inbox struct {
		sync.Mutex
		calls []*call
		head  int    // the one whose answer is next
		reads uint64 // as of the last sweep
		quiet int    // sweeps in a row that found calls waiting and nothing read
	}
}

// sweeps is how many sweeps there are in the shorter of the two time-outs, so
// that a call fails at most an eighth of it late.
const sweeps = 8

// newPipe greets the server on nc, which has a deadline for that, and returns a
// pipe that takes calls. The greeting makes sure that a server is there that
// serves: a frozen one still accepts connections, by its kernel.
func newPipe(c *Client, nc net.Conn, limits pipeLimits) (*pipe, error) {
	p := &pipe{client: c, nc: nc, limits: limits, try: newTryWriter(nc)}
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
	return p, nil
}

// countedReader reads from the connection and counts reads that brought bytes.
type countedReader struct{ p *pipe }

func (r countedReader) Read(b []byte) (int, error) {
	n, err := r.p.nc.Read(b)
	if n > 0 {
		r.p.reads.Add(1)
	}
	return n, err
}

// errFull says that the pipe has as many calls under way as it may.
var errFull = errors.New("too many requests wait for this server already")

// send encodes q and puts cl among the calls under way; from then on the value
// is the caller's again. It never waits for the server. Nothing is done on
// error, which is why the pipe died, or errFull with a channel that is closed
// when it is worth trying again.
func (p *pipe) send(cl *call, q *query) (room <-chan struct{}, err error) {
	p.mu.Lock()
	if p.mu.dead != nil {
		err := p.mu.dead
		p.mu.Unlock()
		return nil, err
	}
	inFlight := p.inFlightLocked()
	size := len(q.key) + len(q.value) + maxQueryOverhead
	if inFlight >= p.limits.calls || len(p.mu.buf) > 0 && len(p.mu.buf)+size > p.limits.bytes {
		if p.mu.room == nil {
			p.mu.room = make(chan struct{})
		}
		room := p.mu.room
		p.mu.Unlock()
		return room, errFull
	}
	p.mu.mark = (p.mu.mark + 1) & opaqueMask
	cl.mark = p.mu.mark
	cl.tick = p.mu.tick
	cl.at = p.mu.appended
	before := len(p.mu.buf)
	p.mu.buf = appendQuery(p.mu.buf, q, cl.mark)
	p.mu.appended += int64(len(p.mu.buf) - before)
	p.mu.pending = append(p.mu.pending, cl)
	p.mu.calls++
	if !p.mu.armed {
		p.armLocked()
	}
	mine := !p.mu.writing
	p.mu.writing = true
	p.mu.Unlock()
	if mine {
		if inFlight > 0 {
			runtime.Gosched() // others are about to ask too: let a batch form
		}
		p.flush()
	}
	return nil, nil
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
		out := p.take(p.try != nil)
		if out == nil {
			return
		}
		if p.try == nil {
			p.handOn(out)
			return
		}
		n, err := p.try.write(out)
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

// run reads answers until the connection breaks, and then fails the calls that
// are left. It is the only one to take calls off the pipe.
func (p *pipe) run() {
	defer p.client.wg.Done()
	p.fail(readError(p.readAnswers()))

	p.inbox.Lock()
	p.mu.Lock()
	p.takePendingLocked()
	reason, handed := p.mu.dead, p.mu.handed
	p.freeLocked()
	p.mu.Unlock()
	left := p.inbox.calls
	p.inbox.calls, p.inbox.head = nil, 0
	p.inbox.Unlock()

	if p.sweeper.Stop() {
		p.client.wg.Done()
	}
	p.client.lost(p, reason, len(left) > 0)
	for _, cl := range left {
		cl.err = reason
		cl.sent = cl.at < handed
		cl.end(answered)
	}
}

func (p *pipe) readAnswers() error {
	for {
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

// armLocked has a sweep come.
func (p *pipe) armLocked() {
	p.mu.armed = true
	p.client.wg.Add(1)
	p.sweeper.Reset(p.limits.interval)
}

// sweep runs every interval while calls are under way. It ends the waiting of
// those that are overdue, and breaks a connection that is silent for too long.
// One timer and one counter for all calls: a timer for each costs more than the
// rest of a call does.
func (p *pipe) sweep() {
	p.inbox.Lock()
	p.mu.Lock()
	p.mu.tick++
	tick := p.mu.tick
	if p.mu.dead != nil || p.inFlightLocked() == 0 {
		p.mu.armed = false
		p.inbox.quiet = 0
		p.mu.Unlock()
		p.inbox.Unlock()
		p.client.wg.Done()
		return
	}
	p.takePendingLocked()
	p.sweeper.Reset(p.limits.interval)
	p.mu.Unlock()

	in := &p.inbox
	if reads := p.reads.Load(); reads != in.reads {
		in.reads, in.quiet = reads, 0
	} else {
		in.quiet++
	}
	stalled := in.quiet > p.limits.ticks(p.limits.stall)
	for _, cl := range in.calls[in.head:] {
		if !cl.timed {
			continue
		}
		if int(tick-cl.tick) <= p.limits.ticks(p.limits.answer) {
			break // and the rest came later
		}
		cl.timed = false
		cl.abandoned.Store(true)
		cl.end(overdue)
	}
	in.Unlock()
	if stalled {
		p.fail(&stallError{p.limits.stall})
	}
}

// ticks is how many sweeps there are in d, rounded up.
func (l *pipeLimits) ticks(d time.Duration) int {
	return int((d + l.interval - 1) / l.interval)
}

// stallError is why a pipe broke that had calls under way and read nothing.
type stallError struct{ after time.Duration }

func (e *stallError) Error() string {
	return fmt.Sprintf("the server has not sent a byte for %v, with requests waiting", e.after)
}

// Timeout says what it is, as a net.Error does.
func (e *stallError) Timeout() bool { return true }
