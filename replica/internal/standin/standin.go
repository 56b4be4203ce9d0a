package standin

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/torc-dht/torc/replica/internal/msg"
	"github.com/torc-dht/torc/replica/internal/web"
)

// Table is the servers, and what they hold.
type Table struct {
	Servers []*Server

	t      testing.TB
	memory *memory
	tls    *tls.Config

	mu struct {
		sync.Mutex
		degraded uint64
		leader   int
		view     uint64
	}
}

// Server is one of the servers.
type Server struct {
	Addr string

	table *Table
	place int
	plain bool // connections are as they come: faults of theirs can't be had

	mu struct {
		sync.Mutex
		stop   func()        // nil: it is down
		thawed chan struct{} // closed unless it is frozen
		lose   int           // answers to be lost
		refuse bool
		label  uint64
		before func(op *msg.Op)
		ops    []msg.OpID // that came, of writes
		asked  int        // operations that came
	}
}

// New starts a table of n servers, of which the first leads, until the test ends.
func New(t testing.TB, n int) *Table { return start(t, n, nil, false) }

// NewTLS is New over TLS.
func NewTLS(t testing.TB, n int, config *tls.Config) *Table { return start(t, n, config, false) }

// NewPlain is New with connections that have no faults, and cost nothing more than
// those of a server.
func NewPlain(t testing.TB, n int) *Table { return start(t, n, nil, true) }

func start(t testing.TB, n int, config *tls.Config, plain bool) *Table {
	t.Helper()
	table := &Table{t: t, memory: newMemory(), tls: config}
	table.mu.view = 1
	for i := range n {
		s := &Server{table: table, place: i, plain: plain}
		s.mu.thawed = make(chan struct{})
		close(s.mu.thawed)
		table.Servers = append(table.Servers, s)
		s.Start()
		t.Cleanup(s.Kill)
	}
	return table
}

// Addrs returns the servers' addresses.
func (t *Table) Addrs() []string {
	var addrs []string
	for _, s := range t.Servers {
		addrs = append(addrs, s.Addr)
	}
	return addrs
}

// URL returns the table's URL.
func (t *Table) URL() string { return "replica://" + strings.Join(t.Addrs(), ",") }

// Writes returns how often a key was written.
func (t *Table) Writes(key string) int {
	t.memory.mu.Lock()
	defer t.memory.mu.Unlock()
	return t.memory.mu.writes[key]
}

// Degrade labels all answers from now on with a degraded epoch; 0: none.
func (t *Table) Degrade(epoch uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.degraded = epoch
	t.mu.view++
}

// Lead makes a server the leader; -1: none is.
func (t *Table) Lead(place int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.leader = place
}

// Change makes a new view.
func (t *Table) Change() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.view++
}

// Start starts the server, if it is down, at the address that it had before.
func (s *Server) Start() {
	s.table.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.stop != nil {
		return
	}
	l, err := listen(s.Addr)
	if err != nil {
		s.table.t.Fatal(err)
	}
	if s.Addr == "" {
		s.Addr = l.Addr().String()
	}
	door := &door{Listener: l, server: s}
	door.mu.conns = make(map[*conn]struct{})
	serve := web.Server{Backend: backend{s}, Leader: s.leader, Members: s.status}
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() {
		defer close(over)
		var l net.Listener = door
		if s.plain {
			l = door.Listener
		}
		if s.table.tls != nil {
			l = tls.NewListener(l, s.table.tls)
		}
		if err := serve.Serve(ctx, l); err != nil && !door.killed() {
			s.table.t.Errorf("%s: %v", s.Addr, err)
		}
	}()
	s.mu.stop = func() {
		door.kill()
		cancel()
		<-over
	}
}

// listen listens at an address, or a free one if that is "". It may take a moment
// until the system gives one up that was in use.
func listen(addr string) (l net.Listener, err error) {
	if addr == "" {
		return net.Listen("tcp", "127.0.0.1:0")
	}
	for range 200 {
		if l, err = net.Listen("tcp", addr); err == nil {
			return l, nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return nil, err
}

// Kill ends the server at once: connections are reset, answers on their way lost.
func (s *Server) Kill() {
	s.Thaw()
	s.mu.Lock()
	stop := s.mu.stop
	s.mu.stop = nil
	s.mu.Unlock()
	if stop != nil {
		stop()
	}
}

// Freeze stops the server as SIGSTOP does: it takes connections and requests, and is
// silent.
func (s *Server) Freeze() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.thawed = make(chan struct{})
}

// Thaw lets a frozen server go on.
func (s *Server) Thaw() {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.mu.thawed:
	default:
		close(s.mu.thawed)
	}
}

// LoseAnswers breaks the connection off in place of each of the next n answers,
// after the request was carried out.
func (s *Server) LoseAnswers(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.lose = n
}

// Refuse makes the server say that it can't serve, or that it can again.
func (s *Server) Refuse(refuse bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.refuse = refuse
}

// Label labels this server's answers with a degraded epoch; 0: as the table's.
func (s *Server) Label(epoch uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.label = epoch
}

// Before has each operation that comes begin with a call of before; nil: none.
func (s *Server) Before(before func(op *msg.Op)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.before = before
}

// Asked returns how many operations have come.
func (s *Server) Asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.asked
}

// Writes returns the IDs of the writes that have come, in order.
func (s *Server) Writes() []msg.OpID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.mu.ops)
}

func (s *Server) leader() string {
	s.table.mu.Lock()
	defer s.table.mu.Unlock()
	if s.table.mu.leader < 0 {
		return ""
	}
	return s.table.Servers[s.table.mu.leader].Addr
}

// status is what the server tells of the table, as JSON.
func (s *Server) status() []byte {
	t := s.table
	keys, bytes := t.memory.stats()
	leader := s.leader()
	t.mu.Lock()
	defer t.mu.Unlock()
	var members []string
	for _, m := range t.Servers {
		state := "follower"
		if m.Addr == leader {
			state = "leader"
		}
		members = append(members, fmt.Sprintf(`{"addr":%q,"state":%q,"lag":0,"heard":0}`, m.Addr, state))
	}
	return fmt.Appendf(nil, `{"self":%q,"epoch":{"number":%d,"founder":"abc"},"degraded":%v,"serving":%v,"view":%d,"members":[%s],"leader":%q,"keys":%d,"bytes":%d}`,
		s.Addr, 1+t.mu.degraded, t.mu.degraded > 0, leader != "", t.mu.view, strings.Join(members, ","), leader, keys, bytes)
}

// backend is a server's.
type backend struct{ *Server }

func (s backend) Do(op *msg.Op) (msg.Result, error) {
	s.mu.Lock()
	s.mu.asked++
	if op.Kind != msg.Get {
		s.mu.ops = append(s.mu.ops, op.ID)
	}
	before, refuse, label := s.mu.before, s.mu.refuse, s.mu.label
	s.mu.Unlock()
	if before != nil {
		before(op)
	}
	if refuse {
		return msg.Result{}, web.ErrUnavailable
	}
	r := s.table.memory.do(op)
	s.table.mu.Lock()
	r.Degraded = cmp.Or(label, s.table.mu.degraded)
	s.table.mu.Unlock()
	return r, nil
}
