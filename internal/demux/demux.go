package demux

import (
	"container/list"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"slices"
	"sync"
	"syscall"
	"time"
)

// Defaults of a Config.
const (
	// DefaultTimeout is long for a client that has something to say, even if its
	// first segment is lost twice, and short enough that one that has not gives
	// its place to others.
	DefaultTimeout = 10 * time.Second
	// DefaultMaxWaiting is a burst of clients that all reconnect at once; each
	// costs a goroutine and a file descriptor.
	DefaultMaxWaiting = 1024
)

// Config says how a Demux is. The zero value is usable.
type Config struct {
	// TLS makes every connection TLS, ended here: what is accepted has had its
	// handshake. "h2" is added to what it offers by ALPN; a config that its
	// GetConfigForClient returns has to offer that itself. nil is no TLS.
	TLS *tls.Config
	// Timeout is how long a connection may take from when it was accepted on the
	// port until one of the listeners accepts it, handshake included; 0 means
	// DefaultTimeout.
	Timeout time.Duration
	// MaxWaiting is how many connections may do so at once; 0 means
	// DefaultMaxWaiting.
	MaxWaiting int
	// ErrorLog takes what goes wrong with accepting and with handshakes; nil
	// means package log's standard logger.
	ErrorLog *log.Logger
}

// Demux hands out the connections of one listener by two.
type Demux struct {
	parent     net.Listener
	cfg        Config
	grpc, data *listener
	closed     chan struct{}

	mu struct {
		sync.Mutex
		isClosed bool
		waiting  list.List // of *waiting, the oldest in front
	}
}

// waiting is a connection that neither listener has accepted yet.
type waiting struct {
	conn  net.Conn      // what to close
	ready net.Conn      // what to hand on, once that is known
	gone  chan struct{} // closed by end

	place *list.Element // nil when it waits no more; guarded by Demux.mu
}

// New makes a Demux of the connections of parent, which is the Demux's from now
// on. Nothing is accepted before Serve.
func New(parent net.Listener, cfg Config) *Demux {
	if cfg.Timeout <= 0 {
		cfg.Timeout = DefaultTimeout
	}
	if cfg.MaxWaiting <= 0 {
		cfg.MaxWaiting = DefaultMaxWaiting
	}
	if cfg.TLS != nil {
		cfg.TLS = cfg.TLS.Clone()
		if !slices.Contains(cfg.TLS.NextProtos, alpnHTTP2) {
			cfg.TLS.NextProtos = append(slices.Clone(cfg.TLS.NextProtos), alpnHTTP2)
		}
	}
	d := &Demux{parent: parent, cfg: cfg, closed: make(chan struct{})}
	d.grpc, d.data = newListener(d), newListener(d)
	return d
}

// GRPC accepts the connections of gRPC clients. Closed, it has them closed; when
// both listeners are, so is the Demux.
func (d *Demux) GRPC() net.Listener { return d.grpc }

// Data accepts all other connections, as GRPC does its own.
func (d *Demux) Data() net.Listener { return d.data }

// Serve accepts connections until the Demux or its parent is closed, or the
// parent fails for good: only then it returns an error. When it returns both
// listeners are closed, and so is every connection that waited.
func (d *Demux) Serve() error {
	var sorting sync.WaitGroup
	defer sorting.Wait()
	defer d.Close()
	var pause time.Duration
	for {
		conn, err := d.parent.Accept()
		switch {
		case err == nil:
			pause = 0
			if w := d.admit(conn); w != nil {
				sorting.Go(func() { d.sort(w) })
			}
		case passing(err) && !d.isClosed():
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			d.logf("demux: accept on %s: %v; again in %s", d.parent.Addr(), err, pause)
			select {
			case <-time.After(pause):
			case <-d.closed:
			}
		case d.isClosed() || errors.Is(err, net.ErrClosed):
			return nil
		default:
			return fmt.Errorf("demux: accept on %s: %w", d.parent.Addr(), err)
		}
	}
}

// passing says whether an error of Accept goes away with time: the machine is
// out of file descriptors or of memory for sockets.
func passing(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOBUFS) || errors.Is(err, syscall.ENOMEM)
}

// Close closes the parent, both listeners, and all connections that wait. Those
// that were accepted are not its concern any more.
func (d *Demux) Close() error {
	d.mu.Lock()
	if d.mu.isClosed {
		d.mu.Unlock()
		return nil
	}
	d.mu.isClosed = true
	var left []*waiting
	for e := d.mu.waiting.Front(); e != nil; e = d.mu.waiting.Front() {
		left = append(left, e.Value.(*waiting))
		d.removeLocked(left[len(left)-1])
	}
	d.mu.Unlock()
	close(d.closed)
	for _, w := range left {
		w.end()
	}
	return d.parent.Close()
}

// admit makes conn wait, in the place of another if need be; nil if d is closed.
func (d *Demux) admit(conn net.Conn) *waiting {
	w := &waiting{conn: conn, gone: make(chan struct{})}
	var oldest *waiting
	d.mu.Lock()
	if d.mu.isClosed {
		d.mu.Unlock()
		_ = conn.Close()
		return nil
	}
	if d.mu.waiting.Len() >= d.cfg.MaxWaiting {
		oldest = d.mu.waiting.Front().Value.(*waiting)
		d.removeLocked(oldest)
	}
	w.place = d.mu.waiting.PushBack(w)
	d.mu.Unlock()
	if oldest != nil {
		oldest.end()
	}
	return w
}

// claim makes w the caller's, unless it is another's already: of one that accepts
// it, or of one that closes it.
func (d *Demux) claim(w *waiting) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if w.place == nil {
		return false
	}
	d.removeLocked(w)
	return true
}

func (d *Demux) isClosed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mu.isClosed
}

func (d *Demux) removeLocked(w *waiting) {
	d.mu.waiting.Remove(w.place)
	w.place = nil
}

// end closes w, which is the caller's, whatever is being done with it.
func (w *waiting) end() {
	close(w.gone)
	_ = w.conn.Close()
}

func (d *Demux) logf(format string, args ...any) {
	if d.cfg.ErrorLog != nil {
		d.cfg.ErrorLog.Printf(format, args...)
	} else {
		log.Printf(format, args...)
	}
}
