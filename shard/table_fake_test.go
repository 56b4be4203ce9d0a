package shard

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/torc-dht/torc/internal/demux"
	"github.com/torc-dht/torc/memcache"
	"github.com/torc-dht/torc/shard/internal/link"
	pb "github.com/torc-dht/torc/shard/internal/link/shardpb"
	"github.com/torc-dht/torc/shard/slots"
	"github.com/torc-dht/torc/store"
)

// fakeMaster gives out the maps that a test makes.
type fakeMaster struct {
	addr    string
	service *link.Service
	stop    func()
}

func newFakeMaster(t testing.TB) *fakeMaster {
	t.Helper()
	l := listen(t)
	m := &fakeMaster{addr: l.Addr().String()}
	m.service = link.NewService(link.ServiceConfig{Boot: 1, Master: fakeCalls{}, Events: make(chan link.Event)})
	var served sync.WaitGroup
	served.Go(func() { _ = m.service.Serve(l) })
	m.stop = sync.OnceFunc(func() { m.service.Close(); served.Wait() })
	t.Cleanup(m.stop)
	return m
}

type fakeCalls struct{}

var errFake = errors.New("this is a fake")

func (fakeCalls) Status(context.Context) (*pb.MasterStatus, error) { return nil, errFake }
func (fakeCalls) Forget(context.Context, string) error             { return errFake }
func (fakeCalls) Rebalance(context.Context) error                  { return errFake }

// fakeServer is a store that says what a test wants it to. It gives out maps, too.
type fakeServer struct {
	addr    string
	service *link.Service
	store   *store.Store
	handler memcache.Handler
	stop    func()

	mu struct {
		sync.Mutex
		// answer, if not nil, is asked first, and says whether it has answered.
		answer func(w *memcache.ResponseWriter, r *memcache.Request) bool
		ops    []memcache.OpID // of writes that came
		asked  int             // calls that came
	}
}

func newFakeServer(t testing.TB) *fakeServer {
	t.Helper()
	l := listen(t)
	s := &fakeServer{addr: l.Addr().String(), store: store.New(store.Config{MaxBytes: 16 << 20})}
	s.handler = memcache.NewHandler(s.store)
	s.service = link.NewService(link.ServiceConfig{Boot: 2, Server: fakeServerCalls{s}, Events: make(chan link.Event)})
	split := demux.New(l, demux.Config{})
	data := &memcache.Server{Handler: memcache.HandlerFunc(s.serve), ErrorLog: log.New(io.Discard, "", 0)}
	var served sync.WaitGroup
	served.Go(func() { _ = split.Serve() })
	served.Go(func() { _ = s.service.Serve(split.GRPC()) })
	served.Go(func() { _ = data.Serve(split.Data()) })
	s.stop = sync.OnceFunc(func() {
		s.service.Close()
		_ = data.Close()
		_ = split.Close()
		served.Wait()
	})
	t.Cleanup(s.stop)
	return s
}

type fakeServerCalls struct{ s *fakeServer }

func (c fakeServerCalls) Status(context.Context) (*pb.ServerStatus, error) {
	st := c.s.store.Stats()
	return &pb.ServerStatus{Keys: st.Items, Bytes: st.Bytes}, nil
}

func (s *fakeServer) serve(w *memcache.ResponseWriter, r *memcache.Request) {
	switch r.Op {
	case memcache.OpGet, memcache.OpSet, memcache.OpDelete:
		s.mu.Lock()
		s.mu.asked++
		if id, ok := r.OpID(); ok {
			s.mu.ops = append(s.mu.ops, id)
		}
		answer := s.mu.answer
		s.mu.Unlock()
		if answer != nil && answer(w, r) {
			return
		}
	}
	s.handler.ServeMemcache(w, r)
}

// answers has f asked first from now on.
func (s *fakeServer) answers(f func(w *memcache.ResponseWriter, r *memcache.Request) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.answer = f
}

// complains has each call answered with a line.
func (s *fakeServer) complains(line string) {
	s.answers(func(w *memcache.ResponseWriter, _ *memcache.Request) bool {
		w.Error(line)
		return true
	})
}

// hangs has calls wait until the test ends.
func (s *fakeServer) hangs(t testing.TB) {
	s.answers(func(w *memcache.ResponseWriter, _ *memcache.Request) bool {
		<-t.Context().Done()
		w.Error("SERVER_ERROR unavailable: the test has ended")
		return true
	})
}

// came returns how many calls have come, and the names of the writes among them.
func (s *fakeServer) came() (int, []memcache.OpID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.asked, append([]memcache.OpID(nil), s.mu.ops...)
}

// mapOf returns a map in which servers have equal shares of the slots, in turns, and
// the next one in turn is the backup.
func mapOf(counter uint64, servers ...*fakeServer) *slots.Map {
	m := slots.Empty(slots.Minimal, 2, 1)
	m.Epoch = slots.Epoch{Term: 7, Boot: 1, Counter: counter}
	for i, s := range servers {
		m.Servers = append(m.Servers, slots.Server{Addr: s.addr, Boot: slots.Boot(100 + i), Number: uint32(i + 1)})
	}
	for i := range m.Rows {
		m.Rows[i].Primary = int16(i % len(servers))
		if len(servers) > 1 {
			m.Rows[i].Set(int16((i+1)%len(servers)), slots.InSync)
		}
	}
	return m
}

// newTable makes a table of what a fake master says.
func newTable(t testing.TB, m *fakeMaster, o TableOptions) *Table {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // with a busy machine
	defer cancel()
	table, err := New(ctx, []string{m.addr}, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = table.Close() })
	return table
}

// await waits until ok.
func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not after 10 s: %s", what)
		}
	}
}

// unused returns an address where nobody listens.
func unused(t testing.TB) string {
	l := listen(t)
	defer l.Close()
	return l.Addr().String()
}

// mute listens and says nothing.
func mute(t testing.TB) string {
	l := listen(t)
	var served sync.WaitGroup
	var conns []net.Conn
	served.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns = append(conns, c)
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		served.Wait()
		for _, c := range conns {
			_ = c.Close()
		}
	})
	return l.Addr().String()
}
