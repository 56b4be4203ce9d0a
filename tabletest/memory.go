package tabletest

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/torc-dht/torc"
)

// MaxValue is the largest value that a [Memory] takes, in bytes.
const MaxValue = 1 << 20

// Memory is a table in this process's memory, as simple as one can be: a map
// under a lock. It is what the suite's answers are compared with, and stands in
// for a real table in tests of what is built on one.
type Memory struct {
	closed chan struct{}

	mu struct {
		sync.Mutex
		entries map[string]memoryEntry
		seq     uint64 // of the last write
		view    torc.View
		changed chan struct{} // closed when view is replaced
	}
}

type memoryEntry struct {
	torc.Entry
	expires time.Time // zero if it doesn't
}

var _ torc.Table = (*Memory)(nil)

// MemoryAddr is the address of a new Memory's one member.
const MemoryAddr = "memory:1"

// NewMemory returns an empty table with one member, at MemoryAddr.
func NewMemory() *Memory {
	m := &Memory{closed: make(chan struct{})}
	m.mu.entries = make(map[string]memoryEntry)
	m.mu.changed = make(chan struct{})
	m.SetMembers(torc.Member{Addr: MemoryAddr, Weight: 1, State: torc.Up, Since: time.Now()})
	return m
}

// SetMembers makes the table say that these are its members, in a view with the
// next version. Entries are not concerned.
func (m *Memory) SetMembers(members ...torc.Member) {
	members = slices.SortedFunc(slices.Values(members), func(a, b torc.Member) int { return strings.Compare(a.Addr, b.Addr) })
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.view = torc.View{Generation: 1, Version: m.mu.view.Version + 1, Members: members}
	close(m.mu.changed)
	m.mu.changed = make(chan struct{})
}

// Get implements torc.Table.
func (m *Memory) Get(ctx context.Context, key string) (torc.Entry, error) {
	if err := m.ready(ctx, key); err != nil {
		return torc.Entry{}, failed("get", key, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.findLocked(key)
	if !ok {
		return torc.Entry{}, failed("get", key, torc.ErrNotFound)
	}
	return torc.Entry{Value: append([]byte{}, e.Value...), Version: e.Version}, nil
}

// Put implements torc.Table.
func (m *Memory) Put(ctx context.Context, key string, value []byte, opts ...torc.PutOption) error {
	o, err := torc.ResolvePut(opts)
	if err == nil {
		err = m.ready(ctx, key)
	}
	if err == nil && len(value) > MaxValue {
		err = fmt.Errorf("%w: %d bytes, at most %d", torc.ErrTooLarge, len(value), MaxValue)
	}
	if err != nil {
		return failed("put", key, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	old, ok := m.findLocked(key)
	switch {
	case ok && o.Cond == torc.CondAbsent:
		return failed("put", key, torc.ErrExists)
	case !ok && (o.Cond == torc.CondPresent || o.Cond == torc.CondVersion):
		return failed("put", key, torc.ErrNotFound)
	case o.Cond == torc.CondVersion && old.Version != o.Version:
		return failed("put", key, torc.ErrConflict)
	}
	m.mu.seq++
	e := memoryEntry{Entry: torc.Entry{Value: bytes.Clone(value), Version: torc.Version{Epoch: 1, Seq: m.mu.seq}}}
	if o.TTL > 0 {
		e.expires = time.Now().Add(o.TTL)
	}
	m.mu.entries[key] = e
	return nil
}

// Delete implements torc.Table.
func (m *Memory) Delete(ctx context.Context, key string) error {
	if err := m.ready(ctx, key); err != nil {
		return failed("delete", key, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.findLocked(key); !ok {
		return failed("delete", key, torc.ErrNotFound)
	}
	delete(m.mu.entries, key)
	return nil
}

// Locate implements torc.Table: every key is at the first member that is Up.
func (m *Memory) Locate(ctx context.Context, key string) (torc.Placement, error) {
	if err := m.ready(ctx, key); err != nil {
		return torc.Placement{}, failed("locate", key, err)
	}
	view, _ := m.view()
	p := torc.Placement{Generation: view.Generation, Version: view.Version}
	for _, member := range view.Members {
		if member.State == torc.Up {
			p.Owners = []torc.Member{member}
			return p, nil
		}
	}
	return torc.Placement{}, failed("locate", key, fmt.Errorf("%w: no member is up", torc.ErrUnavailable))
}

// Members implements torc.Table.
func (m *Memory) Members(ctx context.Context) iter.Seq2[torc.View, error] {
	return func(yield func(torc.View, error) bool) {
		for ctx.Err() == nil {
			if m.isClosed() {
				yield(torc.View{}, failed("members", "", torc.ErrClosed))
				return
			}
			view, changed := m.view()
			if !yield(view, nil) {
				return
			}
			select {
			case <-changed:
			case <-m.closed:
			case <-ctx.Done():
			}
		}
	}
}

// Close implements torc.Table.
func (m *Memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.isClosed() {
		close(m.closed)
	}
	return nil
}

func (m *Memory) isClosed() bool {
	select {
	case <-m.closed:
		return true
	default:
		return false
	}
}

// view returns the present view and a channel closed when it no longer is.
func (m *Memory) view() (torc.View, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.view, m.mu.changed
}

// ready tells why a call can't be served, if it can't.
func (m *Memory) ready(ctx context.Context, key string) error {
	if m.isClosed() {
		return torc.ErrClosed
	}
	if err := torc.CheckKey(key); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", torc.ErrUnavailable, ctx.Err())
	}
	return nil
}

// findLocked returns the entry at key, if it is there and alive.
func (m *Memory) findLocked(key string) (memoryEntry, bool) {
	e, ok := m.mu.entries[key]
	if ok && !e.expires.IsZero() && !time.Now().Before(e.expires) {
		delete(m.mu.entries, key)
		return memoryEntry{}, false
	}
	return e, ok
}

func failed(op, key string, err error) error {
	return &torc.Error{Op: op, Key: key, Err: err}
}
