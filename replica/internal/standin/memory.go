package standin

import (
	"sync"
	"time"

	"github.com/torc-dht/torc/replica/internal/msg"
)

// memory carries operations out, each once.
type memory struct {
	mu struct {
		sync.Mutex
		entries map[string]entry
		seq     uint64
		writes  map[string]int // carried out, by key
		clients map[uint64]*record
	}
}

type entry struct {
	value   []byte
	version msg.Version
	expires time.Time // zero: never
}

// record is what is remembered of a client's operations.
type record struct {
	acked   uint64
	results map[uint64]msg.Result
}

func newMemory() *memory {
	m := new(memory)
	m.mu.entries = make(map[string]entry)
	m.mu.writes = make(map[string]int)
	m.mu.clients = make(map[uint64]*record)
	return m
}

func (m *memory) do(op *msg.Op) msg.Result {
	m.mu.Lock()
	defer m.mu.Unlock()
	if op.Kind == msg.Get || op.ID.Client == 0 {
		return m.applyLocked(op)
	}
	c := m.mu.clients[op.ID.Client]
	if c == nil {
		c = &record{results: make(map[uint64]msg.Result)}
		m.mu.clients[op.ID.Client] = c
	}
	for ; c.acked < op.ID.Acked; c.acked++ {
		delete(c.results, c.acked+1)
	}
	if r, done := c.results[op.ID.Seq]; done {
		return r
	}
	if op.ID.Seq <= c.acked {
		return msg.Result{Status: msg.Repeated}
	}
	r := m.applyLocked(op)
	c.results[op.ID.Seq] = r
	return r
}

func (m *memory) applyLocked(op *msg.Op) msg.Result {
	old, found := m.mu.entries[op.Key]
	if found && !old.expires.IsZero() && !time.Now().Before(old.expires) {
		delete(m.mu.entries, op.Key)
		old, found = entry{}, false
	}
	r := msg.Result{Status: msg.OK, Found: found, Old: old.value, OldVersion: old.version}
	switch {
	case op.Kind == msg.Put && op.Cond == msg.IfAbsent && found:
		r.Status = msg.Exists
	case !found && (op.Kind != msg.Put || op.Cond == msg.IfPresent || op.Cond == msg.IfVersion):
		r.Status = msg.NotFound
	case op.Kind == msg.Put && op.Cond == msg.IfVersion && old.version != op.Version:
		r.Status = msg.Conflict
	case op.Kind == msg.Put:
		m.mu.seq++
		m.mu.writes[op.Key]++
		r.Version = msg.Version{Epoch: 1, Seq: m.mu.seq}
		e := entry{value: op.Value, version: r.Version}
		if op.TTL > 0 {
			e.expires = time.Now().Add(op.TTL)
		}
		m.mu.entries[op.Key] = e
	case op.Kind == msg.Delete:
		m.mu.writes[op.Key]++
		delete(m.mu.entries, op.Key)
	}
	return r
}

// stats returns how many keys there are, and the bytes of their values.
func (m *memory) stats() (keys, bytes uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.mu.entries {
		bytes += uint64(len(e.value))
	}
	return uint64(len(m.mu.entries)), bytes
}
