package web

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/torc-dht/torc/replica/internal/msg"
)

// Defaults of a Server.
const (
	DefaultName     = "torc"
	DefaultMaxKey   = 4 << 10
	DefaultMaxValue = 1 << 20
	// DefaultMaxConns is more than the clients of a small table, and few enough
	// for 200 MB with each of them in the middle of a request.
	DefaultMaxConns = 10_000
	// DefaultMemory is for some 60 of the longest requests at once that there can
	// be, each byte escaped, or 250 of the largest values.
	DefaultMemory = 256 << 20
	// DefaultRequestTimeout is enough for the longest request at 2.5 Mbit/s, and
	// short enough that those who send a byte now and then are soon gone.
	DefaultRequestTimeout = 10 * time.Second
	// DefaultWriteTimeout is the same for answers.
	DefaultWriteTimeout = 10 * time.Second
	// DefaultIdleTimeout is what clients keep connections for.
	DefaultIdleTimeout = 60 * time.Second
)

const (
	// surplusConns are taken beyond MaxConns, each for surplusTime: a flood of
	// clients must not keep the peers out, whose connections come by the same
	// door, and a client reads its 503 if its request was read before.
	surplusConns = 64
	surplusTime  = time.Second
	// crowdedShare divides the time for requests, and that without one, while more
	// than three quarters of MaxConns are there: those who hold connections and do
	// nothing with them are to go first.
	crowdedShare = 10
	// shutdownGrace is for requests that are half here when the server ends, and for
	// answers that are half read.
	shutdownGrace = time.Second
	// lingerTime and lingerBytes are what is read and thrown away of a client that
	// goes on sending when it was refused: closing at once would take from it the
	// answer that is on its way.
	lingerTime  = time.Second
	lingerBytes = 8 << 20
	// handshakeRemarks are so far apart at least: a peer whose TLS is set wrongly
	// calls twenty times a second, and strangers as often as they like.
	handshakeRemarks = 10 * time.Second
)

// Backend carries operations out.
type Backend interface {
	// Do carries out op and waits for the result. The op, its key and its value
	// are the Backend's from then on, the result's old value stays the Backend's:
	// nobody changes either. An error that is ErrUnavailable says that nothing was
	// changed; any other that a write may have been carried out. Its text goes to
	// the client. Do is called from many goroutines at once.
	Do(op *msg.Op) (msg.Result, error)
}

// Server serves HTTP/1.1 and HTTP/1.0 as the requirement has it. Set its fields
// before the first Serve, which fills in the defaults. The zero value with a
// Backend is usable.
//
// Memory is bounded, whatever clients do: a connection has its goroutine; a block
// of 4 KiB while a request arrives and is carried out, and one more while it is
// answered; and for longer requests, values and answers the connections share
// Memory bytes. When those are taken, long requests are refused with 503, and
// short ones are served as ever. A client that does not read is not read from.
type Server struct {
	Backend Backend
	// Name is what the header Server says; "" means DefaultName.
	Name string
	// MaxKey and MaxValue are the longest key and value, in bytes, decoded; 0
	// means DefaultMaxKey and DefaultMaxValue.
	MaxKey, MaxValue int
	// MaxConns is how many connections there may be at once, those of peers not
	// counted; 0 means DefaultMaxConns. Others are answered 503.
	MaxConns int
	// Memory is how many bytes all connections may take together for what is
	// longer than 4 KiB; 0 means DefaultMemory.
	Memory int
	// RequestTimeout is how long a request may take to arrive from its first byte
	// to its last, and a TLS handshake; WriteTimeout how long a client may take to
	// read an answer, and up to a quarter more; IdleTimeout how long a connection
	// may have no request, and up to a quarter less. 0 means the defaults. While
	// more than three quarters of MaxConns are there, it is a tenth for requests and
	// without one.
	RequestTimeout, WriteTimeout, IdleTimeout time.Duration
	// Peer takes over each connection that begins with Preface, which is consumed.
	// What has come behind it is buffered in r: who reads r.Buffered() bytes of r
	// may go on with c itself. c is without deadlines, and no longer counted or
	// closed by the Server. nil: there are no peers.
	Peer    func(c net.Conn, r *bufio.Reader)
	Preface string
	// Leader returns the address of who leads as far as is known, or "". Answers
	// to requests with X-Torc-Op tell it. May be nil.
	Leader func() string
	// Members returns how the replica stands, as JSON. nil: nobody is told.
	Members func() []byte
	// Log is told of what goes wrong with accepting and with handshakes, and of
	// panics; nil: nobody is.
	Log *slog.Logger

	once   sync.Once
	style  style
	budget budget
	conns  atomic.Int64
	remark atomic.Int64 // when a handshake's failure was logged last, in ns since 1970
	stats  struct{ accepted, refused, bad, slow, panics atomic.Uint64 }
}

// Stats are counts since the Server was made, but for Conns.
type Stats struct {
	Conns    int64  // connections that are open
	Accepted uint64 // connections that have come
	Refused  uint64 // connections that were too many, and requests and answers that Memory was too small for
	Bad      uint64 // requests that were refused for what they are
	Slow     uint64 // requests that took too long to arrive, and answers to be read
	Panics   uint64 // mistakes of the Server's or the Backend's own
}

// Stats returns the Server's counts.
func (s *Server) Stats() Stats {
	st := &s.stats
	return Stats{s.conns.Load(), st.accepted.Load(), st.refused.Load(), st.bad.Load(), st.slow.Load(), st.panics.Load()}
}

// or returns n, or the default if n is 0.
func or[T int | time.Duration](n, byDefault T) T {
	if n == 0 {
		return byDefault
	}
	return n
}

func (s *Server) prepare() {
	name := s.Name
	if name == "" {
		name = DefaultName
	}
	s.style = newStyle(name)
	s.budget.left.Store(int64(or(s.Memory, DefaultMemory)))
	s.MaxKey, s.MaxValue = or(s.MaxKey, DefaultMaxKey), or(s.MaxValue, DefaultMaxValue)
	s.MaxConns = or(s.MaxConns, DefaultMaxConns)
	s.RequestTimeout = or(s.RequestTimeout, DefaultRequestTimeout)
	s.WriteTimeout = or(s.WriteTimeout, DefaultWriteTimeout)
	s.IdleTimeout = or(s.IdleTimeout, DefaultIdleTimeout)
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
}

// Serve accepts connections on l, which may be a TLS listener and which it
// closes, until ctx is done. Then connections that wait for a request are closed,
// requests that are here are carried out and answered, those that are half here
// have a second to arrive, and answers one to be read, and Serve returns nil when
// all connections are gone.
// An error is that of l, and comes when all connections are gone, too. A Server
// may serve several listeners at once.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	s.once.Do(s.prepare)
	v := &serving{Server: s, done: ctx.Done()}
	v.mu.conns = make(map[*conn]struct{})
	cancel := context.AfterFunc(ctx, func() { _ = l.Close() })
	err := v.accept(l)
	cancel()
	_ = l.Close()
	v.stop()
	v.gone.Wait()
	return err
}

// serving is a Server's work on one listener.
type serving struct {
	*Server
	done    <-chan struct{}
	closing atomic.Bool
	gone    sync.WaitGroup
	mu      struct {
		sync.Mutex
		conns map[*conn]struct{}
	}
}

// accept starts connections until the listener fails or the context is done:
// then the error is nil.
func (v *serving) accept(l net.Listener) error {
	var pause time.Duration
	for {
		nc, err := l.Accept()
		select {
		case <-v.done:
			if err == nil {
				_ = nc.Close()
			}
			return nil
		default:
		}
		switch {
		case err == nil:
			pause = 0
			v.start(nc)
		case passing(err):
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			v.Log.Warn("cannot accept connections for now", "address", l.Addr().String(), "error", err, "again in", pause)
			select {
			case <-v.done:
				return nil
			case <-time.After(pause):
			}
		default:
			return fmt.Errorf("accept on %s: %w", l.Addr(), err)
		}
	}
}

// passing says whether an error of Accept goes away with time: the machine is
// out of file descriptors or of memory for sockets, or a client left too soon.
func passing(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// start serves nc in a goroutine of its own, if there may be another connection.
func (v *serving) start(nc net.Conn) {
	v.stats.accepted.Add(1)
	n := v.conns.Add(1)
	if n > int64(v.MaxConns)+surplusConns {
		v.conns.Add(-1)
		v.stats.refused.Add(1)
		_ = nc.Close()
		return
	}
	c := &conn{serving: v, nc: nc, sock: newSocket(nc), surplus: n > int64(v.MaxConns)}
	v.mu.Lock()
	v.mu.conns[c] = struct{}{}
	v.mu.Unlock()
	v.gone.Add(1)
	go c.serve()
}

// forget takes c off the list: it is closed, or somebody else's.
func (v *serving) forget(c *conn) {
	v.mu.Lock()
	delete(v.mu.conns, c)
	v.mu.Unlock()
	v.conns.Add(-1)
	v.gone.Done()
}

// stop ends connections that wait, now or soon. The others end by themselves when
// they see closing.
func (v *serving) stop() {
	v.closing.Store(true)
	now := time.Now()
	v.mu.Lock()
	defer v.mu.Unlock()
	for c := range v.mu.conns {
		if c.idle.Load() {
			_ = c.nc.SetReadDeadline(now)
		} else {
			_ = c.nc.SetReadDeadline(now.Add(shutdownGrace))
			_ = c.nc.SetWriteDeadline(now.Add(shutdownGrace))
		}
	}
}
