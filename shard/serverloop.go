package shard

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/torc-dht/torc/memcache"
	"github.com/torc-dht/torc/shard/internal/link"
	pb "github.com/torc-dht/torc/shard/internal/link/shardpb"
	"github.com/torc-dht/torc/shard/internal/msg"
	"github.com/torc-dht/torc/shard/internal/server"
	"github.com/torc-dht/torc/shard/slots"
	"github.com/torc-dht/torc/store"
)

const (
	// masterWithin is how long a server that has no master waits for one before it
	// goes without handing over: many times as long as it takes to connect again.
	masterWithin = time.Second
	// tick is how often a server looks at its clock when nothing comes.
	tick = 10 * time.Millisecond
	// breath is for how long the loop waits for something to come before it sends
	// more of a fill. A thread that never waits is told by Go's scheduler what has
	// come over the network every 10 ms only. At 32 kB a turn it costs a fill little.
	breath = 50 * time.Microsecond
	// turn is how many events and batches are taken in before messages go out.
	turn = 32
)

// serverLoop is the goroutine that a server's state belongs to, and what it talks
// with.
type serverLoop struct {
	visits
	cfg     *Server
	addr    string
	log     *slog.Logger
	service *link.Service

	batches chan *memcache.Batch
	served  chan link.Event // of the service

	// What follows is the loop's own.
	core      *server.Server
	handler   memcache.Handler
	linked    chan link.Event // of peers and master, of this boot
	peers     *link.Peers
	master    *link.Attachment
	conns     map[slots.Boot]*link.Conn // of peers, and of server.Master
	masterAt  string                    // host:port; "" while there is no connection
	complaint string
	seen      *slots.Map
	dropped   map[slots.Boot]slots.Epoch // on whose copies it was asked to do without, and when last
	free      *request
	joined    bool // it had its share, in this life or an earlier one
	ticked    int64
	fatal     error
}

func newServerLoop(s *Server, addr string, logger *slog.Logger) *serverLoop {
	l := &serverLoop{
		cfg: s, addr: addr, log: logger,
		batches: make(chan *memcache.Batch, 64),
		served:  make(chan link.Event, 64),
		visits:  newVisits(),
	}
	boot := newBoot()
	l.service = link.NewService(link.ServiceConfig{
		Options: l.serviceOptions(), Boot: boot, Server: serverCalls{l}, Events: l.served,
	})
	l.begin(boot)
	return l
}

// serviceOptions are the options without TLS, which the listener has done.
func (l *serverLoop) serviceOptions() link.Options {
	o := l.cfg.options()
	o.TLS = nil
	return o
}

var errSilent = errors.New("nothing came back for a lease")

func newBoot() slots.Boot {
	for {
		if b := slots.Boot(rand.Uint64()); b != 0 {
			return b
		}
	}
}

// begin begins a life: with nothing, and as nobody's peer.
func (l *serverLoop) begin(boot slots.Boot) {
	limit := l.cfg.Memory
	if limit == 0 {
		limit = machineMemory() / 4
	}
	l.core = server.New(server.Config{Addr: l.addr, Boot: boot, Limit: limit})
	l.handler = memcache.NewHandler(serverItems{l})
	l.linked = make(chan link.Event, 64)
	self := link.Peer{Addr: l.addr, Boot: boot}
	l.peers = link.NewPeers(self, l.cfg.options(), l.linked)
	l.master = link.NewAttachment(self, l.cfg.Masters, l.cfg.options(), l.linked)
	l.conns = map[slots.Boot]*link.Conn{}
	l.seen, l.masterAt = nil, ""
	l.dropped = map[slots.Boot]slots.Epoch{}
}

// restart begins another life, once the table has gone on without this server.
func (l *serverLoop) restart() {
	l.log.Warn("the table has gone on without this server; it joins again, with nothing")
	l.peers.Close()
	l.master.Close()
	boot := newBoot()
	l.service.SetBoot(boot)
	l.begin(boot)
}

// run serves until ctx is done and all is handed over, or life ends.
func (l *serverLoop) run(ctx, life context.Context) error {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	leave := ctx.Done()
	var late <-chan time.Time
	timed := false // late is when handing over has to be done
	more := time.NewTimer(time.Hour)
	defer more.Stop()
	for {
		select {
		case b := <-l.batches:
			l.take(b)
		case f := <-l.calls:
			f()
		case e := <-l.served:
			l.receiveServed(e)
		case e := <-l.linked:
			l.receiveLinked(e)
		case <-ticker.C:
		case <-more.C:
		case <-leave:
			leave = nil
			l.core.Leave(clock())
			if l.masterAt == "" {
				l.log.Warn("leaving: no master to hand over to, unless one comes")
				late = time.After(masterWithin)
				break
			}
			late, timed = time.After(LeaveWithin), true
			l.log.Info("leaving: handing over")
		case <-late:
			if l.masterAt != "" && !timed { // one came
				late, timed = time.After(LeaveWithin-masterWithin), true
				break
			}
			l.log.Warn("not everything could be handed over in time; copies take over")
			return nil
		case <-life.Done():
			if err := context.Cause(life); !errors.Is(err, context.Canceled) && !errors.Is(err, memcache.ErrServerClosed) {
				return err
			}
			return nil
		}
		l.takeWaiting()
		if l.step() {
			more.Reset(breath)
		} else {
			more.Stop()
		}
		switch {
		case l.fatal != nil:
			return l.fatal
		case l.core.Released():
			l.log.Info("left: everything is handed over")
			return nil
		}
	}
}

// takeWaiting takes in some of what waits, without waiting for more.
func (l *serverLoop) takeWaiting() {
	for range turn {
		select {
		case b := <-l.batches:
			l.take(b)
		case f := <-l.calls:
			f()
		case e := <-l.served:
			l.receiveServed(e)
		case e := <-l.linked:
			l.receiveLinked(e)
		default:
			return
		}
	}
}

// step does what is due and delivers what has come of it. It says whether there
// is more to do at once.
func (l *serverLoop) step() (more bool) {
	now := clock()
	if now.Mono-l.ticked >= int64(tick) {
		l.ticked = now.Mono
		l.core.Tick(now)
		for _, peer := range l.core.Silent(now) {
			if conn := l.conns[peer]; conn != nil {
				conn.Reset(errSilent)
			}
		}
	}
	more = l.core.Pump(now)
	l.core.Flush(now)
	for _, o := range l.core.Out() {
		if m, ok := o.Message.(*msg.DropCopy); ok {
			l.noteDrop(m)
		}
		// What can't be sent is sent again after the next connection.
		if conn := l.conns[o.To]; conn != nil {
			conn.Send(o.Message)
		}
	}
	l.answer()
	if m := l.core.Map(); m != l.seen {
		l.follow(m)
	}
	if l.core.Reset() {
		l.restart()
	}
	return more
}

// noteDrop notes that a copy doesn't answer, once for each map.
func (l *serverLoop) noteDrop(m *msg.DropCopy) {
	if l.dropped[m.Boot] == m.Epoch {
		return
	}
	l.dropped[m.Boot] = m.Epoch
	for _, s := range l.seen.Servers {
		if s.Boot == m.Boot {
			l.log.Warn("the master is asked to do without the copies on a server", "server", s.Addr, "reason", m.Reason)
		}
	}
}

// follow makes connections to whom a new map names.
func (l *serverLoop) follow(m *slots.Map) {
	l.seen = m
	var peers []link.Peer
	for _, s := range m.Servers {
		if s.Boot != l.core.Boot() {
			peers = append(peers, link.Peer{Addr: s.Addr, Boot: s.Boot})
		}
	}
	l.peers.Set(peers)
	l.service.SetMap(m)
	l.settled()
}

// settled notes when the server has its share.
func (l *serverLoop) settled() {
	if !l.joined && l.core.Settled() {
		l.joined = true
		l.cfg.joinedOnce.Do(func() {
			l.service.SetHealthy(true)
			close(l.cfg.joined)
		})
	}
}

func (l *serverLoop) receiveServed(e link.Event) {
	if e, ok := e.(link.PeerMessages); ok {
		for _, m := range e.Msgs {
			l.core.Receive(clock(), e.From, m)
		}
	}
}

func (l *serverLoop) receiveLinked(e link.Event) {
	now := clock()
	switch e := e.(type) {
	case link.PeerUp:
		l.conns[e.Conn.Boot] = e.Conn
		l.core.Connected(now, e.Conn.Boot)
	case link.PeerDown:
		delete(l.conns, e.Peer)
		l.core.Disconnected(now, e.Peer)
	case link.PeerReplaced:
		l.core.Gone(now, e.Peer)
	case link.MasterUp:
		l.conns[server.Master] = e.Conn
		l.masterAt, l.complaint = e.Conn.Addr, ""
		l.core.Connected(now, server.Master)
	case link.MasterMessages:
		for _, m := range e.Msgs {
			l.core.Receive(now, server.Master, m)
			if m, ok := m.(*msg.Refuse); ok {
				l.refused(m)
			}
		}
		l.settled()
	case link.MasterDown:
		delete(l.conns, server.Master)
		l.masterAt = ""
		l.core.Disconnected(now, server.Master)
		l.log.Warn("the connection to the master is lost", "master", e.Addr, "err", e.Err)
	case link.MasterFailed:
		l.failed(e)
	}
}

func (l *serverLoop) refused(m *msg.Refuse) {
	l.log.Warn("the master refuses this server", "reason", m.Reason)
	if m.Final {
		l.fatal = fmt.Errorf("the master at %s refuses this server: %s", l.masterAt, m.Reason)
	}
}

// failed says once why there is no connection, and ends the server where waiting
// can't help: what listens there is no master of this version.
func (l *serverLoop) failed(e link.MasterFailed) {
	if errors.Is(e.Err, link.ErrVersion) || errors.Is(e.Err, link.ErrForeign) && l.seen == nil && len(l.cfg.Masters) == 1 {
		l.fatal = fmt.Errorf("the master at %s: %w", e.Addr, e.Err)
		return
	}
	if text := e.Addr + ": " + e.Err.Error(); text != l.complaint {
		l.complaint = text
		l.log.Info("waiting for the master", "master", e.Addr, "err", e.Err)
	}
}

// drain answers who is still waiting until done is closed.
func (l *serverLoop) drain(done <-chan struct{}) {
	close(l.over)
	for {
		select {
		case b := <-l.batches:
			for _, c := range b.Calls() {
				refuse(c)
			}
		case e := <-l.served:
			l.receiveServed(e)
		case e := <-l.linked:
			l.receiveLinked(e)
		case <-done:
			return
		case <-time.After(tick):
		}
		l.core.Tick(clock())
		l.step()
	}
}

func refuse(c *memcache.Call) {
	c.Reset()
	c.Answer.Error("SERVER_ERROR unavailable: this server is going")
	c.Done()
}

func (l *serverLoop) close() {
	l.peers.Close()
	l.master.Close()
	l.service.Close()
}

// ServeBatch hands requests to the loop.
func (l *serverLoop) ServeBatch(b *memcache.Batch) { l.batches <- b }

// ServeMemcache answers what is not for a batch: figures, and lists of keys.
func (l *serverLoop) ServeMemcache(w *memcache.ResponseWriter, r *memcache.Request) {
	memcache.NewHandler(serverItems{l}).ServeMemcache(w, r)
}

// request is one of memcached's, as the state machine has it.
type request struct {
	call server.Call
	mc   *memcache.Call
	loop *serverLoop
	key  [1][]byte
	next *request
}

// take takes in a batch. Its requests were all decoded before the clock is read.
func (l *serverLoop) take(b *memcache.Batch) {
	now := clock()
	for _, c := range b.Calls() {
		r := &c.Request
		if len(r.Keys) == 0 && len(r.Key) == 0 {
			l.handler.ServeMemcache(&c.Answer, r)
			c.Done()
			continue
		}
		q := l.free
		if q == nil {
			q = new(request)
		} else {
			l.free = q.next
		}
		q.mc, q.loop = c, l
		if q.call = (server.Call{Keys: r.Keys, Exec: q}); len(r.Keys) == 0 {
			q.key[0] = r.Key
			q.call.Keys = q.key[:]
		}
		if id, ok := r.OpID(); ok && (r.Op == memcache.OpSet || r.Op == memcache.OpDelete) {
			q.call.Op = msg.Op{Client: id.Client, Number: id.Number, Oldest: id.Oldest}
		}
		l.core.Do(now, &q.call)
	}
	l.answer()
}

// answer ends the calls that are done.
func (l *serverLoop) answer() {
	for _, c := range l.core.Done() {
		q := c.Exec.(*request)
		mc := q.mc
		*q = request{next: l.free}
		l.free = q
		mc.Done()
	}
}

// Execute carries the request out on the state machine.
func (q *request) Execute(*server.Server) (refusal uint8) {
	q.loop.handler.ServeMemcache(&q.mc.Answer, &q.mc.Request)
	if status, ok := q.mc.Answer.Outcome(); ok {
		return uint8(status)
	}
	return noRoom
}

// noRoom is the refusal of a write that has no status: there was no memory for it.
// memcache's Statuses are below it.
const noRoom = 255

// Repeat answers a write as it was answered before.
func (q *request) Repeat(version uint64, refusal uint8) {
	switch refusal {
	case 0:
		q.mc.Answer.Status(memcache.StatusDone, version)
	case noRoom:
		q.mc.Answer.Error("SERVER_ERROR out of memory storing object")
	default:
		q.mc.Answer.Status(memcache.Status(refusal), 0)
	}
}

// Fail answers why the request was not carried out.
func (q *request) Fail(f server.Failure) {
	q.mc.Reset()
	q.mc.Answer.Error(failureLine(f))
}

// serverItems are the items of the state machine. Get and Update are for the loop,
// the others for other goroutines.
type serverItems struct{ l *serverLoop }

func (i serverItems) Get(key []byte) (store.Item, bool) { return i.l.core.Get(key) }

func (i serverItems) Update(key []byte, f func(*store.Item, bool) store.Action) (uint64, error) {
	return i.l.core.Update(key, f)
}

func (i serverItems) Now() int64 { return time.Now().UnixNano() }

// All yields what this server is the primary of, some slots at a time.
func (i serverItems) All() iter.Seq[store.Item] {
	return func(yield func(store.Item) bool) {
		const step = 64
		for first := 0; first < slots.Count; first += step {
			var items []store.Item
			if !i.l.on(func() {
				for id := first; id < min(first+step, slots.Count); id++ {
					items = i.l.core.Items(items, slots.Slot(id))
				}
			}) {
				return
			}
			for _, it := range items {
				if !yield(it) {
					return
				}
			}
		}
	}
}

// Stats are what the server holds, copies and all.
func (i serverItems) Stats() (st store.Stats) {
	i.l.on(func() {
		keys, bytes := i.l.core.Usage()
		st.Items, st.Bytes, st.MaxBytes = keys, bytes, i.l.core.Limit()
	})
	return st
}

// ResetStats does nothing: what there is are no counts.
func (i serverItems) ResetStats() {}

// Evicts says that the server never does.
func (i serverItems) Evicts() bool { return false }

// serverCalls is what a server tells people.
type serverCalls struct{ l *serverLoop }

// Status tells what the server holds and does.
func (c serverCalls) Status(context.Context) (*pb.ServerStatus, error) {
	st := new(pb.ServerStatus)
	if !c.l.on(func() {
		core := c.l.core
		st.Addr, st.Boot, st.Master = c.l.addr, uint64(core.Boot()), c.l.masterAt
		st.Keys, st.Bytes = core.Usage()
		st.Limit = core.Limit()
		if m := core.Map(); m != nil {
			st.Epoch = &pb.Epoch{Term: m.Epoch.Term, Boot: uint64(m.Epoch.Boot), Counter: m.Epoch.Counter}
			st.Primaries, st.Backups, st.Filling = core.Share()
			for _, f := range core.Fills() {
				if at := m.Index(f.To); at != slots.None {
					st.Moves = append(st.Moves, &pb.Move{
						From: c.l.addr, To: m.Servers[at].Addr, Slots: f.Slots, Left: f.Left, Keys: f.Keys, Bytes: f.Bytes,
					})
				}
			}
		}
	}) {
		return nil, errors.New("this server is going")
	}
	return st, nil
}
