package memcache

import (
	"context"
	"crypto/tls"
	"errors"
	"math/rand/v2"
	"net"
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
	stall    time.Duration // without a byte while calls wait
	interval time.Duration // between sweeps
	redirect bool          // of every query
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
// Who has read roles of several pipes reads one of them, and parks the others: to
// hold them would make others' answers wait for what comes over the one. A parked
// role is its caller's again when he comes back to it, unless another call, a
// sweep or the end of the pipe has given it to the pipe's own goroutine before.
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
	turn    chan bool // has room for one: gives run the read role, true if the pipe is alive

	// Only the caller that reads touches these.
	unflushed bool          // it has the write role too, and uses it once it has looked
	lastLone  time.Duration // when the last such caller sent, since born

	reads    atomic.Uint64 // how often bytes came
	answered atomic.Uint64 // calls that have left inbox

	mu struct {
		sync.Mutex
		dead     error // once set, takes no more calls
		buf      []byte
		spare    []byte
		writing  bool // somebody has the write role
		promised int  // bytes that are about to be appended to buf, at most
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

		now        time.Duration // since born; as of the last sweep, arming, or taking of the write role
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
	readParked                 // nobody yet: the caller of mu.lone comes back to it, unless somebody needs it sooner
	readRun                    // run
)

// newPipe greets the server on nc, which has a deadline for that, and returns a
// pipe that takes calls.
func newPipe(c *Client, nc net.Conn, limits pipeLimits) (*pipe, error) {
	p := &pipe{client: c, nc: nc, limits: limits, sock: newSocket(nc), turn: make(chan bool, 1)}
	p.reader = newAnswerReader(countedReader{p}, limits.value)
	if err := p.greet(); err != nil {
		return nil, err
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

// inFlightLocked is how many calls wait for answers, given up ones too.
func (p *pipe) inFlightLocked() int { return int(p.mu.calls - p.answered.Load()) }

// freeLocked lets those go on who wait for room.
func (p *pipe) freeLocked() {
	if p.mu.room != nil {
		close(p.mu.room)
		p.mu.room = nil
	}
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
	if p.mu.reading == readNobody || p.mu.reading == readParked {
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
