package memcache

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Defaults of a Server.
const (
	// DefaultMaxConns is memcached's.
	DefaultMaxConns = 1024
	// DefaultReadTimeout is time enough for the largest value over a slow link,
	// and short enough that a thousand stuck clients do not sit for long on the
	// connections of others.
	DefaultReadTimeout = 30 * time.Second
	// DefaultWriteTimeout is the same for answers.
	DefaultWriteTimeout = 30 * time.Second
)

// ErrServerClosed is what Serve returns after Shutdown or Close.
var ErrServerClosed = errors.New("memcache: server closed")

// Server serves the memcached protocol, text and meta commands. Set its fields
// before the first Serve. The zero value with a Handler is usable.
//
// What a client can make a Server take of memory is bounded: a connection has an
// input buffer of 16 KiB (of up to 256 KiB while it sends a long get), an output
// buffer of 80 KiB while it has requests, and at most one value, for which memory
// is taken as it arrives. A client that does not read its answers is not read
// from. A BatchHandler costs up to 1 MiB more while there are requests: MaxBatch of
// them, and their answers but for values that are the handler's.
type Server struct {
	// Addr is where ListenAndServe listens; "" means 127.0.0.1:11211.
	Addr    string
	Handler Handler
	// TLSConfig is what ServeTLS uses.
	TLSConfig *tls.Config
	// MaxConns is how many clients there may be at once; 0 means
	// DefaultMaxConns. Others get an ERROR line and are closed.
	MaxConns int
	// MaxItemSize is the largest value, in bytes; 0 means DefaultMaxItemSize.
	// Larger ones get SERVER_ERROR and are read past.
	MaxItemSize int
	// KeepTooLarge leaves the item that is there when a larger value than
	// MaxItemSize is refused. Without it the item goes, as memcached's does, so
	// that nobody takes a cache's old value for the new one.
	KeepTooLarge bool
	// ReadTimeout is how long a request may take to arrive from its first byte
	// on, and a TLS handshake; 0 means DefaultReadTimeout, less is for ever.
	ReadTimeout time.Duration
	// WriteTimeout is how long a client may take to read one buffer of answers,
	// and up to a quarter more; 0 means DefaultWriteTimeout, less is for ever.
	WriteTimeout time.Duration
	// IdleTimeout is how long a client may have no request; 0 is for ever, as in
	// memcached.
	IdleTimeout time.Duration
	// ErrorLog takes what goes wrong with accepting and with handlers; nil means
	// package log's standard logger.
	ErrorLog *log.Logger

	closing atomic.Bool
	stats   serverStats

	mu struct {
		sync.Mutex
		listeners map[net.Listener]struct{}
		conns     map[*serverConn]struct{}
		quiet     chan struct{} // closed when closing and the last connection is gone
	}
}

// serverStats are the counts that stats shows of a Server.
type serverStats struct {
	current           atomic.Int64
	total, rejected   atomic.Uint64
	read, written     atomic.Uint64
	idleKicks         atomic.Uint64
	storeTooLarge     atomic.Uint64
	handlerPanics     atomic.Uint64
	requestsMalformed atomic.Uint64
}

// ListenAndServe listens on Addr, over TCP, and serves.
func (s *Server) ListenAndServe() error {
	addr := s.Addr
	if addr == "" {
		addr = "127.0.0.1:11211"
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("memcache: %w", err)
	}
	return s.Serve(l)
}

// ServeTLS serves TLS on l, by TLSConfig and the certificate in the two files,
// which may be "" if TLSConfig has one.
func (s *Server) ServeTLS(l net.Listener, certFile, keyFile string) error {
	config := s.TLSConfig.Clone()
	if config == nil {
		config = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if certFile != "" || keyFile != "" {
		cert, err := tls.LoadX509KeyPair(certFile, keyFile)
		if err != nil {
			_ = l.Close()
			return fmt.Errorf("memcache: %w", err)
		}
		config.Certificates = append(config.Certificates, cert)
	}
	if len(config.Certificates) == 0 && config.GetCertificate == nil && config.GetConfigForClient == nil {
		_ = l.Close()
		return errors.New("memcache: TLS needs a certificate: name its files, or set TLSConfig.Certificates")
	}
	return s.Serve(tls.NewListener(l, config))
}

// Serve accepts connections on l, which it closes, and serves each in a
// goroutine of its own. It returns when l fails, or with ErrServerClosed as soon
// as Shutdown or Close is called; use those to wait for the connections.
func (s *Server) Serve(l net.Listener) error {
	defer l.Close()
	if s.Handler == nil {
		return errors.New("memcache: the server has no Handler")
	}
	if !s.track(l) {
		return ErrServerClosed
	}
	defer s.untrack(l)
	var pause time.Duration
	for {
		conn, err := l.Accept()
		if err != nil {
			if s.closing.Load() {
				return ErrServerClosed
			}
			if passing(err) {
				pause = min(max(2*pause, 5*time.Millisecond), time.Second)
				s.logf("memcache: accept on %s: %v; again in %s", l.Addr(), err, pause)
				time.Sleep(pause)
				continue
			}
			return fmt.Errorf("memcache: accept on %s: %w", l.Addr(), err)
		}
		pause = 0
		s.start(conn)
	}
}

// passing says whether an error of Accept goes away with time: the machine is
// out of file descriptors or of memory for sockets.
func passing(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || errors.Is(err, syscall.ENOBUFS) || errors.Is(err, syscall.ENOMEM)
}

func (s *Server) track(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing.Load() {
		return false
	}
	if s.mu.listeners == nil {
		s.mu.listeners = make(map[net.Listener]struct{})
	}
	s.mu.listeners[l] = struct{}{}
	return true
}

func (s *Server) untrack(l net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.mu.listeners, l)
}

// start serves conn, or turns it away.
func (s *Server) start(conn net.Conn) {
	s.mu.Lock()
	if s.closing.Load() {
		s.mu.Unlock()
		_ = conn.Close()
		return
	}
	if len(s.mu.conns) >= s.maxConns() {
		s.mu.Unlock()
		s.stats.rejected.Add(1)
		// Without waiting: the line fits into any socket's buffer, and a TLS
		// client is not worth a handshake.
		if _, ok := conn.(*net.TCPConn); ok {
			_, _ = conn.Write([]byte(errTooManyConns.Answer + "\r\n"))
		}
		_ = conn.Close()
		return
	}
	if s.mu.conns == nil {
		s.mu.conns = make(map[*serverConn]struct{})
	}
	c := newServerConn(s, conn)
	s.mu.conns[c] = struct{}{}
	s.mu.Unlock()
	s.stats.current.Add(1)
	s.stats.total.Add(1)
	go func() {
		defer s.ended(c)
		c.serve()
	}()
}

func (s *Server) ended(c *serverConn) {
	_ = c.conn.Close()
	s.stats.current.Add(-1)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.mu.conns, c)
	if len(s.mu.conns) == 0 && s.mu.quiet != nil {
		close(s.mu.quiet)
		s.mu.quiet = nil
	}
}

// Shutdown stops accepting, closes connections that have no request, and lets
// the others finish theirs: every request is either answered or not carried out.
// It returns when all connections are gone, or with ctx's error while some are
// left; Close ends those.
func (s *Server) Shutdown(ctx context.Context) error {
	quiet := s.stop(func(c *serverConn) {
		if c.state.CompareAndSwap(connIdle, connClosed) {
			_ = c.conn.Close()
		}
	})
	select {
	case <-quiet:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("memcache: shutdown: %d connections are still busy: %w", s.stats.current.Load(), ctx.Err())
	}
}

// Close stops accepting, closes all connections, whatever they are doing, and
// waits for the handlers to return.
func (s *Server) Close() error {
	<-s.stop(func(c *serverConn) { _ = c.conn.Close() })
	return nil
}

// stop closes the listeners and calls f with each connection. The channel is
// closed when the last of them is gone.
func (s *Server) stop(f func(*serverConn)) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closing.Store(true)
	for l := range s.mu.listeners {
		_ = l.Close()
	}
	quiet := s.mu.quiet
	if quiet == nil {
		quiet = make(chan struct{})
		if len(s.mu.conns) == 0 {
			close(quiet)
			return quiet
		}
		s.mu.quiet = quiet
	}
	for c := range s.mu.conns {
		f(c)
	}
	return quiet
}

func (s *Server) maxConns() int {
	if s.MaxConns <= 0 {
		return DefaultMaxConns
	}
	return s.MaxConns
}

func (s *Server) maxItemSize() int {
	if s.MaxItemSize <= 0 {
		return DefaultMaxItemSize
	}
	return s.MaxItemSize
}

// timeout is what is set, or normally if nothing is; less than nothing is none.
func timeout(set, normally time.Duration) time.Duration {
	if set == 0 {
		return normally
	}
	return max(set, 0)
}

func (s *Server) logf(format string, args ...any) {
	if s.ErrorLog != nil {
		s.ErrorLog.Printf(format, args...)
	} else {
		log.Printf(format, args...)
	}
}
