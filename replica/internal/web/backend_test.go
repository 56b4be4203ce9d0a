package web

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/torc-dht/torc/replica/internal/msg"
)

// TestMain fails if a test leaves a goroutine.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memory is a Backend that is a map.
type memory struct {
	// before, if there is one, is called with each operation first; an error of it
	// is the operation's.
	before func(op *msg.Op) error
	// degraded is the label of all answers.
	degraded uint64

	mu struct {
		sync.Mutex
		entries map[string]entry
		done    []*msg.Op // all that were carried out, if keep is set
		seq     uint64
	}
	keep bool
}

type entry struct {
	value   []byte
	version msg.Version
}

func (m *memory) Do(op *msg.Op) (msg.Result, error) {
	if m.before != nil {
		if err := m.before(op); err != nil {
			return msg.Result{}, err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.entries == nil {
		m.mu.entries = make(map[string]entry)
	}
	if m.keep {
		m.mu.done = append(m.mu.done, op)
	}
	old, found := m.mu.entries[op.Key]
	r := msg.Result{Status: msg.OK, Found: found, Old: old.value, OldVersion: old.version, Degraded: m.degraded}
	switch {
	case op.Key == "full" && op.Kind == msg.Put:
		r.Status = msg.Full
	case op.Key == "repeated":
		r.Status = msg.Repeated
	case op.Kind == msg.Put && op.Cond == msg.IfAbsent && found:
		r.Status = msg.Exists
	case !found && (op.Kind != msg.Put || op.Cond == msg.IfPresent || op.Cond == msg.IfVersion):
		r.Status = msg.NotFound
	case op.Kind == msg.Put && op.Cond == msg.IfVersion && old.version != op.Version:
		r.Status = msg.Conflict
	case op.Kind == msg.Put:
		m.mu.seq++
		r.Version = msg.Version{Epoch: 3, Seq: m.mu.seq}
		m.mu.entries[op.Key] = entry{op.Value, r.Version}
	case op.Kind == msg.Delete:
		delete(m.mu.entries, op.Key)
	}
	return r, nil
}

// operations returns what was carried out so far.
func (m *memory) operations() []*msg.Op {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.done
}

// serve has s serve on a free port until the test ends, and returns the address.
// What ends the server before is stop, which waits for it.
func serve(tb testing.TB, s *Server) (addr string, stop func()) {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	return l.Addr().String(), serveOn(tb, s, l)
}

func serveOn(tb testing.TB, s *Server, l net.Listener) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			tb.Errorf("Serve: %v", err)
		}
	})
	tb.Cleanup(stop)
	return stop
}

// dial connects to addr until the test ends. Nothing takes longer than a test may
// wait.
func dial(tb testing.TB, addr string) *net.TCPConn {
	tb.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return c.(*net.TCPConn)
}
