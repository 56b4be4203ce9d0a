package replica

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/replica/internal/mesh"
	"github.com/torc-dht/torc/replica/internal/msg"
	"github.com/torc-dht/torc/replica/internal/state"
	"github.com/torc-dht/torc/replica/internal/web"
)

// What a Server goes by where its fields are zero.
const (
	// DefaultMemory is how much a table may hold: several times the 10 MB that the
	// service was asked for, and little enough to be sent to a server that joins
	// within a second.
	DefaultMemory = 64 << 20
	// DefaultMaxValue is the largest value, and MaxKey the longest key, in bytes.
	DefaultMaxValue = 1 << 20
	MaxKey          = 4 << 10
	// MaxMaxValue is how large a value may be at most: what goes between servers
	// goes in parts of 8 MiB at most.
	MaxMaxValue = 4 << 20
	// DefaultMaxConns is how many clients there may be at once.
	DefaultMaxConns = web.DefaultMaxConns
)

// Server is one server of a replica table. Set its fields, then Serve it once.
//
// On one port it speaks HTTP, by which clients read and write, and the servers'
// own protocol. Its state is one goroutine's, and in memory alone.
type Server struct {
	// Servers are all servers of the table, this one first. The others have the
	// same, each itself first.
	Servers Servers
	// PeerPort, if not 0, is the port on which the servers talk to each other, on
	// the host of each; without it they do so on the port that clients use. It has
	// to be the same at all of them, and no two of them on one host.
	PeerPort int
	// RefuseMinority: while too few servers are left to be sure that there is one
	// history, nothing is answered. Otherwise answers are labelled.
	RefuseMinority bool
	// Tick scales every time-out; 0 means 10 ms. It has to be the same at all
	// servers of a table. A leader counts as lost after 15 to 30 ticks: on machines
	// where a process may have to wait that long for a processor, longer ones help.
	Tick time.Duration
	// Memory is how many bytes the table may hold, with what keeping them takes; 0
	// means DefaultMemory. It has to be the same at all servers. When it is used up,
	// writes that need more are refused.
	Memory uint64
	// MaxValue is the largest value in bytes, up to MaxMaxValue; 0 means
	// DefaultMaxValue.
	MaxValue int
	// MaxConns is how many clients there may be at once; 0 means DefaultMaxConns. There
	// may be fewer where the system lets a process open fewer files.
	MaxConns int
	// TLS, if not nil, is what connections to its port and from it to others are
	// made with: it needs a certificate, and the roots of the others'. It is all that
	// keeps strangers from posing as a server.
	TLS *tls.Config
	// Log takes what a person may want to know; nil is slog's default.
	Log *slog.Logger

	// Once it serves:
	loop  atomic.Pointer[serverLoop]
	front *web.Server // set before loop
}

// ErrNotServing is the error of a question to a Server that isn't in Serve.
var ErrNotServing = errors.New("replica: this server doesn't serve")

// Serve serves on l, which it closes, until ctx is done; then it returns nil. It
// fails if l does.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	logger := cmp.Or(s.Log, slog.Default())
	if err := s.validate(); err != nil {
		_ = l.Close()
		return err
	}
	addrs := s.Servers.Sorted()
	self := slices.Index(addrs, s.Servers.Self())

	var peers net.Listener
	if s.PeerPort != 0 {
		var err error
		if peers, err = listenBeside(ctx, l, s.PeerPort); err != nil {
			_ = l.Close()
			return fmt.Errorf("replica: for the other servers: %w", err)
		}
	}
	loop := newServerLoop(s, self, addrs, logger)
	links := mesh.New(mesh.Config{
		Self: self, Addrs: s.peerAddrs(addrs), TLS: s.TLS, Log: logger, Events: loop.inbox.addEvent,
	})
	loop.mesh = links
	front := &web.Server{
		Backend: loop, MaxKey: MaxKey, MaxValue: s.maxValue(), MaxConns: s.maxConns(logger),
		Log: logger, Members: func() []byte { return s.statusJSON() }, Leader: loop.leaderAddr,
	}
	if peers == nil {
		front.Peer, front.Preface = links.Accept, mesh.Preface
	}
	if s.TLS != nil {
		l = tls.NewListener(l, s.TLS)
	}

	var parts sync.WaitGroup
	parts.Go(loop.run)
	s.front = front
	s.loop.Store(loop)
	links.Start()
	life, end := context.WithCancel(ctx)
	defer end()
	if peers != nil {
		parts.Go(func() { acceptPeers(life, peers, s.TLS, links) })
	}
	err := front.Serve(ctx, l) // answers those who wait
	end()
	// Listeners are closed before connections, so that the others see by a refused
	// connection that this server is gone for good.
	links.Close()
	loop.inbox.close()
	parts.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// validate reports everything that is wrong with the fields.
func (s *Server) validate() error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if n := len(s.Servers); n < 1 || n > MaxServers {
		fail("a table has 1 to %d servers, and here are %d", MaxServers, n)
	}
	hosts := make(map[string]bool)
	for i, addr := range s.Servers {
		if err := torc.CheckAddr(addr); err != nil {
			fail("%w", err)
		}
		if slices.Contains(s.Servers[:i], addr) {
			fail("the server %s is there twice", addr)
		}
		host, _, _ := net.SplitHostPort(addr)
		if s.PeerPort != 0 && hosts[host] {
			fail("two servers on %s can't share the peer port %d: let them talk on their own ports", host, s.PeerPort)
		}
		hosts[host] = true
	}
	if s.PeerPort < 0 || s.PeerPort > 65535 {
		fail("the peer port %d is none: 1 to 65535", s.PeerPort)
	}
	if s.MaxValue < 0 || s.MaxValue > MaxMaxValue {
		fail("a largest value of %d bytes: at most %d", s.MaxValue, MaxMaxValue)
	}
	if len(errs) > 0 {
		return fmt.Errorf("replica: %w: %w", torc.ErrInvalid, errors.Join(errs...))
	}
	return nil
}

func (s *Server) maxValue() int { return cmp.Or(s.MaxValue, DefaultMaxValue) }

// reservedFiles are those that clients must leave to the other servers, the admin
// port and clients that are turned away.
const reservedFiles = 256

// maxConns is how many clients there may be at once: so few that the files that the
// process may open are never used up, which would keep the other servers out.
func (s *Server) maxConns(logger *slog.Logger) int {
	wanted := cmp.Or(s.MaxConns, DefaultMaxConns)
	limit, limited := openFiles()
	if !limited || limit > uint64(wanted)+reservedFiles {
		return wanted
	}
	n := max(int(limit)-reservedFiles, int(limit)/4, 1)
	logger.Warn(fmt.Sprintf("up to %d clients at once, and not %d: this process may open %d files (ulimit -n)", n, wanted, limit))
	return n
}

func (s *Server) limits() state.Limits { return state.Limits{Bytes: cmp.Or(s.Memory, DefaultMemory)} }

// peerAddrs are where the servers talk to each other, in the order of addrs.
func (s *Server) peerAddrs(addrs []string) []string {
	if s.PeerPort == 0 {
		return addrs
	}
	var peers []string
	for _, addr := range addrs {
		host, _, _ := net.SplitHostPort(addr)
		peers = append(peers, net.JoinHostPort(host, strconv.Itoa(s.PeerPort)))
	}
	return peers
}

// Status is how the table stands, as this server sees it. It fails with
// ErrNotServing.
func (s *Server) Status() (Status, error) {
	var st Status
	l := s.loop.Load()
	if l == nil || !l.on(func() { st = l.status() }) {
		return st, ErrNotServing
	}
	return st, nil
}

// Forget gives up the server at addr, which is gone and won't come back with what
// it had: a table that is degraded for want of it becomes normal again. What that
// server alone had is lost, and if it lives on apart from this one, so is what is
// written there. Any server of the table may be told. It fails with torc.ErrInvalid
// if addr is none of Servers, or is in touch, and with torc.ErrUnavailable, within
// seconds, if nothing can be decided for now.
func (s *Server) Forget(addr string) error {
	l := s.loop.Load()
	if l == nil {
		return ErrNotServing
	}
	slot := slices.Index(l.addrs, addr)
	if slot < 0 {
		return fmt.Errorf("replica: %w: %s is no server of this table: it has %v", torc.ErrInvalid, addr, l.addrs)
	}
	r, err := l.Do(&msg.Op{Kind: msg.Forget, Version: msg.Version{Seq: uint64(slot)}})
	switch {
	case err != nil:
		return fmt.Errorf("replica: forget %s: %w: %w", addr, torc.ErrUnavailable, err)
	case r.Status != msg.OK:
		return fmt.Errorf("replica: forget %s: %w: it takes part, or did a moment ago", addr, torc.ErrInvalid)
	}
	return nil
}
