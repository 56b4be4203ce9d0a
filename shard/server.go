package shard

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/torc-dht/torc/internal/demux"
	"github.com/torc-dht/torc/memcache"
	"github.com/torc-dht/torc/shard/internal/link"
	"github.com/torc-dht/torc/shard/internal/server"
)

// LeaveWithin is how long a server that is told to go may take to hand over what
// it has. Copies take over what is left.
const LeaveWithin = 10 * time.Second

// Server is one server of a sharded table. Set its fields, then Serve it.
//
// On one port it speaks memcached's protocol, by which clients put and get, and
// gRPC, by which it talks to its master and to the other servers. Its state is one
// goroutine's; more cores are put to use by more servers.
type Server struct {
	// Masters are where a master listens, host:port: the one, or all of those of
	// which one leads.
	Masters []string
	// Addr is where everybody reaches this server, host:port; "" is the address
	// that it listens on, which has to be one that others can dial.
	Addr string
	// Memory is how many bytes it may hold, copies and all; 0 is a quarter of
	// the machine's. When they are used up writes that need more are refused, and
	// nothing is evicted.
	Memory uint64
	// MaxValue is the largest value in bytes; 0 means memcache.DefaultMaxItemSize.
	// It has to be the same at all servers of a table.
	MaxValue int
	// MaxConns is how many clients there may be at once; 0 means
	// memcache.DefaultMaxConns.
	MaxConns int
	// TLS, if not nil, is what connections to its port and from it to others are
	// made with: it needs a certificate, and the roots of the others'.
	TLS *tls.Config
	// Log takes what a person may want to know; nil is slog's default.
	Log *slog.Logger

	joined     chan struct{}
	joinedOnce sync.Once
	init       sync.Once
}

// Joined is closed when the server has its share of the table and serves it.
func (s *Server) Joined() <-chan struct{} {
	s.init.Do(func() { s.joined = make(chan struct{}) })
	return s.joined
}

// Serve joins the table and serves on l, which it closes, until ctx is done: then
// the server hands over what it has, within LeaveWithin, and Serve returns nil. It
// fails if l does, or if a master refuses this server for good.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	s.Joined()
	logger := cmp.Or(s.Log, slog.Default())
	errorLog := slog.NewLogLogger(logger.Handler(), slog.LevelWarn)
	if len(s.Masters) == 0 {
		_ = l.Close()
		return errors.New("shard: a server needs a master: name one in Masters")
	}
	addr := cmp.Or(s.Addr, l.Addr().String())
	if host, _, err := net.SplitHostPort(addr); err != nil || net.ParseIP(host).IsUnspecified() {
		_ = l.Close()
		return fmt.Errorf("shard: %s is no address at which others can reach this server: say which is", addr)
	}

	split := demux.New(l, demux.Config{TLS: s.TLS, ErrorLog: errorLog})
	loop := newServerLoop(s, addr, logger)
	data := &memcache.Server{
		Handler: loop, MaxConns: s.MaxConns, MaxItemSize: s.MaxValue, KeepTooLarge: true, ErrorLog: errorLog,
	}

	ended := make(chan error, 3)
	var parts sync.WaitGroup
	parts.Go(func() { ended <- split.Serve() })
	parts.Go(func() { ended <- loop.service.Serve(split.GRPC()) })
	parts.Go(func() { ended <- data.Serve(split.Data()) })

	life, stop := context.WithCancelCause(context.Background())
	defer stop(nil)
	parts.Go(func() {
		err := <-ended
		stop(err)
	})
	err := loop.run(ctx, life)

	// Who is being answered is let finish; nobody else gets in.
	shutdown, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		if data.Shutdown(shutdown) != nil {
			_ = data.Close()
		}
	}()
	loop.drain(finished)
	loop.close()
	_ = split.Close()
	parts.Wait()
	return err
}

// maxValue is the largest value.
func (s *Server) maxValue() int {
	if s.MaxValue <= 0 {
		return memcache.DefaultMaxItemSize
	}
	return s.MaxValue
}

func (s *Server) options() link.Options {
	return link.Options{TLS: s.TLS, MaxValue: s.maxValue()}
}

// failureLine is what a client is answered.
func failureLine(f server.Failure) string {
	switch f.Kind {
	case server.Moved:
		return fmt.Sprintf("SERVER_ERROR moved %s %s", f.Epoch, f.Addr)
	case server.Lost:
		if f.Addr == "" {
			return "SERVER_ERROR failed: nobody has this slot"
		}
		return "SERVER_ERROR failed: the only copy is on " + f.Addr + ", which gives no sign"
	case server.Unknown:
		return "SERVER_ERROR outcome unknown: the write was sent to copies and may stand or not"
	case server.Answered:
		return "SERVER_ERROR answered before: the client said so itself"
	}
	return "SERVER_ERROR unavailable: the slot could not be served in time, nothing was done"
}
