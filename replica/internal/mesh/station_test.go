package mesh

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/torc-dht/torc/internal/cluster"
	"github.com/torc-dht/torc/replica/internal/msg"
)

// patience is how long a test waits for what has to come.
const patience = 20 * time.Second

// The test binary is a node when this is set.
const nodeEnv = "MESH_TEST_NODE"

func TestMain(m *testing.M) {
	if os.Getenv(nodeEnv) != "" {
		beNode(os.Args[1:])
		os.Exit(1)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if left := cluster.Children(); code == 0 && len(left) > 0 {
			fmt.Println("mesh: the tests left processes behind:", strings.Join(left, ", "))
			code = 1
		}
		os.Exit(code)
	}))
}

// station is a node as a server has one: a mesh, and a listener that hands it what
// begins with the preface.
type station struct {
	*Mesh
	listener net.Listener
	events   *events
	log      *logText

	serving sync.WaitGroup
}

// listenersFor makes n listeners, and their addresses, sorted.
func listenersFor(t testing.TB, n int) ([]net.Listener, []string) {
	t.Helper()
	ls := make([]net.Listener, n)
	for i := range ls {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		ls[i] = l
	}
	slices.SortFunc(ls, func(a, b net.Listener) int { return strings.Compare(a.Addr().String(), b.Addr().String()) })
	addrs := make([]string, n)
	for i, l := range ls {
		addrs[i] = l.Addr().String()
	}
	return ls, addrs
}

// open makes the station of slot self, whose mesh is not started. set may change
// what it is made of.
func open(t testing.TB, l net.Listener, self int, addrs []string, set ...func(*Config)) *station {
	s := &station{listener: l, events: newEvents(), log: new(logText)}
	c := Config{Self: self, Addrs: addrs, Events: s.events.add, Log: slog.New(slog.NewTextHandler(s.log, nil))}
	for _, f := range set {
		f(&c)
	}
	if c.TLS != nil {
		s.listener = tls.NewListener(l, c.TLS)
	}
	s.Mesh = New(c)
	s.serving.Go(s.serve)
	t.Cleanup(func() {
		s.shut()
		if t.Failed() {
			t.Logf("log of slot %d:\n%s", self, s.log)
		}
	})
	return s
}

func (s *station) shut() {
	_ = s.listener.Close()
	s.Close()
	s.serving.Wait()
}

func (s *station) serve() {
	for {
		c, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.serving.Go(func() {
			r := bufio.NewReader(c)
			_ = c.SetDeadline(time.Now().Add(time.Second))
			head := make([]byte, len(Preface))
			if _, err := io.ReadFull(r, head); err != nil || string(head) != Preface {
				_ = c.Close()
				return
			}
			s.Accept(c, r)
		})
	}
}

// openAll makes n stations that are connected.
func openAll(t testing.TB, n int, set ...func(*Config)) []*station {
	t.Helper()
	ls, addrs := listenersFor(t, n)
	all := make([]*station, n)
	for i := range all {
		all[i] = open(t, ls[i], i, addrs, set...)
	}
	for _, s := range all {
		s.Start()
	}
	for i, s := range all {
		for j := range all {
			if i != j {
				s.events.await(t, Connected{j})
			}
		}
	}
	return all
}

// events keeps what a mesh reports until a test takes it: messages, and the rest.
type events struct {
	mu       sync.Mutex
	changed  chan struct{}
	states   []Event
	times    []time.Time // of states
	messages []*msg.Message
	batches  int
	sink     func([]*msg.Message) // takes messages in place of messages, if not nil
}

func newEvents() *events { return &events{changed: make(chan struct{})} }

func (q *events) add(e Event) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if r, ok := e.(Received); ok {
		q.batches++
		if q.sink != nil {
			q.sink(r.Messages)
			return
		}
		q.messages = append(q.messages, r.Messages...)
	} else {
		q.states = append(q.states, e)
		q.times = append(q.times, time.Now())
	}
	close(q.changed)
	q.changed = make(chan struct{})
}

// until returns when look, called with q locked, returns true.
func (q *events) until(t testing.TB, what string, look func() bool) {
	t.Helper()
	deadline := time.After(patience)
	for {
		q.mu.Lock()
		ok, changed := look(), q.changed
		q.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("no %s", what)
		}
	}
}

// await takes states until e, and returns when that came.
func (q *events) await(t testing.TB, e Event) (at time.Time) {
	t.Helper()
	q.until(t, fmt.Sprintf("%#v", e), func() bool {
		i := slices.IndexFunc(q.states, func(s Event) bool { return s == e })
		if i < 0 {
			return false
		}
		at = q.times[i]
		q.states, q.times = slices.Delete(q.states, i, i+1), slices.Delete(q.times, i, i+1)
		return true
	})
	return at
}

// forget drops the states that came so far.
func (q *events) forget() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.states, q.times = nil, nil
}

// none fails if a state like e came.
func (q *events) none(t testing.TB, e Event) {
	t.Helper()
	q.mu.Lock()
	defer q.mu.Unlock()
	if slices.Contains(q.states, e) {
		t.Errorf("%#v was reported", e)
	}
}

// to has f called with all messages from now on.
func (q *events) to(f func([]*msg.Message)) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.sink = f
}

// take returns the next n messages.
func (q *events) take(t testing.TB, n int) (ms []*msg.Message) {
	t.Helper()
	q.until(t, strconv.Itoa(n)+" messages", func() bool {
		if len(q.messages) < n {
			return false
		}
		ms, q.messages = q.messages[:n:n], q.messages[n:]
		return true
	})
	return ms
}

// logText is a log that is looked at.
type logText struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logText) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// numbered are n messages that can be told apart, with size bytes in them.
func numbered(from, n, size int) []*msg.Message {
	ms := make([]*msg.Message, n)
	for i := range ms {
		ms[i] = &msg.Message{Kind: msg.KindChunk, Index: uint64(from + i), Data: bytes.Repeat([]byte{byte(from + i)}, size)}
	}
	return ms
}

func checkNumbered(t testing.TB, ms []*msg.Message, from, size int) {
	t.Helper()
	for i, m := range ms {
		if m.Index != uint64(from+i) || len(m.Data) != size || size > 0 && (m.Data[0] != byte(m.Index) || m.Data[size-1] != byte(m.Index)) {
			t.Fatalf("message %d is number %d with %d bytes, want number %d with %d", i, m.Index, len(m.Data), from+i, size)
		}
	}
}

// beNode is a node in a process of its own, which prints what happens to it:
//
//	SLOT ADDR...
func beNode(args []string) {
	self, err := strconv.Atoi(args[0])
	if err != nil {
		panic(err)
	}
	addrs := args[1:]
	l, err := net.Listen("tcp", addrs[self])
	if err != nil {
		panic(err)
	}
	s := &station{listener: l}
	s.Mesh = New(Config{Self: self, Addrs: addrs, Events: func(e Event) {
		switch e := e.(type) {
		case Connected:
			fmt.Println("connected", e.Slot)
		case Disconnected:
			fmt.Println("disconnected", e.Slot, e.Refused)
		case Received:
			s.Send(e.Slot, e.Messages) // an echo
		}
	}})
	s.Start()
	fmt.Println("listening")
	s.serve()
}

// process runs the node of slot self on host, and waits until it listens.
func process(t testing.TB, host *cluster.Host, self int, addrs []string) *cluster.Proc {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p, err := host.Start(t.Context(), cluster.Spec{
		Name: "node", Path: exe, Args: append([]string{strconv.Itoa(self)}, addrs...), Env: []string{nodeEnv + "=1"}, Addr: addrs[self],
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.WaitLine(t.Context(), time.Time{}, func(s string) bool { return s == "listening" }); err != nil {
		t.Fatal(err)
	}
	return p
}

// withTLS has every listener and every call speak TLS.
func withTLS(c *tls.Config) func(*Config) { return func(m *Config) { m.TLS = c } }
