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

	"github.com/torc-dht/torc/memcache"
	"github.com/torc-dht/torc/shard/internal/demux"
	"github.com/torc-dht/torc/shard/internal/link"
	"github.com/torc-dht/torc/shard/internal/master"
	"github.com/torc-dht/torc/shard/slots"
)

// Master is the master of a sharded table: it knows the map, and makes the next
// one when servers come and go. Set its fields, then Serve it.
//
// It is on the way of no request. While it is away everything goes on but what a
// further death would need; started again it learns the map from the servers.
type Master struct {
	// Addr is where others reach it, host:port; "" is the address that it
	// listens on.
	Addr string
	// Placement is how slots are spread.
	Placement slots.Placement
	// Copies of each slot, all counted, 1 to slots.MaxCopies; 0 means 2. MinCopies
	// is without how many a write waits; 0 means 1.
	Copies, MinCopies int
	// TLS, if not nil, is what connections are made with: it needs a certificate,
	// and the roots of the servers'.
	TLS *tls.Config
	// Log takes what a person may want to know; nil is slog's default.
	Log *slog.Logger
}

// Serve serves on l, which it closes, until ctx is done; then it returns nil.
func (m *Master) Serve(ctx context.Context, l net.Listener) error {
	logger := cmp.Or(m.Log, slog.Default())
	errorLog := slog.NewLogLogger(logger.Handler(), slog.LevelWarn)
	if m.Copies < 0 || m.Copies > slots.MaxCopies || m.MinCopies < 0 || m.MinCopies > cmp.Or(m.Copies, master.DefaultCopies) {
		_ = l.Close()
		return fmt.Errorf("shard: %d copies, at least %d: from 1 to %d of each slot, and no more at least than there shall be", m.Copies, m.MinCopies, slots.MaxCopies)
	}
	split := demux.New(l, demux.Config{TLS: m.TLS, ErrorLog: errorLog})
	loop := newMasterLoop(m, logger)
	data := &memcache.Server{Handler: memcache.HandlerFunc(noData), ErrorLog: errorLog}

	life, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var parts sync.WaitGroup
	for _, serve := range []func() error{
		split.Serve,
		func() error { return loop.service.Serve(split.GRPC()) },
		func() error { return data.Serve(split.Data()) },
	} {
		parts.Go(func() { stop(serve()) })
	}
	loop.run(life)
	err := context.Cause(life)
	if ctx.Err() != nil || errors.Is(err, memcache.ErrServerClosed) {
		err = nil
	}
	loop.close()
	_ = data.Close()
	_ = split.Close()
	parts.Wait()
	return err
}

// noData answers who takes a master for a server.
func noData(w *memcache.ResponseWriter, _ *memcache.Request) {
	w.Error("SERVER_ERROR this is a master of a sharded table and holds no keys: ask a server, or use shard://")
}

const (
	// masterTick is the longest for which a master doesn't look at its clock.
	masterTick = 50 * time.Millisecond
	// probeWithin is how long an address may take to accept a connection or not.
	probeWithin = time.Second
)

// masterLoop is the goroutine that a master's state belongs to, and what it talks
// with.
type masterLoop struct {
	cfg     *Master
	log     *slog.Logger
	service *link.Service
	events  chan link.Event
	calls   chan func() // of other goroutines, to be run on this one
	over    chan struct{}
	probes  sync.WaitGroup

	// What follows is the loop's own.
	core  *master.Master
	conns map[master.Conn]*link.Conn
	ids   map[*link.Conn]master.Conn
	last  master.Conn
	seen  *slots.Map
}

func newMasterLoop(m *Master, logger *slog.Logger) *masterLoop {
	l := &masterLoop{
		cfg: m, log: logger,
		events: make(chan link.Event, 64),
		calls:  make(chan func(), 16),
		over:   make(chan struct{}),
		conns:  make(map[master.Conn]*link.Conn),
		ids:    make(map[*link.Conn]master.Conn),
	}
	boot := newBoot()
	l.service = link.NewService(link.ServiceConfig{Boot: boot, Master: masterCalls{l}, Events: l.events})
	now := clock()
	l.core = master.New(now.Mono, master.Config{
		Boot: boot, Start: now.Wall, Placement: m.Placement, Copies: m.Copies, MinCopies: m.MinCopies,
	})
	return l
}

func (l *masterLoop) run(ctx context.Context) {
	defer close(l.over)
	timer := time.NewTimer(masterTick)
	defer timer.Stop()
	for {
		l.deliver()
		timer.Reset(min(masterTick, max(0, time.Duration(l.core.NextTick()-clock().Mono))))
		select {
		case e := <-l.events:
			l.receive(e)
		case f := <-l.calls:
			f()
		case <-timer.C:
			l.core.Tick(clock().Mono)
		case <-ctx.Done():
			return
		}
	}
}

func (l *masterLoop) receive(e link.Event) {
	now := clock().Mono
	switch e := e.(type) {
	case link.Attached:
		l.last++
		l.conns[l.last], l.ids[e.Conn] = e.Conn, l.last
		l.core.Connected(now, l.last)
	case link.ServerMessages:
		for _, m := range e.Msgs {
			l.core.Receive(now, l.ids[e.Conn], m)
		}
	case link.Detached:
		id := l.ids[e.Conn]
		delete(l.conns, id)
		delete(l.ids, e.Conn)
		l.core.Disconnected(now, id)
		l.probe(e.Conn.Addr, e.Conn.Boot)
	}
}

// probe finds out whether nobody listens at a server's address any more: then its
// process is gone, most likely, and there is nothing to wait for.
func (l *masterLoop) probe(addr string, boot slots.Boot) {
	l.probes.Go(func() {
		conn, err := net.DialTimeout("tcp", addr, probeWithin)
		if err == nil {
			_ = conn.Close()
		}
		if refused(err) {
			l.on(func() { l.core.Gone(clock().Mono, boot) })
		}
	})
}

// deliver carries out what the state machine wants done.
func (l *masterLoop) deliver() {
	out := l.core.Drain()
	for _, e := range out.Send {
		if c := l.conns[e.To]; c != nil {
			c.Send(e.Message)
		}
	}
	for _, id := range out.Close {
		if c := l.conns[id]; c != nil {
			c.End("closed by the master")
		}
	}
	if m := l.core.Map(); m != l.seen && m != nil {
		l.follow(m)
	}
}

// follow tells who asks of a new map, and the log of who came and went.
func (l *masterLoop) follow(m *slots.Map) {
	was := l.seen
	l.seen = m
	l.service.SetMap(m)
	l.service.SetHealthy(true)
	for i := range m.Servers {
		s := &m.Servers[i]
		before := serverOf(was, s.Boot)
		switch {
		case before == nil:
			l.log.Info("joined", "server", s.Addr, "boot", s.Boot)
		case s.Dead && !before.Dead:
			l.log.Warn("dead, and some slots are nowhere else", "server", s.Addr, "boot", s.Boot)
		case !s.Dead && before.Dead:
			l.log.Info("back", "server", s.Addr, "boot", s.Boot)
		case s.Leaving && !before.Leaving:
			l.log.Info("leaving", "server", s.Addr, "boot", s.Boot)
		}
	}
	if was != nil {
		for i := range was.Servers {
			if s := &was.Servers[i]; serverOf(m, s.Boot) == nil {
				l.log.Info("gone", "server", s.Addr, "boot", s.Boot)
			}
		}
	}
}

func serverOf(m *slots.Map, b slots.Boot) *slots.Server {
	if m == nil {
		return nil
	}
	if i := m.Index(b); i != slots.None {
		return &m.Servers[i]
	}
	return nil
}

func (l *masterLoop) close() {
	l.service.Close()
	l.probes.Wait()
}

// on runs f on the loop, and says whether it did.
func (l *masterLoop) on(f func()) bool {
	done := make(chan struct{})
	select {
	case l.calls <- func() { defer close(done); f() }:
	case <-l.over:
		return false
	}
	select {
	case <-done:
		return true
	case <-l.over:
		return false
	}
}
