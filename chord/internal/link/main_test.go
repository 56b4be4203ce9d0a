package link

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/torc-dht/torc/chord/internal/msg"
	"github.com/torc-dht/torc/chord/internal/place"
	"github.com/torc-dht/torc/chord/internal/ring"
	"github.com/torc-dht/torc/internal/cluster"
)

func TestMain(m *testing.M) {
	if os.Getenv(nodeEnv) != "" {
		beNode(os.Args[1:])
		return
	}
	goleak.VerifyTestMain(m)
}

// patience is far more than anything takes that is waited for.
const patience = 20 * time.Second

// station is a mesh with what belongs to it.
type station struct {
	*Mesh
	ref    ring.Ref
	events *events
	shut   func() // ends it; more than once is once
}

// theRing is the ring ID in tests.
const theRing = 77

func refOf(id int64, boot uint64, addr string) ring.Ref {
	return ring.Ref{Place: place.Circle(8).Of(big.NewInt(id)), Boot: boot, Addr: addr}
}

func listen(t testing.TB, addr string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// open serves node id on l until the test ends.
func open(t testing.TB, id int64, l net.Listener, change ...func(*Config)) *station {
	t.Helper()
	s := &station{ref: refOf(id, uint64(1000+id), l.Addr().String()), events: newEvents()}
	c := Config{Ring: theRing, Bits: 8, Replicas: 1, Self: s.ref, Calls: answers{}}
	for _, f := range change {
		f(&c)
	}
	s.ref = c.Self
	in := make(chan Event)
	c.Events = in
	s.Mesh = NewMesh(c)
	var loops sync.WaitGroup
	loops.Go(func() {
		if err := s.Serve(l); err != nil {
			t.Error(err)
		}
	})
	ended := make(chan struct{})
	loops.Go(func() { s.events.collect(in, ended) })
	s.shut = sync.OnceFunc(func() {
		s.Close()
		close(ended)
		loops.Wait()
	})
	t.Cleanup(s.shut)
	return s
}

// start is open on a free port.
func start(t testing.TB, id int64, change ...func(*Config)) *station {
	t.Helper()
	return open(t, id, listen(t, "127.0.0.1:0"), change...)
}

// events are what has come of a mesh.
type events struct {
	mu       sync.Mutex
	changed  *sync.Cond
	held     bool // nothing is taken
	others   []Event
	times    []time.Time // of others
	last     time.Time   // of the one that was awaited last
	messages []msg.Message
	from     map[ring.Ref]int // how many messages
}

func newEvents() *events {
	e := &events{from: map[ring.Ref]int{}}
	e.changed = sync.NewCond(&e.mu)
	return e
}

func (e *events) collect(in <-chan Event, ended <-chan struct{}) {
	for {
		e.mu.Lock()
		for e.held {
			e.changed.Wait()
		}
		e.mu.Unlock()
		select {
		case one := <-in:
			e.mu.Lock()
			if r, ok := one.(Received); ok {
				e.messages = append(e.messages, r.Msgs...)
				e.from[r.From] += len(r.Msgs)
			} else {
				e.others, e.times = append(e.others, one), append(e.times, time.Now())
			}
			e.changed.Broadcast()
			e.mu.Unlock()
		case <-ended:
			return
		}
	}
}

// hold has the loop take nothing, until it is let go.
func (e *events) hold(held bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.held = held
	e.changed.Broadcast()
}

// until waits until cond, called with the lock, is true.
func (e *events) until(t testing.TB, what string, cond func() bool) {
	t.Helper()
	late := false
	timer := time.AfterFunc(patience, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		late = true
		e.changed.Broadcast()
	})
	defer timer.Stop()
	e.mu.Lock()
	defer e.mu.Unlock()
	for !cond() {
		if late {
			t.Fatalf("%s: it didn't come; what did: %v, %d messages", what, e.others, len(e.messages))
		}
		e.changed.Wait()
	}
}

// await takes the first event that is like, and all before it.
func await[E Event](t testing.TB, e *events, like func(E) bool) (found E) {
	t.Helper()
	e.until(t, fmt.Sprintf("%T", found), func() bool {
		i := slices.IndexFunc(e.others, func(one Event) bool {
			is, ok := one.(E)
			if ok = ok && (like == nil || like(is)); ok {
				found = is
			}
			return ok
		})
		if i < 0 {
			return false
		}
		e.last = e.times[i]
		e.others, e.times = slices.Delete(e.others, 0, i+1), slices.Delete(e.times, 0, i+1)
		return true
	})
	return found
}

// take returns the next n messages.
func (e *events) take(t testing.TB, n int) (ms []msg.Message) {
	t.Helper()
	e.until(t, fmt.Sprint(n, " messages"), func() bool {
		if len(e.messages) < n {
			return false
		}
		ms, e.messages = e.messages[:n:n], e.messages[n:]
		return true
	})
	return ms
}

// rest are the events that came and were not awaited.
func (e *events) rest() []Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.others)
}

// eventually waits until cond, which is called again and again, is true.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	cluster.Eventually(t, patience, what, func() error {
		if !cond() {
			return errors.New("not yet")
		}
		return nil
	})
}

// acks are messages that can be told apart.
func acks(from, n uint64) (ms []msg.Message) {
	for i := range n {
		ms = append(ms, &msg.Ack{Upto: from + i})
	}
	return ms
}

func checkAcks(t testing.TB, ms []msg.Message, from uint64) {
	t.Helper()
	for i, m := range ms {
		if ack, ok := m.(*msg.Ack); !ok || ack.Upto != from+uint64(i) {
			t.Fatalf("message %d is %+v, want number %d", i, m, from+uint64(i))
		}
	}
}

func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// answers answer calls.
type answers struct {
	status   Status
	resolved Resolved
	err      error
	called   func(string)
}

func (a answers) call(what string) error {
	if a.called != nil {
		a.called(what)
	}
	return a.err
}

func (a answers) Status(context.Context) (Status, error) { return a.status, a.call("status") }
func (a answers) Resolve(_ context.Context, p place.Place) (Resolved, error) {
	return a.resolved, a.call("resolve " + p.String())
}
func (a answers) Leave(context.Context) error { return a.call("leave") }
func (a answers) Fail(context.Context) error  { return a.call("fail") }

// nodeEnv makes this program a node in a process of its own.
const nodeEnv = "TORC_CHORD_LINK_TEST_NODE"

// pingEvery is how often a node in a process of its own sends something.
const pingEvery = 50 * time.Millisecond

// beNode is one that prints what happens to it, and sends queries back. To the others
// it sends something now and then.
//
//	ID BOOT ADDR [ID BOOT ADDR]...
func beNode(args []string) {
	var refs []ring.Ref
	for ; len(args) > 0; args = args[3:] {
		var id int64
		var boot uint64
		_, err := fmt.Sscan(args[0], &id)
		if _, err2 := fmt.Sscan(args[1], &boot); cmp.Or(err, err2) != nil {
			panic(cmp.Or(err, err2))
		}
		refs = append(refs, refOf(id, boot, args[2]))
	}
	l, err := net.Listen("tcp", refs[0].Addr)
	if err != nil {
		panic(err)
	}
	in := make(chan Event, 64)
	m := NewMesh(Config{Ring: theRing, Bits: 8, Replicas: 1, Self: refs[0], Calls: answers{}, Events: in})
	go func() {
		for range time.Tick(pingEvery) {
			for _, other := range refs[1:] {
				m.Send(other, &msg.Ping{})
			}
		}
	}()
	go func() {
		for e := range in {
			switch e := e.(type) {
			case Up:
				fmt.Println("up", e.Peer.Place)
			case Down:
				fmt.Println("down", e.Peer.Place, e.Refused)
			case Received:
				for _, one := range e.Msgs {
					if _, is := one.(*msg.Query); is {
						m.Send(e.From, one)
					}
				}
			}
		}
	}()
	fmt.Println("listening")
	if err := m.Serve(l); err != nil {
		panic(err)
	}
}

var errTest = errors.New("not today")
