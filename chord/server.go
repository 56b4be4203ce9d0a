package chord

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/chord/internal/link"
	"github.com/torc-dht/torc/chord/internal/node"
	"github.com/torc-dht/torc/chord/internal/place"
	"github.com/torc-dht/torc/internal/demux"
	"github.com/torc-dht/torc/memcache"
)

const (
	// DefaultBits is the n of a ring whose first node is not told another: places
	// are sha-1 sums then, as in the papers.
	DefaultBits = place.MaxBits
	// DefaultReplicas is how many nodes beside its owner hold an entry, where nobody
	// says: one may die at a time.
	DefaultReplicas = 1
	// NoReplicas, as Server.Replicas, is that entries have no copies: what a node
	// owns dies with it.
	NoReplicas = -1
	// MaxReplicas is the most that there may be.
	MaxReplicas = 32
	// ContactWithin is how long a node that is to join a ring waits for the one that
	// it was told of.
	ContactWithin = 5 * time.Second
	// LeaveWithin is how long a node that is told to go may take to hand over what it
	// has. Copies take over what is left.
	LeaveWithin = 10 * time.Second
)

// Server is one node of a chord table. Set its fields, then Serve it, once.
//
// On one port it speaks memcached's protocol, by which clients put and get, and gRPC,
// by which it talks to other nodes and to tools. Its state is one goroutine's, and in
// memory alone; more cores are put to use by more nodes.
//
// A [Table] asks the owner of a key, and is told who that is where it asks another
// node. Every other client may ask any node: one that does not own the key has the
// owner carry the request out, and passes the answer on.
type Server struct {
	// Bits is n: the ring has 2^n places, n from 1 to 160. 0 is what the ring has
	// that the node joins; in a new one, DefaultBits.
	Bits int
	// ID is the node's place in the ring: a number from 0 to 2^n - 1, in decimal. ""
	// is the sha-1 of its address.
	ID string
	// Boot names this life of the node, by chance; 0 has Serve draw one.
	Boot uint64
	// Contact is where any node of the ring listens, host:port; "" begins a new ring.
	Contact string
	// Replicas is r: how many nodes beside its owner hold each entry, as far as there
	// are so many. 0 is what the ring has that the node joins; in a new one,
	// DefaultReplicas. NoReplicas is none.
	Replicas int
	// Addr is where everybody reaches this node, host:port; "" is the address that it
	// listens on, which has to be one that others can dial.
	Addr string
	// Memory is how many bytes it may hold, copies and all; 0 is a quarter of the
	// machine's. When they are used up writes that need more are refused, and nothing
	// is evicted.
	Memory uint64
	// MaxValue is the largest value in bytes; 0 means memcache.DefaultMaxItemSize.
	// It has to be the same at all nodes of a ring.
	MaxValue int
	// MaxConns is how many clients there may be at once; 0 means
	// memcache.DefaultMaxConns.
	MaxConns int
	// TLS, if not nil, is what connections to its port and from it to others are made
	// with: it needs a certificate, and the roots of the others'.
	TLS *tls.Config
	// Log takes what a person may want to know; nil is slog's default.
	Log *slog.Logger

	joined     chan struct{}
	joinedOnce sync.Once
	init       sync.Once
	loop       atomic.Pointer[serverLoop] // once it serves
}

// Joined is closed when the node owns its share of the places, and serves it.
func (s *Server) Joined() <-chan struct{} {
	s.init.Do(func() { s.joined = make(chan struct{}) })
	return s.joined
}

// Serve joins the ring and serves on l, which it closes, until ctx is done: then the
// node hands over what it owns, within LeaveWithin, and Serve returns nil, as it does
// when the node was told to leave or to fail. It fails if l does; if the contact does
// not answer within ContactWithin, or is of a ring with another n or r; or if another
// node has the identifier. An error that wraps torc.ErrInvalid says that a field is
// wrong.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	s.Joined()
	logger := cmp.Or(s.Log, slog.Default())
	m, err := s.meet(ctx, l.Addr().String(), logger)
	if err != nil || ctx.Err() != nil {
		_ = l.Close()
		return err
	}
	errorLog := slog.NewLogLogger(logger.Handler(), slog.LevelWarn)
	split := demux.New(l, demux.Config{TLS: s.TLS, ErrorLog: errorLog})
	loop := newServerLoop(s, m, logger)
	data := &memcache.Server{
		Handler: loop, MaxConns: s.MaxConns, MaxItemSize: s.maxValue(), KeepTooLarge: true, ErrorLog: errorLog,
	}
	s.loop.Store(loop)

	ended := make(chan error, 3)
	var parts sync.WaitGroup
	parts.Go(func() { ended <- split.Serve() })
	parts.Go(func() { ended <- loop.mesh.Serve(split.GRPC()) })
	parts.Go(func() { ended <- data.Serve(split.Data()) })

	life, stop := context.WithCancelCause(context.Background())
	defer stop(nil)
	parts.Go(func() {
		err := <-ended
		stop(err)
	})
	err = loop.run(ctx, life)

	// The port is closed before connections are, so that the others see by a refused
	// connection that this node is gone. Who is being answered is let finish.
	_ = split.Close()
	shutdown, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		loop.forwards.close()
		_ = loop.mesh.Finish(shutdown) // what it didn't get to tell, others will find out
		if data.Shutdown(shutdown) != nil {
			_ = data.Close()
		}
	}()
	loop.drain(finished)
	loop.mesh.Close()
	parts.Wait()
	return err
}

// Fail is the failure message: the node tells the ring that it is gone and ends, without
// handing anything over. Copies take over. It does nothing to a node that doesn't
// serve.
func (s *Server) Fail() {
	if l := s.loop.Load(); l != nil {
		l.on(l.fail)
	}
}

// check reports all that is wrong with the fields, those aside that the ring has a
// say in.
func (s *Server) check(addr string) error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if s.Bits != 0 {
		if _, err := place.New(s.Bits); err != nil {
			errs = append(errs, err)
		}
	}
	if s.Replicas < NoReplicas || s.Replicas > MaxReplicas {
		fail("%d replicas: there can be 0 to %d", s.Replicas, MaxReplicas)
	}
	if s.MaxValue < 0 || s.MaxValue > maxValue {
		fail("a largest value of %d bytes: at most %d", s.MaxValue, maxValue)
	}
	if s.Contact != "" {
		if err := torc.CheckAddr(s.Contact); err != nil {
			fail("the contact: %w", err)
		}
	}
	if host, _, err := net.SplitHostPort(addr); err != nil || host == "" || net.ParseIP(host).IsUnspecified() {
		fail("%s is no address at which others can reach this node: say which is", addr)
	} else if addr == s.Contact {
		fail("%s is this node itself: the contact is another one, or there is none and a new ring begins", addr)
	}
	if len(errs) > 0 {
		return fmt.Errorf("%w: %w", torc.ErrInvalid, joined(errs))
	}
	return nil
}

// maxValue is the largest value.
func (s *Server) maxValue() int { return cmp.Or(s.MaxValue, memcache.DefaultMaxItemSize) }

func (s *Server) options() link.Options {
	return link.Options{TLS: s.TLS, MaxValue: s.maxValue()}
}

// failureLine is what a client is answered whose request was not carried out, by the
// owner of the key.
func failureLine(f node.Failure) string {
	switch f.Kind {
	case node.Moved:
		return movedLine(f.Owner.Span, f.Owner.Node)
	case node.Unknown:
		return "SERVER_ERROR outcome unknown: the write was sent to copies and may stand or not"
	case node.Answered:
		return "SERVER_ERROR answered before: the client said so itself"
	}
	return "SERVER_ERROR unavailable: the key could not be served in time, nothing was done"
}
