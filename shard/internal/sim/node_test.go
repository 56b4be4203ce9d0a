package sim

import (
	"slices"
	"strings"
	"time"

	"github.com/torc-dht/torc/internal/simnet"
	"github.com/torc-dht/torc/shard/internal/master"
	"github.com/torc-dht/torc/shard/internal/msg"
	"github.com/torc-dht/torc/shard/internal/server"
	"github.com/torc-dht/torc/shard/slots"
	"github.com/torc-dht/torc/store"
)

// tick is how often a server and a master look at their clocks.
const tick = 20 * time.Millisecond

// epoch0 is what a wall clock shows when its node's clock shows 0.
const epoch0 = int64(1_700_000_000e9)

// opening and welcome are who calls and who answers, as package link has it.
type (
	opening struct{ boot slots.Boot }
	welcome struct{ boot slots.Boot }
)

// request is a client's, and reply what it is answered.
type request struct {
	id      uint64
	key     string
	do      func(found bool, version uint64) store.Action // nil is a read
	value   string
	op      msg.Op
	created int // of which client
}

type reply struct {
	id      uint64
	failed  bool
	failure server.Failure
	found   bool // when it was carried out
	acted   store.Action
	full    bool // there was no room
	again   bool // it had been carried out before
	value   string
	version uint64
}

const masterAddr simnet.Addr = "master"

func hostPort(a simnet.Addr) string { return string(a) + ":1" }

func nodeOf(addr string) simnet.Addr { return simnet.Addr(strings.TrimSuffix(addr, ":1")) }

// mono is what a clock that never goes back shows.
func mono(now time.Duration) int64 { return int64(now + time.Hour) }

// timeOf returns what the clocks of a node show: those that never go back began
// anywhere, those of the day agree within a second.
func (w *world) timeOf(a simnet.Addr, now time.Duration) server.Time {
	zero, ok := w.zeros[a]
	if !ok {
		zero = w.net.Clock(a) - w.net.Now() + time.Duration(len(w.zeros)%5)*200*time.Millisecond
		w.zeros[a] = zero
	}
	return server.Time{Mono: mono(now), Wall: epoch0 + int64(now-zero)}
}

func (n *serverNode) time(now time.Duration) server.Time { return n.w.timeOf(n.addr, now) }

// serverNode is a server's process: the state machine, and what the loop around it
// does in a real one.
type serverNode struct {
	w    *world
	port *simnet.Port[any]
	addr simnet.Addr
	core *server.Server
	boot slots.Boot

	seen     *slots.Map
	peers    map[simnet.Addr]*dialed
	callers  map[simnet.Conn]slots.Boot // who opened a connection
	attached simnet.Addr                // the master that it calls
	master   simnet.Conn                // the zero Conn is none
	ticked   time.Duration
	leaving  bool
	left     bool
}

// dialed is a connection to a peer's address, and the boots wanted there.
type dialed struct {
	conn  simnet.Conn
	boot  slots.Boot // who answers there, 0 before it is known
	wants []slots.Boot
}

func newServerNode(w *world, a simnet.Addr, p *simnet.Port[any]) *serverNode {
	n := &serverNode{w: w, port: p, addr: a, attached: w.masters[0]}
	n.begin()
	return n
}

// begin begins a life.
func (n *serverNode) begin() {
	n.boot = slots.Boot(n.port.Rand().Uint64() | 1)
	cfg := n.w.cfg.server
	cfg.Addr, cfg.Boot, cfg.Sometimes = hostPort(n.addr), n.boot, n.w.covered
	if cfg.Limit == 0 {
		cfg.Limit = 1 << 30
	}
	n.core = server.New(cfg)
	n.seen, n.master = nil, simnet.Conn{}
	n.peers = make(map[simnet.Addr]*dialed)
	n.callers = make(map[simnet.Conn]slots.Boot)
	n.port.Dial(n.attached)
	n.w.lives[n.boot] = n
	n.port.Note("boot %s", n.boot)
}

// restart begins another life in the same process.
func (n *serverNode) restart() {
	n.w.covered("reset")
	n.port.Hangup(n.attached)
	for _, a := range n.w.serverAddrs() {
		if n.peers[a] != nil {
			n.port.Hangup(a)
		}
	}
	for _, c := range n.w.sortedConns(n.callers) {
		n.port.Close(c)
	}
	n.begin()
}

func (n *serverNode) Receive(now time.Duration, c simnet.Conn, m any) {
	switch m := m.(type) {
	case msg.Message:
		n.w.received(n, c, m)
		if n.w.isMaster(c.Peer) {
			if c == n.master {
				n.core.Receive(n.time(now), server.Master, m)
			}
		} else if b, ok := n.callers[c]; ok {
			n.core.Receive(n.time(now), b, m)
		}
	case opening:
		for _, d := range n.w.sortedConns(n.callers) {
			if n.callers[d] == m.boot {
				delete(n.callers, d)
				n.port.Close(d)
			}
		}
		n.callers[c] = m.boot
		n.port.Send(c, welcome{n.boot})
	case welcome:
		if p := n.peers[c.Peer]; p != nil && p.conn == c {
			p.boot = m.boot
			for _, b := range p.wants {
				n.meet(now, p, b)
			}
		}
	case *request:
		n.call(now, c, m)
	}
}

// meet tells of the connection to a peer, or that it is another who answers.
func (n *serverNode) meet(now time.Duration, p *dialed, b slots.Boot) {
	if p.boot == b {
		n.core.Connected(n.time(now), b)
	} else {
		n.core.Gone(n.time(now), b)
	}
}

func (n *serverNode) Connected(now time.Duration, c simnet.Conn) {
	switch {
	case !c.Dialed:
	case n.w.isMaster(c.Peer):
		n.master = c
		n.core.Connected(n.time(now), server.Master)
	default:
		if p := n.peers[c.Peer]; p != nil {
			p.conn, p.boot = c, 0
			n.port.Send(c, opening{n.boot})
		}
	}
}

func (n *serverNode) Disconnected(now time.Duration, c simnet.Conn) {
	delete(n.callers, c)
	switch {
	case c.Dialed && n.w.isMaster(c.Peer):
		if c.ID != 0 && c == n.master {
			n.master = simnet.Conn{}
			n.core.Disconnected(n.time(now), server.Master)
		}
		if c.Peer == n.attached && len(n.w.masters) > 1 { // another one is tried
			n.port.Hangup(n.attached)
			n.attached = n.w.masters[(slices.Index(n.w.masters, n.attached)+1)%len(n.w.masters)]
			n.port.Dial(n.attached)
		}
	case !c.Dialed || c.ID == 0:
	default:
		if p := n.peers[c.Peer]; p != nil && p.conn == c {
			n.lost(now, p)
		}
	}
}

func (n *serverNode) lost(now time.Duration, p *dialed) {
	for _, b := range p.wants {
		if b == p.boot {
			n.core.Disconnected(n.time(now), b)
		}
	}
	p.conn, p.boot = simnet.Conn{}, 0
}

func (n *serverNode) Tick(time.Duration) {}

func (n *serverNode) Drain(p *simnet.Port[any]) {
	if n.left {
		return
	}
	now := p.Now()
	at := n.time(now)
	if now-n.ticked >= tick {
		n.ticked = now
		n.core.Tick(at)
	}
	more := n.core.Pump(at)
	n.core.Flush(at)
	n.send()
	n.answer()
	if m := n.core.Map(); m != n.seen {
		n.follow(now, m)
		n.core.Flush(at)
		n.send()
	}
	if n.core.Released() {
		n.left = true
		n.w.released(n)
		return
	}
	if n.core.Reset() && n.leaving {
		n.left = true // the map that it isn't in came first
		n.w.released(n)
		return
	}
	if n.core.Reset() {
		n.restart()
	}
	if more {
		p.Alarm(now + 100*time.Microsecond)
	} else {
		p.Alarm(n.ticked + tick)
	}
	n.w.after(n)
}

func (n *serverNode) send() {
	for _, o := range n.core.Out() {
		var c simnet.Conn
		if o.To == server.Master {
			c = n.master
		} else if q := n.peerOf(o.To); q != nil {
			c = q.conn
		}
		n.w.sent(n, o.To, o.Message)
		if c.ID != 0 {
			n.port.Send(c, o.Message)
		}
	}
}

func (n *serverNode) peerOf(b slots.Boot) *dialed {
	if n.seen == nil {
		return nil
	}
	i := n.seen.Index(b)
	if i == slots.None {
		return nil
	}
	if p := n.peers[nodeOf(n.seen.Servers[i].Addr)]; p != nil && p.boot == b {
		return p
	}
	return nil
}

// follow makes connections to whom a new map names.
func (n *serverNode) follow(now time.Duration, m *slots.Map) {
	n.seen = m
	n.w.saw(m, n.addr)
	wants := make(map[simnet.Addr][]slots.Boot)
	for _, s := range m.Servers {
		if s.Boot != n.boot {
			wants[nodeOf(s.Addr)] = append(wants[nodeOf(s.Addr)], s.Boot)
		}
	}
	for _, a := range n.w.serverAddrs() {
		p, w := n.peers[a], wants[a]
		switch {
		case a == n.addr: // a former life of its own
			for _, b := range w {
				n.core.Gone(n.time(now), b)
			}
		case p == nil && len(w) > 0:
			n.peers[a] = &dialed{wants: w}
			n.port.Dial(a)
		case p != nil && len(w) == 0:
			n.lost(now, p)
			n.port.Hangup(a)
			delete(n.peers, a)
		case p != nil:
			n.want(now, a, p, w)
		}
	}
}

// want changes which boots are wanted at an address. Whoever answered the
// connection that there is says nothing of one that began later.
func (n *serverNode) want(now time.Duration, a simnet.Addr, p *dialed, w []slots.Boot) {
	was := p.wants
	for _, b := range w {
		if p.boot != 0 && p.boot != b && !has(was, b) {
			n.lost(now, p)
			n.port.Hangup(a)
			n.port.Dial(a)
		}
	}
	p.wants = w
	if p.boot != 0 && has(w, p.boot) && !has(was, p.boot) {
		n.core.Connected(n.time(now), p.boot)
	}
	if p.boot != 0 && !has(w, p.boot) && has(was, p.boot) {
		n.core.Disconnected(n.time(now), p.boot)
	}
}

func has(list []slots.Boot, b slots.Boot) bool {
	for _, c := range list {
		if c == b {
			return true
		}
	}
	return false
}

// served is a client's call at a server.
type served struct {
	call  server.Call
	req   *request
	reply reply
	conn  simnet.Conn
}

func (n *serverNode) call(now time.Duration, c simnet.Conn, r *request) {
	q := &served{req: r, conn: c, reply: reply{id: r.id}}
	q.call = server.Call{Keys: [][]byte{[]byte(r.key)}, Op: r.op, Exec: q}
	n.core.Do(n.time(now), &q.call)
}

func (n *serverNode) answer() {
	for _, c := range n.core.Done() {
		q := c.Exec.(*served)
		n.port.Send(q.conn, &q.reply)
	}
}

// Execute carries a request out.
func (q *served) Execute(s *server.Server) (refusal uint8) {
	key := []byte(q.req.key)
	if q.req.do == nil {
		it, found := s.Get(key)
		q.reply.found, q.reply.value, q.reply.version = found, string(it.Value), it.CAS
		return refusedAbsent
	}
	version, err := s.Update(key, func(it *store.Item, found bool) store.Action {
		q.reply.found = found
		q.reply.acted = q.req.do(found, it.CAS)
		if q.reply.acted&store.Write != 0 {
			it.Value = []byte(q.req.value)
		}
		return q.reply.acted
	})
	q.reply.version, q.reply.full = version, err != nil
	switch {
	case err != nil:
		return refusedFull
	case q.reply.found:
		return refusedPresent
	}
	return refusedAbsent
}

// Why a write was refused.
const (
	refusedAbsent uint8 = 1 + iota
	refusedPresent
	refusedFull
)

// Repeat notes what it came to before.
func (q *served) Repeat(version uint64, refusal uint8) {
	if refusal == 0 {
		q.reply.again, q.reply.version = true, version
		return
	}
	q.reply.acted, q.reply.found, q.reply.full = store.Keep, refusal == refusedPresent, refusal == refusedFull
}

// Fail notes a failure.
func (q *served) Fail(f server.Failure) { q.reply.failed, q.reply.failure = true, f }

// masterNode is a master's process.
type masterNode struct {
	w     *world
	port  *simnet.Port[any]
	addr  simnet.Addr
	core  *master.Master
	conns map[master.Conn]simnet.Conn
	boots map[simnet.Conn]slots.Boot
	seen  *slots.Map
}

func newMasterNode(w *world, p *simnet.Port[any]) *masterNode {
	n := &masterNode{
		w: w, port: p, addr: p.Addr(),
		conns: make(map[master.Conn]simnet.Conn), boots: make(map[simnet.Conn]slots.Boot),
	}
	cfg := w.cfg.master
	cfg.Boot = slots.Boot(p.Rand().Uint64() | 1)
	cfg.Start = w.timeOf(n.addr, p.Now()).Wall
	if cfg.Persist {
		cfg.Recovered = w.disk
	} else if p.Incarnation() > 1 || n.addr != masterAddr {
		// Who begins from nothing, and hears only a server that has nothing either
		// before those of the table can reach it, takes that for a new table.
		cfg.StartWait = 10 * time.Second
	}
	n.core = master.New(mono(p.Now()), cfg)
	w.running[n.addr] = n
	if n.addr == w.lead {
		w.master = n
	}
	return n
}

func (n *masterNode) Receive(now time.Duration, c simnet.Conn, m any) {
	t, ok := m.(msg.Message)
	if !ok {
		return
	}
	if h, ok := m.(*msg.Hello); ok {
		n.boots[c] = h.Boot
	}
	n.w.receivedByMaster(c, t)
	n.core.Receive(mono(now), master.Conn(c.ID), t)
}

func (n *masterNode) Connected(now time.Duration, c simnet.Conn) {
	n.conns[master.Conn(c.ID)] = c
	n.core.Connected(mono(now), master.Conn(c.ID))
}

// Disconnected also asks whether anybody listens at the address any more.
func (n *masterNode) Disconnected(now time.Duration, c simnet.Conn) {
	delete(n.conns, master.Conn(c.ID))
	n.core.Disconnected(mono(now), master.Conn(c.ID))
	boot := n.boots[c]
	delete(n.boots, c)
	net := n.w.net
	net.At(net.Now()+time.Millisecond, func() {
		if boot != 0 && !net.Up(c.Peer) && n.w.reachable(c.Peer) && n.w.running[n.addr] == n {
			net.Call(n.addr, func(now time.Duration) { n.core.Gone(mono(now), boot) })
		}
	})
}

func (n *masterNode) Tick(now time.Duration) { n.core.Tick(mono(now)) }

func (n *masterNode) Drain(p *simnet.Port[any]) {
	out := n.core.Drain()
	for _, e := range out.Send {
		if c, ok := n.conns[e.To]; ok {
			n.w.sentByMaster(c, e.Message)
			p.Send(c, e.Message)
		}
	}
	for _, id := range out.Close {
		if c, ok := n.conns[id]; ok {
			delete(n.conns, id)
			p.Close(c)
		}
	}
	if m := out.Persist; m != nil {
		net := n.w.net
		net.At(net.Now()+2*time.Millisecond, func() {
			if n.w.running[n.addr] == n && net.Up(n.addr) {
				n.w.disk = m
				net.Call(n.addr, func(now time.Duration) { n.core.Persisted(mono(now), m.Epoch) })
			}
		})
	}
	if m := n.core.Map(); m != n.seen && m != nil {
		n.seen = m
		n.w.saw(m, n.addr)
	}
	p.Alarm(min(time.Duration(n.core.NextTick()-mono(0)), p.Now()+50*time.Millisecond))
}
