package shard

import (
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/memcache"
	"github.com/torc-dht/torc/shard/slots"
)

// routing is where keys go under one map. It never changes; a table has a new one
// for each map, so that a call sees one map and takes no lock.
type routing struct {
	m *slots.Map
	// clients are those of m.Servers, by index; nil for one that is dead.
	clients []*memcache.Client
	view    torc.View
	// replaced is closed when the table has a newer routing.
	replaced chan struct{}
}

// primary is who has a slot; nil if nobody can be asked.
func (r *routing) primary(s slots.Slot) *memcache.Client {
	i := r.m.Rows[s].Primary
	if i < 0 {
		return nil
	}
	return r.clients[i]
}

// dead is the address of a slot's primary that is dead, so that the slot has
// failed; else empty.
func (r *routing) dead(s slots.Slot) string {
	if i := r.m.Rows[s].Primary; i >= 0 && r.m.Servers[i].Dead {
		return r.m.Servers[i].Addr
	}
	return ""
}

// since is when a member was first seen in its state.
func (r *routing) since(addr string) time.Time {
	m, _ := memberOf(r.view, addr)
	return m.Since
}

// routeLocked makes m, and a view of it, what calls go by. It closes the connections to
// servers that are in no use any more; what is under way on them fails at once,
// and is tried again by the new routing.
func (t *Table) routeLocked(m *slots.Map) {
	old := t.routing.Load()
	next := &routing{
		m: m, clients: make([]*memcache.Client, len(m.Servers)),
		view: newView(m, old.view, t.mu.lost, time.Now()), replaced: make(chan struct{}),
	}
	used := make(map[string]bool, len(m.Servers))
	for i := range m.Servers {
		if s := &m.Servers[i]; !s.Dead {
			used[s.Addr] = true
			next.clients[i] = t.clientLocked(s.Addr, m.Epoch)
		}
	}
	for w := range t.mu.walks {
		w.replacedLocked(old, next)
	}
	t.routing.Store(next)
	close(old.replaced)
	for addr, c := range t.mu.clients {
		if !used[addr] && !m.Epoch.Before(c.named) {
			delete(t.mu.clients, addr)
			t.running.Go(func() { _ = c.Close() }) // returns nil
		}
	}
}

// adopt takes a map that somebody has sent, if it is newer than what there is.
func (t *Table) adopt(m *slots.Map) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.mu.closed && t.routing.Load().m.Epoch.Before(m.Epoch) {
		t.routeLocked(m)
	}
}

// reached is a server with a table's connections to it.
type reached struct {
	*memcache.Client
	named slots.Epoch // the last map that is known to name the server
}

// client returns the client of a server that a map of an epoch names; nil once the
// table is closed.
func (t *Table) client(addr string, named slots.Epoch) *memcache.Client {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.closed {
		return nil
	}
	return t.clientLocked(addr, named)
}

func (t *Table) clientLocked(addr string, named slots.Epoch) *memcache.Client {
	c := t.mu.clients[addr]
	if c == nil {
		c = &reached{Client: memcache.NewClient(addr, t.opts.client())}
		t.mu.clients[addr] = c
	}
	if c.named.Before(named) {
		c.named = named
	}
	return c.Client
}
