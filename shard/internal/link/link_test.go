package link

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"

	pb "github.com/torc-dht/torc/shard/internal/link/shardpb"
	"github.com/torc-dht/torc/shard/internal/msg"
	"github.com/torc-dht/torc/shard/slots"
)

// patience is how long tests wait for what has to come.
const patience = 20 * time.Second

// calls answers for a master and for a server.
type calls struct{}

func (calls) Status(context.Context) (*pb.MasterStatus, error) {
	return &pb.MasterStatus{Boot: 77}, nil
}

func (calls) Forget(_ context.Context, addr string) error {
	return errors.New(addr + " is alive")
}

func (calls) Rebalance(context.Context) error { return nil }

type serverCalls struct{}

func (serverCalls) Status(context.Context) (*pb.ServerStatus, error) {
	return &pb.ServerStatus{Keys: 5}, nil
}

func listen(t testing.TB, addr string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// started is a service that runs, and what its loop would be told.
type started struct {
	*Service
	addr   string
	events chan Event
}

// startAt serves at an address until the test ends.
func startAt(t testing.TB, l net.Listener, cfg ServiceConfig) *started {
	t.Helper()
	s := &started{addr: l.Addr().String(), events: make(chan Event, 64)}
	cfg.Events = s.events
	s.Service = NewService(cfg)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return s
}

func startServer(t testing.TB, boot slots.Boot) *started {
	return startAt(t, listen(t, "127.0.0.1:0"), ServiceConfig{Boot: boot, Server: serverCalls{}})
}

func startMaster(t testing.TB, boot slots.Boot) *started {
	return startAt(t, listen(t, "127.0.0.1:0"), ServiceConfig{Boot: boot, Master: calls{}})
}

var self = Peer{Addr: "127.0.0.1:9", Boot: 1}

func startPeers(t testing.TB, o Options) (*Peers, chan Event) {
	events := make(chan Event, 64)
	p := NewPeers(self, o, events)
	t.Cleanup(p.Close)
	return p, events
}

func startAttachment(t testing.TB, o Options, masters ...string) chan Event {
	events := make(chan Event, 64)
	a := NewAttachment(self, masters, o, events)
	t.Cleanup(a.Close)
	return events
}

// await returns the next event of a type, passing over attempts that failed.
func await[E Event](t testing.TB, events <-chan Event) E {
	t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case e := <-events:
			if wanted, ok := e.(E); ok {
				return wanted
			}
			switch e.(type) {
			case PeerFailed, MasterFailed:
			default:
				t.Fatalf("got %T %+v, want %T", e, e, *new(E))
			}
		case <-deadline:
			t.Fatalf("no %T", *new(E))
		}
	}
}

// awaitAck reads messages from a peer until one acknowledges up to n, and fails
// if any is out of order.
func awaitAck(t testing.TB, events <-chan Event, last *uint64, n uint64) {
	t.Helper()
	for *last < n {
		for _, m := range await[PeerMessages](t, events).Msgs {
			if ack := m.(*msg.Ack); ack.Upto != *last+1 {
				t.Fatalf("%d came after %d", ack.Upto, *last)
			}
			*last++
		}
	}
}

func TestPeersSendInOrder(t *testing.T) {
	t.Parallel()
	s := startServer(t, 2)
	p, events := startPeers(t, Options{})
	p.Set([]Peer{{s.addr, 2}})
	conn := await[PeerUp](t, events).Conn
	if conn.Boot != 2 || conn.Addr != s.addr {
		t.Errorf("%+v is up", conn)
	}
	if o := await[PeerOpened](t, s.events); o.From != self.Boot || o.Addr != self.Addr {
		t.Errorf("opened by %+v", o)
	}
	const n = 5000
	go func() {
		for i := range n {
			conn.Send(&msg.Ack{Upto: uint64(i + 1)})
		}
	}()
	var last uint64
	awaitAck(t, s.events, &last, n)
	p.Set(nil)
	await[PeerDown](t, events)
	await[PeerClosed](t, s.events)
}

func TestLongBatchesComeInParts(t *testing.T) {
	t.Parallel()
	s := startServer(t, 2)
	p, events := startPeers(t, Options{})
	p.Set([]Peer{{s.addr, 2}})
	conn := await[PeerUp](t, events).Conn
	await[PeerOpened](t, s.events)
	m := &msg.Batch{First: 10, Answered: 4}
	for i := range 40 {
		m.Items = append(m.Items, msg.Item{Seq: uint64(i + 10), Entry: msg.Entry{Key: "k", Value: make([]byte, 1<<20)}})
	}
	if !conn.Send(m) {
		t.Fatal("not sent")
	}
	next, parts := uint64(10), 0
	for next < 50 {
		for _, m := range await[PeerMessages](t, s.events).Msgs {
			b := m.(*msg.Batch)
			parts++
			if b.First != next || b.Answered != 4 {
				t.Fatalf("part %d: %d, want %d", parts, b.First, next)
			}
			for _, it := range b.Items {
				if it.Seq != next || len(it.Entry.Value) != 1<<20 {
					t.Fatalf("item %d has %d", next, it.Seq)
				}
				next++
			}
		}
	}
	if parts < 2 {
		t.Errorf("it came in %d parts", parts)
	}
}

func TestAnotherBootIsToldApart(t *testing.T) {
	t.Parallel()
	s := startServer(t, 2)
	p, events := startPeers(t, Options{})
	p.Set([]Peer{{s.addr, 3}})
	if r := await[PeerReplaced](t, events); r.Peer != 3 || r.By != 2 {
		t.Errorf("got %+v", r)
	}
	p.Set([]Peer{{s.addr, 2}})
	await[PeerUp](t, events)
	await[PeerOpened](t, s.events)
	s.SetBoot(4)
	await[PeerDown](t, events)
	if r := await[PeerReplaced](t, events); r.Peer != 2 || r.By != 4 {
		t.Errorf("got %+v", r)
	}
	await[PeerClosed](t, s.events)
}

func TestPeerThatComesAndGoes(t *testing.T) {
	t.Parallel()
	l := listen(t, "127.0.0.1:0")
	addr := l.Addr().String()
	l.Close()
	p, events := startPeers(t, Options{})
	p.Set([]Peer{{addr, 2}})
	if f := await[PeerFailed](t, events); !errors.Is(f.Err, ErrRefused) || f.Peer != 2 {
		t.Errorf("got %v", f)
	}
	s := startAt(t, listen(t, addr), ServiceConfig{Boot: 2, Server: serverCalls{}})
	former := await[PeerUp](t, events).Conn
	s.Close()
	await[PeerDown](t, events)
	startAt(t, listen(t, addr), ServiceConfig{Boot: 2, Server: serverCalls{}})
	conn := await[PeerUp](t, events).Conn
	conn.Reset(errors.New("it is silent"))
	if conn.Send(&msg.Ack{}) || former.Send(&msg.Ack{}) {
		t.Error("sent on a connection that is over")
	}
	if d := await[PeerDown](t, events); !strings.Contains(d.Err.Error(), "it is silent") {
		t.Errorf("got %v", d.Err)
	}
	await[PeerUp](t, events)
}

// Several that call as the same server are one after the other to the loop, in
// whatever order they come and go.
func TestLaterStreamEndsTheFormer(t *testing.T) {
	t.Parallel()
	s := startServer(t, 2)
	for range 4 {
		p, events := startPeers(t, Options{})
		go func() {
			for range events {
				continue
			}
		}()
		t.Cleanup(func() { p.Close(); close(events) })
		p.Set([]Peer{{s.addr, 2}})
	}
	for range 20 {
		await[PeerOpened](t, s.events)
		await[PeerClosed](t, s.events)
	}
}

// However often a connection breaks, what arrives of it is what was sent on it up
// to some message.
func TestNothingIsMissingInBetween(t *testing.T) {
	t.Parallel()
	s := startServer(t, 2)
	p, events := startPeers(t, Options{})
	p.Set([]Peer{{s.addr, 2}})
	const end = 1 << 60
	arrived := make(chan struct{})
	go func() {
		defer close(arrived)
		for last := uint64(0); last != end; {
			switch e := (<-s.events).(type) {
			case PeerOpened:
				last = 0
			case PeerMessages:
				for _, m := range e.Msgs {
					upto := m.(*msg.Ack).Upto
					if last != 0 && upto != last+1 {
						t.Errorf("%d came after %d", upto, last)
					}
					last = upto
				}
			}
		}
	}()
	next := uint64(1)
	for range 7 {
		conn := await[PeerUp](t, events).Conn
		for range rand.IntN(5000) {
			if !conn.Send(&msg.Ack{Upto: next}) {
				t.Error("not sent")
			}
			next++
		}
		conn.Reset(errors.New("a break"))
		await[PeerDown](t, events)
	}
	await[PeerUp](t, events).Conn.Send(&msg.Ack{Upto: end})
	<-arrived
}

// A peer whose loop takes nothing costs its own connection and no other's.
func TestSlowPeerIsCutOff(t *testing.T) {
	t.Parallel()
	slow := startAt(t, listen(t, "127.0.0.1:0"), ServiceConfig{Boot: 2, Server: serverCalls{}})
	good := startServer(t, 3)
	p, events := startPeers(t, Options{QueueBytes: 4 << 20})
	p.Set([]Peer{{slow.addr, 2}, {good.addr, 3}})
	conns := map[slots.Boot]*Conn{}
	for range 2 {
		conn := await[PeerUp](t, events).Conn
		conns[conn.Boot] = conn
	}
	await[PeerOpened](t, good.events)
	m := &msg.Batch{Items: []msg.Item{{Entry: msg.Entry{Key: "k", Value: make([]byte, 1<<20)}}}}
	sent := 0
	for deadline := time.Now().Add(patience); conns[2].Send(m); {
		if sent++; time.Now().After(deadline) {
			t.Fatal("the queue never fills")
		}
	}
	if conns[2].Send(m) {
		t.Error("sent after the queue was full")
	}
	if d := await[PeerDown](t, events); d.Peer != 2 || !errors.Is(d.Err, ErrQueueFull) {
		t.Errorf("got %v", d)
	}
	conns[3].Send(&msg.Ack{Upto: 1})
	var last uint64
	awaitAck(t, good.events, &last, 1)
}

func TestOneLongMessageIsTaken(t *testing.T) {
	t.Parallel()
	s := startServer(t, 2)
	p, events := startPeers(t, Options{QueueBytes: 1000})
	p.Set([]Peer{{s.addr, 2}})
	conn := await[PeerUp](t, events).Conn
	await[PeerOpened](t, s.events)
	m := &msg.Batch{Items: []msg.Item{{Entry: msg.Entry{Key: "k", Value: make([]byte, 1<<20)}}}}
	if !conn.Send(m) {
		t.Fatal("not sent")
	}
	await[PeerMessages](t, s.events)
}

func TestCloseWaitsForNoLoop(t *testing.T) {
	t.Parallel()
	events := make(chan Event) // nobody takes any
	s := NewService(ServiceConfig{Boot: 2, Server: serverCalls{}, Master: calls{}, Events: events})
	l := listen(t, "127.0.0.1:0")
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	p := NewPeers(self, Options{}, events)
	p.Set([]Peer{{l.Addr().String(), 2}})
	a := NewAttachment(self, []string{l.Addr().String()}, Options{}, events)
	e := <-events
	a.Close()
	p.Close()
	s.Close()
	if err := <-served; err != nil {
		t.Error(err, e)
	}
}

func TestAttach(t *testing.T) {
	t.Parallel()
	standby, master := startMaster(t, 10), startMaster(t, 11)
	standby.SetStandby("the master is at " + master.addr)
	events := startAttachment(t, Options{}, standby.addr, master.addr)
	if f := (<-events).(MasterFailed); !errors.Is(f.Err, ErrDeclined) || !strings.Contains(f.Err.Error(), master.addr) {
		t.Errorf("got %v", f.Err)
	}
	up := await[MasterUp](t, events).Conn
	if up.Addr != master.addr || up.Boot != 11 {
		t.Errorf("got %+v", up)
	}
	conn := await[Attached](t, master.events).Conn
	if conn.Boot != self.Boot || conn.Addr != self.Addr {
		t.Errorf("got %+v", conn)
	}
	up.Send(&msg.Hello{Version: msg.Version, Addr: self.Addr, Boot: self.Boot})
	if m := await[ServerMessages](t, master.events); m.Conn != conn || m.Msgs[0].(*msg.Hello).Boot != self.Boot {
		t.Errorf("got %+v", m)
	}
	conn.Send(&msg.MapUpdate{Map: testMap(3)})
	conn.Send(&msg.Refuse{Reason: "go away"})
	conn.End("refused")
	if conn.Send(&msg.Released{}) {
		t.Error("sent after the end")
	}
	got := await[MasterMessages](t, events).Msgs
	if len(got) == 1 {
		got = append(got, await[MasterMessages](t, events).Msgs...)
	}
	if got[0].(*msg.MapUpdate).Map.Epoch.Counter != 3 || got[1].(*msg.Refuse).Reason != "go away" {
		t.Errorf("got %+v", got)
	}
	if d := await[MasterDown](t, events); !strings.Contains(d.Err.Error(), "refused") {
		t.Errorf("got %v", d.Err)
	}
	await[Detached](t, master.events)

	await[MasterUp](t, events)
	await[Attached](t, master.events)
	master.SetStandby("the master is elsewhere")
	if d := await[MasterDown](t, events); !errors.Is(d.Err, ErrDeclined) || !strings.Contains(d.Err.Error(), "elsewhere") {
		t.Errorf("got %v", d.Err)
	}
	await[Detached](t, master.events)
	standby.SetStandby("")
	if up := await[MasterUp](t, events).Conn; up.Addr != standby.addr {
		t.Errorf("got %+v", up)
	}
}
