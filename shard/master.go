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
	"github.com/torc-dht/torc/shard/internal/keep"
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
	// State, if not "", is the file in which each map is kept before it goes out,
	// so that a master that is started again knows the last one and waits for
	// nobody. It is this master's alone.
	State string
	// Election, if not "", is the zk:// URL of a place in ZooKeeper where the map
	// is kept, and where masters that are started with the same one agree on who
	// leads. The others stand by. It goes without State.
	Election string
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
	keeper, err := m.keeper(cmp.Or(m.Addr, l.Addr().String()), logger)
	if err != nil {
		_ = l.Close()
		return err
	}
	split := demux.New(l, demux.Config{TLS: m.TLS, ErrorLog: errorLog})
	loop := newMasterLoop(m, keeper, logger)
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
	if err = loop.run(life); err == nil && ctx.Err() == nil {
		err = context.Cause(life)
	}
	if keeper != nil {
		_ = keeper.Close()
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

// keeper returns where the map is kept, nil if it isn't.
func (m *Master) keeper(addr string, logger *slog.Logger) (keep.Keeper, error) {
	switch {
	case m.State != "" && m.Election != "":
		return nil, errors.New("shard: a master's map is kept in a file or in ZooKeeper: give State or Election, not both")
	case m.State != "":
		return keep.OpenFile(m.State)
	case m.Election != "":
		o, err := keep.ParseURL(m.Election)
		if err != nil {
			return nil, err
		}
		o.Addr, o.Logger = addr, logger
		o.Now = func() int64 { return clock().Mono }
		return keep.NewElection(o)
	}
	return nil, nil
}

const (
	// masterTick is the longest for which a master doesn't look at its clock, and
	// after how long a map that couldn't be kept is tried again.
	masterTick = 50 * time.Millisecond
	// probeWithin is how long an address may take to accept a connection or not.
	probeWithin = time.Second
)

// masterLoop is the goroutine that a master's state belongs to, and what it talks
// with.
type masterLoop struct {
	visits
	cfg     *Master
	boot    slots.Boot
	log     *slog.Logger
	keeper  keep.Keeper // nil: the map is kept nowhere
	service *link.Service
	events  chan link.Event
	saved   chan saving // what came of keeping a map
	probes  sync.WaitGroup
	saves   sync.WaitGroup

	// above is the term of a master that this one found itself deposed by. To be
	// elected once more means that that one is over; and its term may be far above
	// this machine's clock.
	above uint64

	// What follows is the loop's own, and of one reign.
	core  *master.Master // nil while this master stands by
	reign keep.Reign     // nil without a keeper
	conns map[master.Conn]*link.Conn
	ids   map[*link.Conn]master.Conn
	last  master.Conn
	seen  *slots.Map

	toKeep  *slots.Map // the last one that is to be kept, and isn't
	keeping bool       // one is being kept, in this reign
	failed  time.Time  // when one last couldn't be kept
	trouble string     // and why, as the log has it
}

// saving is what came of keeping a map in a reign.
type saving struct {
	reign keep.Reign
	m     *slots.Map
	err   error
}

func newMasterLoop(m *Master, keeper keep.Keeper, logger *slog.Logger) *masterLoop {
	l := &masterLoop{
		cfg: m, boot: newBoot(), log: logger, keeper: keeper,
		events: make(chan link.Event, 64),
		saved:  make(chan saving, 1),
		visits: newVisits(),
	}
	l.service = link.NewService(link.ServiceConfig{Boot: l.boot, Master: masterCalls{l}, Events: l.events})
	return l
}

// run leads, once or whenever it is this master's turn, until ctx is done. It fails
// where it never will be.
func (l *masterLoop) run(ctx context.Context) error {
	defer l.saves.Wait()
	defer close(l.over)
	if l.keeper == nil {
		l.lead(ctx, nil)
		return nil
	}
	for ctx.Err() == nil {
		reign, err := l.standBy(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		l.service.SetStandby("")
		l.lead(ctx, reign)
		reign.Resign()
	}
	return nil
}

// standBy waits until this master may lead, and tells who asks who does.
func (l *masterLoop) standBy(ctx context.Context) (reign keep.Reign, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l.core = nil
	l.service.SetHealthy(false)
	done := make(chan struct{})
	go func() {
		defer close(done)
		reign, err = l.keeper.Lead(ctx)
	}()
	defer func() { <-done }()
	ticker := time.NewTicker(masterTick)
	defer ticker.Stop()
	said := ""
	for {
		if text := l.whoLeads(); text != said {
			said = text
			l.service.SetStandby(text)
		}
		select {
		case <-l.events: // of who is sent away
		case f := <-l.calls:
			f()
		case <-l.saved:
		case <-ticker.C:
		case <-done:
			return reign, err
		}
	}
}

// whoLeads says so, for servers and clients.
func (l *masterLoop) whoLeads() string {
	switch addr, err := l.keeper.Leader(); {
	case err != nil:
		return fmt.Sprintf("this master stands by, and can't find out who leads: %v", err)
	case addr == "":
		return "this master stands by: nobody leads yet"
	default:
		return "this master stands by: " + addr + " leads"
	}
}

// lead is a master's life, until ctx is done or its reign is over.
func (l *masterLoop) lead(ctx context.Context, reign keep.Reign) {
	now := clock()
	cfg := master.Config{
		Boot: l.boot, Start: max(now.Wall, int64(l.above)+1), Placement: l.cfg.Placement, Copies: l.cfg.Copies, MinCopies: l.cfg.MinCopies,
	}
	var over <-chan struct{}
	if reign != nil {
		cfg.Persist, cfg.Recovered, cfg.Elected = true, reign.Last(), l.cfg.Election != ""
		over = reign.Over()
		l.log.Info("this master leads")
	}
	l.core, l.reign, l.seen = master.New(now.Mono, cfg), reign, nil
	l.toKeep, l.keeping, l.failed, l.trouble = nil, false, time.Time{}, ""
	l.conns, l.ids = make(map[master.Conn]*link.Conn), make(map[*link.Conn]master.Conn)
	timer := time.NewTimer(masterTick)
	defer timer.Stop()
	for {
		if reign != nil && !reign.Leads() {
			l.log.Warn("this master leads no more", "err", reign.Err())
			return
		}
		l.deliver(ctx)
		if e, deposed := l.core.Deposed(); deposed {
			l.log.Warn("servers follow a later master", "term", e.Term)
			l.above = e.Term
			return
		}
		timer.Reset(min(masterTick, max(0, time.Duration(l.core.NextTick()-clock().Mono))))
		select {
		case e := <-l.events:
			l.receive(e)
		case f := <-l.calls:
			f()
		case s := <-l.saved:
			l.kept(s)
		case <-timer.C:
			l.core.Tick(clock().Mono)
		case <-over:
		case <-ctx.Done():
			return
		}
	}
}

// keep has the last map kept that is to be, one at a time: the state machine may go
// on to another one while an earlier is on its way, and that must not end up on top.
func (l *masterLoop) keep(ctx context.Context) {
	if l.toKeep == nil || l.keeping || time.Since(l.failed) < masterTick {
		return
	}
	l.keeping = true
	reign, m := l.reign, l.toKeep
	l.saves.Go(func() {
		err := reign.Save(ctx, m)
		select {
		case l.saved <- saving{reign, m, err}:
		case <-l.over:
		}
	})
}

// kept goes on when a map is kept; otherwise it will be tried again.
func (l *masterLoop) kept(s saving) {
	if s.reign != l.reign {
		return
	}
	l.keeping = false
	if s.err != nil {
		l.failed = time.Now()
		if text := s.err.Error(); text != l.trouble {
			l.trouble = text
			l.log.Warn("the map could not be kept, and goes to nobody before it is", "map", s.m.Epoch, "err", s.err)
		}
		return
	}
	if l.trouble != "" {
		l.trouble = ""
		l.log.Info("the map is kept", "map", s.m.Epoch)
	}
	if l.toKeep == s.m {
		l.toKeep = nil
	}
	l.core.Persisted(clock().Mono, s.m.Epoch)
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
			l.on(func() {
				if l.core != nil {
					l.core.Gone(clock().Mono, boot)
				}
			})
		}
	})
}

// deliver carries out what the state machine wants done.
func (l *masterLoop) deliver(ctx context.Context) {
	out := l.core.Drain()
	if out.Persist != nil {
		l.toKeep = out.Persist
	}
	l.keep(ctx)
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
