package fleet_test

import (
	"fmt"
	"io"
	"log"
	"net"
	"sync"
	"time"

	"github.com/torc-dht/torc/memcache"
)

// pipeServer serves memcached's protocol over pipes.
type pipeServer struct {
	server memcache.Server
	conns  chan net.Conn
	closed chan struct{}
	close  sync.Once
	served chan struct{}
}

func newPipeServer(h memcache.Handler) *pipeServer {
	s := &pipeServer{conns: make(chan net.Conn), closed: make(chan struct{}), served: make(chan struct{})}
	s.server.Handler = h
	s.server.ErrorLog = log.New(io.Discard, "", 0)
	go func() {
		defer close(s.served)
		_ = s.server.Serve(s)
	}()
	return s
}

func (s *pipeServer) dial() (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case s.conns <- there:
		return here, nil
	case <-s.closed:
		return nil, errRefused
	}
}

// Accept, Close and Addr make it a net.Listener.
func (s *pipeServer) Accept() (net.Conn, error) {
	select {
	case c := <-s.conns:
		return c, nil
	case <-s.closed:
		return nil, net.ErrClosed
	}
}

func (s *pipeServer) Close() error {
	s.close.Do(func() { close(s.closed) })
	return nil
}

func (s *pipeServer) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

// gate is what a client's requests to a machine pass.
type gate struct {
	client  *simClient
	machine *machine
}

// dropped ends a connection.
type dropped struct{}

func (g *gate) ServeMemcache(w *memcache.ResponseWriter, r *memcache.Request) {
	c, m := g.client, g.machine
	if r.Op == memcache.OpVersion {
		g.carryOut(w, r)
		return
	}
	c.mu.Lock()
	if c.mu.budget == 0 {
		c.mu.Unlock()
		c.kill()
		panic(dropped{})
	}
	if c.mu.budget > 0 {
		c.mu.budget--
	}
	c.mu.requests[m.addr]++
	n := c.mu.requests[m.addr]
	c.mu.Unlock()
	time.Sleep(g.delay(r, n))

	m.mu.Lock()
	f, healed := m.mu.fault, m.mu.healed
	m.mu.Unlock()
	switch f {
	case dead:
		panic(dropped{})
	case cut:
		<-healed
		panic(dropped{})
	case frozen:
		<-healed
	}
	g.carryOut(w, r)
	if !c.world.setup.Calm && c.world.draw(200, "answer", c.id, m.addr, n) == 0 {
		c.world.tracef("the answer to client %d is lost", c.id)
		panic(dropped{})
	}
}

// slowed has slow say how long requests are on their way.
func (w *world) slowed(slow func(*gate, *memcache.Request) time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.slow = slow
}

// delay is how long the client's n-th request to the machine is on its way.
func (g *gate) delay(r *memcache.Request, n uint64) time.Duration {
	w := g.client.world
	w.mu.Lock()
	slow := w.mu.slow
	w.mu.Unlock()
	if slow != nil {
		return slow(g, r)
	}
	if w.setup.Calm {
		return 0
	}
	delays := [...]time.Duration{0, 0, 0, 0, 100 * time.Microsecond, 300 * time.Microsecond, time.Millisecond, 4 * time.Millisecond, 15 * time.Millisecond}
	return delays[w.draw(uint64(len(delays)), g.client.id, g.machine.addr, n)]
}

// carryOut has the machine carry the request out.
func (g *gate) carryOut(w *memcache.ResponseWriter, r *memcache.Request) {
	m := g.machine
	if m.world.bug.plant(g, r) {
		w.Status(memcache.StatusDone, 1)
		return
	}
	m.mu.Lock()
	s := m.mu.store
	m.mu.Unlock()
	h := memcache.NewHandler(s)
	var before string
	traced := r.Op == memcache.OpGet || r.Op == memcache.OpSet || r.Op == memcache.OpDelete
	if traced {
		before = m.describe(string(r.Key))
	}
	h.ServeMemcache(w, r)
	if !traced {
		return
	}
	switch r.Op {
	case memcache.OpGet:
		m.world.tracef("    client %d asks %s for %s: %s", g.client.id, m.addr, r.Key, before)
	case memcache.OpSet:
		m.world.tracef("    client %d stores %q %#x at %s's %s, mode %d, cas %d: %s -> %s", g.client.id, r.Value, r.Flags, m.addr, r.Key, r.Mode, r.CAS, before, m.describe(string(r.Key)))
	case memcache.OpDelete:
		m.world.tracef("    client %d deletes %s at %s, cas %d: %s -> %s", g.client.id, r.Key, m.addr, r.CAS, before, m.describe(string(r.Key)))
	}
}

func (m *machine) describe(key string) string {
	it, ok := m.holds(key)
	if !ok {
		return "nothing"
	}
	ttl := ""
	if it.Expires != 0 {
		ttl = fmt.Sprintf(" for %v", time.Until(time.Unix(0, it.Expires)))
	}
	return fmt.Sprintf("%q %#x%s #%d", it.Value, it.Flags, ttl, it.CAS)
}
