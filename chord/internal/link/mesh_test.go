package link

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	pb "github.com/torc-dht/torc/chord/internal/link/chordpb"
	"github.com/torc-dht/torc/chord/internal/msg"
	"github.com/torc-dht/torc/internal/grpcdial"
	"github.com/torc-dht/torc/internal/selfsigned"
)

// What one sends the other gets, in order, over connections of their own.
func TestMessages(t *testing.T) {
	t.Parallel()
	a, b := start(t, 1), start(t, 2)
	const n = 20_000
	for from := uint64(0); from < n; from += 100 {
		a.Send(b.ref, acks(from, 100)...)
		b.Send(a.ref, acks(from, 100)...)
	}
	for _, s := range []*station{a, b} {
		checkAcks(t, s.events.take(t, n), 0)
	}
	if up := await[Up](t, a.events, nil); up.Peer != b.ref {
		t.Errorf("%v is up", up.Peer)
	}
	if got := b.events.from[a.ref]; got != n {
		t.Errorf("%d messages are from %v", got, a.ref)
	}
	await[Up](t, b.events, nil)
	if rest := append(a.events.rest(), b.events.rest()...); len(rest) > 0 {
		t.Errorf("what else came: %v", rest)
	}
}

// Long batches come in parts, whose items are numbered as before.
func TestLongBatch(t *testing.T) {
	t.Parallel()
	a, b := start(t, 1), start(t, 2)
	long := batchOfWrites(3000, 2000)
	large := batchOfWrites(1, 1<<20)
	a.Send(b.ref, &msg.Ack{Upto: 1}, long, large, &msg.Ack{Upto: 2})
	checkAcks(t, b.events.take(t, 1), 1)
	next, parts := long.First, 0
	for next < long.First+uint64(len(long.Items)) {
		part := b.events.take(t, 1)[0].(*msg.Batch)
		if part.First != next {
			t.Fatalf("a part begins with %d, want %d", part.First, next)
		}
		for i := range part.Items {
			if part.Items[i].Seq != long.Items[int(next-long.First)+i].Seq {
				t.Fatalf("item %d is another", next)
			}
		}
		next += uint64(len(part.Items))
		parts++
	}
	if parts < 2 {
		t.Errorf("it came in %d parts", parts)
	}
	if got := b.events.take(t, 1)[0].(*msg.Batch); !bytes.Equal(got.Items[0].Entry.Value, large.Items[0].Entry.Value) {
		t.Error("the large value is another")
	}
	checkAcks(t, b.events.take(t, 1), 2)
}

// Nobody listens: that is said a moment later, each time that it is tried.
func TestRefused(t *testing.T) {
	t.Parallel()
	a := start(t, 1)
	l := listen(t, "127.0.0.1:0")
	_, port, _ := net.SplitHostPort(l.Addr().String())
	l.Close()
	for _, host := range []string{"127.0.0.1", "127.0.0.1", "localhost"} {
		nobody := refOf(2, 5, net.JoinHostPort(host, port))
		a.Send(nobody, acks(1, 3)...)
		d := await[Down](t, a.events, nil)
		if d.Peer != nobody || !d.Refused || !strings.Contains(d.Err.Error(), nobody.Addr) {
			t.Errorf("got %+v", d)
		}
	}
	no := refOf(2, 5, "no.such.name.invalid:1")
	a.Send(no, acks(1, 1)...)
	if d := await[Down](t, a.events, nil); d.Peer != no || d.Refused {
		t.Errorf("got %+v", d)
	}
}

// Another process listens where one did: the former is no more, whether there was a
// connection to it or not; and who is there now can be talked to.
func TestReplaced(t *testing.T) {
	t.Parallel()
	a, b := start(t, 1), start(t, 2)
	a.Send(b.ref, acks(1, 1)...)
	checkAcks(t, b.events.take(t, 1), 1)
	await[Up](t, a.events, nil)
	former := refOf(3, 333, b.ref.Addr)
	a.Send(former, acks(2, 1)...)
	if d := await[Down](t, a.events, nil); d.Peer != former || !d.Refused || !errors.Is(d.Err, ErrReplaced) {
		t.Errorf("got %+v", d)
	}

	b.shut()
	c := open(t, 4, listen(t, b.ref.Addr))
	if d := await[Down](t, a.events, nil); d.Peer != b.ref || !d.Refused {
		t.Errorf("got %+v", d)
	}
	a.Send(c.ref, acks(5, 1)...)
	checkAcks(t, c.events.take(t, 1), 5)
	if rest := c.events.rest(); len(rest) > 0 {
		t.Errorf("what else came: %v", rest)
	}
}

// Who says that it listens where somebody else does makes that one be asked after, and
// no more.
func TestFalseAddress(t *testing.T) {
	t.Parallel()
	a, b := start(t, 1), start(t, 2)
	a.Send(b.ref, acks(1, 1)...)
	await[Up](t, a.events, nil)
	c := start(t, 3, func(c *Config) { c.Self.Addr = b.ref.Addr })
	c.Send(a.ref, acks(5, 1)...)
	checkAcks(t, a.events.take(t, 1), 5)
	if up := await[Up](t, a.events, nil); up.Peer != b.ref {
		t.Errorf("%v is up", up.Peer)
	}
	if rest := a.events.rest(); len(rest) > 0 {
		t.Errorf("what else came: %v", rest)
	}
}

// While a connection is open that a node has made, it isn't believed to be dead,
// whoever answers in its place.
func TestWhoCallsLives(t *testing.T) {
	t.Parallel()
	a := start(t, 1)
	// b calls, and says that it listens where nobody does.
	l := listen(t, "127.0.0.1:0")
	nowhere := l.Addr().String()
	l.Close()
	b := start(t, 2, func(c *Config) { c.Self.Addr = nowhere })
	b.Send(a.ref, acks(1, 1)...)
	checkAcks(t, a.events.take(t, 1), 1)
	for range 2 {
		a.Send(b.ref, acks(1, 1)...)
		if d := await[Down](t, a.events, nil); d.Peer != b.ref || d.Refused {
			t.Errorf("got %+v", d)
		}
	}
	b.shut()
	eventually(t, "the end of the call", func() bool { return !a.isCalling(b.ref.Boot) })
	a.Send(b.ref, acks(1, 1)...)
	await(t, a.events, func(d Down) bool { return d.Refused })
}

// A peer that has hung up and lives is connected again at once, without a word of
// its being down; what is sent from then on arrives.
func TestBrokenConnection(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var conns []net.Conn
	a := start(t, 1, func(c *Config) {
		c.Dialer = func(ctx context.Context, addr string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
			mu.Lock()
			defer mu.Unlock()
			conns = append(conns, conn)
			return conn, err
		}
	})
	b := start(t, 2)
	a.Send(b.ref, acks(0, 3)...)
	checkAcks(t, b.events.take(t, 3), 0)
	for i := range uint64(4) {
		if up := await[Up](t, a.events, nil); up.Peer != b.ref {
			t.Errorf("%v is up", up.Peer)
		}
		a.Send(b.ref, acks(10*i, 3)...)
		checkAcks(t, b.events.take(t, 3), 10*i)
		mu.Lock()
		conns[len(conns)-1].Close()
		mu.Unlock()
	}
	await[Up](t, a.events, nil)
	if rest := a.events.rest(); len(rest) > 0 {
		t.Errorf("what else came: %v", rest)
	}
}

// Nodes that are not of one ring, or not of one mind about it, don't talk, and say why.
func TestRejected(t *testing.T) {
	t.Parallel()
	b := start(t, 2)
	for want, change := range map[string]func(*Config){
		"another ring":                func(c *Config) { c.Ring++ },
		"2^9 places":                  func(c *Config) { c.Bits = 9 },
		"keeps 2 copies":              func(c *Config) { c.Replicas = 2 },
		"its values may have 5 bytes": func(c *Config) { c.MaxValue = 5 },
	} {
		t.Run(want, func(t *testing.T) {
			a := start(t, 1, change)
			a.Send(b.ref, acks(1, 1)...)
			if r := await[Rejected](t, a.events, nil); r.Addr != b.ref.Addr || !strings.Contains(r.Reason, want) {
				t.Errorf("got %+v", r)
			}
			if d := await[Down](t, a.events, nil); d.Peer != b.ref || d.Refused || !errors.Is(d.Err, ErrDeclined) {
				t.Errorf("got %+v", d)
			}
			if r := await[Rejected](t, b.events, nil); r.Addr != a.ref.Addr || !strings.Contains(r.Reason, want) {
				t.Errorf("got %+v", r)
			}
		})
	}
	if len(b.events.messages) > 0 {
		t.Errorf("messages have come: %v", b.events.messages)
	}
}

// talk opens a stream as who says hello, and returns the welcome.
func talk(t *testing.T, addr string, first *pb.Frame) (*pb.Welcome, pb.Node_TalkClient, error) {
	t.Helper()
	conn, err := grpcdial.New(addr, grpcdial.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	stream, err := pb.NewNodeClient(conn).Talk(within(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(first); err != nil {
		t.Fatal(err)
	}
	w, err := stream.Recv()
	return w, stream, err
}

func TestStrangeCallers(t *testing.T) {
	t.Parallel()
	b := start(t, 2)
	good := func() *pb.Hello {
		return &pb.Hello{
			Version: msg.Version, Boot: 9, Meant: b.ref.Boot, Ring: theRing, Bits: 8, Replicas: 1, MaxValue: 1 << 20,
			Id: "7", Addr: "127.0.0.1:9", Number: 5,
		}
	}
	h := good()
	h.Version = 99
	w, _, err := talk(t, b.ref.Addr, &pb.Frame{Hello: h})
	if err != nil || w.GetVersion() != msg.Version || w.GetBoot() != b.ref.Boot || !strings.Contains(w.GetRefusal(), "it speaks version 99") {
		t.Errorf("another version: %v, %v", w, err)
	}
	for name, f := range map[string]*pb.Frame{
		"no hello":       {},
		"messages first": {Hello: good(), Messages: appendMessage(nil, &msg.Ack{Upto: 1})},
		"no boot":        {Hello: func() *pb.Hello { h := good(); h.Boot = 0; return h }()},
		"outside":        {Hello: func() *pb.Hello { h := good(); h.Id = "256"; return h }()},
	} {
		if w, _, err := talk(t, b.ref.Addr, f); err == nil || !strings.Contains(err.Error(), "has to say who calls") {
			t.Errorf("%s: %v, %v", name, w, err)
		}
	}
	w, stream, err := talk(t, b.ref.Addr, &pb.Frame{Hello: good()})
	if err != nil || w.GetRefusal() != "" || w.GetBoot() != b.ref.Boot {
		t.Fatalf("got %v, %v", w, err)
	}
	// A call from before that one comes late.
	h = good()
	h.Number = 4
	if w, _, err := talk(t, b.ref.Addr, &pb.Frame{Hello: h}); err == nil || !strings.Contains(err.Error(), "a later call") {
		t.Errorf("an older call: %v, %v", w, err)
	}
	if err := stream.Send(&pb.Frame{Messages: appendMessage(nil, &msg.Ack{Upto: 1})}); err != nil {
		t.Fatal(err)
	}
	checkAcks(t, b.events.take(t, 1), 1)
	// A newer one takes its place.
	h = good()
	h.Number = 6
	w, newer, err := talk(t, b.ref.Addr, &pb.Frame{Hello: h})
	if err != nil || w.GetRefusal() != "" {
		t.Fatalf("got %v, %v", w, err)
	}
	if _, err := stream.Recv(); err == nil || !strings.Contains(err.Error(), "has called again") {
		t.Errorf("the older call: %v", err)
	}
	if err := newer.Send(&pb.Frame{Messages: []byte{99}}); err != nil {
		t.Fatal(err)
	}
	if r := await(t, b.events, func(r Rejected) bool { return r.Addr == "127.0.0.1:9" && strings.Contains(r.Reason, "can't be read") }); !strings.Contains(r.Reason, "its kind is 99") {
		t.Errorf("got %+v", r)
	}
}

// stuck listens, takes connections, and says nothing: so does a process that is stopped.
func stuck(t *testing.T) string {
	t.Helper()
	l := listen(t, "127.0.0.1:0")
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// A peer that says nothing is not dead, and does not hold up others.
func TestSilentPeer(t *testing.T) {
	t.Parallel()
	a, b := start(t, 1, func(c *Config) { c.QueueBytes = 1 << 20 }), start(t, 2)
	silent := refOf(3, 3, stuck(t))
	a.Send(silent, acks(1, 1)...)
	a.Send(b.ref, acks(1, 1)...)
	checkAcks(t, b.events.take(t, 1), 1)
	if d := await[Down](t, a.events, nil); d.Peer != silent || d.Refused || !errors.Is(d.Err, ErrSilent) {
		t.Errorf("got %+v", d)
	}
	// Too much for it ends the call that is under way.
	a.Send(silent, acks(1, 1)...)
	large := batchOfWrites(1, 1<<20)
	eventually(t, "a full queue", func() bool {
		a.Send(silent, large)
		return slices.ContainsFunc(a.events.rest(), func(e Event) bool {
			d, ok := e.(Down)
			return ok && !d.Refused && errors.Is(d.Err, ErrQueueFull)
		})
	})
}

// A loop that takes nothing fills the queue of who sends to it, and costs no more than
// the connection.
func TestSlowPeer(t *testing.T) {
	t.Parallel()
	a, b := start(t, 1, func(c *Config) { c.QueueBytes = 4 << 20 }), start(t, 2)
	a.Send(b.ref, acks(1, 1)...)
	b.events.take(t, 1)
	await[Up](t, a.events, nil)
	b.events.hold(true)
	large := batchOfWrites(1, 1<<20)
	eventually(t, "a full queue", func() bool {
		a.Send(b.ref, large)
		return len(a.events.rest()) > 0
	})
	if d := await[Down](t, a.events, nil); d.Peer != b.ref || d.Refused || !errors.Is(d.Err, ErrQueueFull) {
		t.Errorf("got %+v", d)
	}
	b.events.hold(false)
	a.Send(b.ref, acks(1, 1)...)
	await[Up](t, a.events, nil)
}

// Finish returns when the others have all that was sent, and whoever can't be reached
// doesn't hold it up for longer than the context allows.
func TestFinish(t *testing.T) {
	t.Parallel()
	a, b, c := start(t, 1), start(t, 2), start(t, 3)
	a.Send(b.ref, acks(0, 1)...)
	b.events.take(t, 1)
	a.events.hold(true) // a loop that calls it takes nothing
	const n = 5000
	a.Send(b.ref, acks(1, n)...)
	a.Send(c.ref, &msg.Bye{Failed: true})
	if err := a.Finish(within(t)); err != nil {
		t.Fatal(err)
	}
	checkAcks(t, b.events.take(t, n), 1)
	if bye, ok := c.events.take(t, 1)[0].(*msg.Bye); !ok || !bye.Failed {
		t.Error("the others were not told")
	}
	a.Send(b.ref, acks(1, 1)...)
	a.events.hold(false)
	a.shut()

	d := start(t, 4)
	d.Send(refOf(5, 5, stuck(t)), acks(1, 1)...)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := d.Finish(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// The loop that takes the events may close the mesh, also while nothing is taken.
func TestCloseByTheLoop(t *testing.T) {
	t.Parallel()
	l := listen(t, "127.0.0.1:0")
	in := make(chan Event) // nobody takes anything
	b := start(t, 2)
	m := NewMesh(Config{Ring: theRing, Bits: 8, Replicas: 1, Self: refOf(1, 1, l.Addr().String()), Calls: answers{}, Events: in})
	served := make(chan error, 1)
	go func() { served <- m.Serve(l) }()
	m.Send(b.ref, acks(1, 1)...)
	b.Send(m.cfg.Self, acks(1, 1)...)
	await[Up](t, b.events, nil)
	m.Close()
	m.Close()
	if err := <-served; err != nil {
		t.Error(err)
	}
	m.Send(b.ref, acks(1, 1)...)
}

// Who has nothing to say any more is forgotten, and the connection closed.
func TestIdle(t *testing.T) {
	t.Parallel()
	a, b := start(t, 1, func(c *Config) { c.idle = 20 * time.Millisecond }), start(t, 2)
	for i := range uint64(3) {
		a.Send(b.ref, acks(i, 1)...)
		await[Up](t, a.events, nil)
		checkAcks(t, b.events.take(t, 1), i)
		eventually(t, "the end of the call", func() bool { return !b.isCalling(a.ref.Boot) })
	}
	eventually(t, "nothing to be left", func() bool {
		a.mu.Lock()
		defer a.mu.Unlock()
		return len(a.mu.peers) == 0
	})
	if rest := a.events.rest(); len(rest) > 0 {
		t.Errorf("what else came: %v", rest)
	}
}

// older is a node of another version.
type older struct{ pb.UnimplementedNodeServer }

func (older) Info(context.Context, *pb.InfoRequest) (*pb.InfoReply, error) {
	return &pb.InfoReply{Version: 99, Bits: 8, Self: &pb.Ref{Id: "1", Boot: 1, Addr: "h:1"}}, nil
}

func (older) Talk(stream grpc.BidiStreamingServer[pb.Frame, pb.Welcome]) error {
	return stream.Send(&pb.Welcome{Version: 99, Boot: 1})
}

func TestAnotherVersion(t *testing.T) {
	t.Parallel()
	s := grpc.NewServer()
	pb.RegisterNodeServer(s, older{})
	l := listen(t, "127.0.0.1:0")
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	if info, err := client(t, l.Addr().String(), Options{}).Info(within(t)); !errors.Is(err, ErrVersion) || info.Version != 99 {
		t.Errorf("got %+v, %v", info, err)
	}
	a := start(t, 2)
	a.Send(refOf(1, 1, l.Addr().String()), acks(1, 1)...)
	if r := await[Rejected](t, a.events, nil); !strings.Contains(r.Reason, "speaks 99") {
		t.Errorf("got %+v", r)
	}
	if d := await[Down](t, a.events, nil); d.Refused || !errors.Is(d.Err, ErrVersion) {
		t.Errorf("got %+v", d)
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	cert, roots := selfsigned.Certificate(t)
	server := &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2"}}
	with := func(c *Config) { c.TLS = &tls.Config{RootCAs: roots} }
	l := listen(t, "127.0.0.1:0")
	a, b := start(t, 1, with), open(t, 2, tls.NewListener(l, server), with)
	a.Send(b.ref, acks(1, 3)...)
	checkAcks(t, b.events.take(t, 3), 1)
	await[Up](t, a.events, nil)
	if info, err := client(t, b.ref.Addr, Options{TLS: &tls.Config{RootCAs: roots}}).Info(within(t)); err != nil || info.Self != b.ref {
		t.Errorf("got %+v, %v", info, err)
	}
	plain := start(t, 3)
	plain.Send(b.ref, acks(1, 1)...)
	if d := await[Down](t, plain.events, nil); d.Refused {
		t.Errorf("got %+v", d)
	}
	if _, err := client(t, b.ref.Addr, Options{}).Info(within(t)); err == nil {
		t.Error("a call without TLS passes")
	}
}

func TestImpossible(t *testing.T) {
	t.Parallel()
	defer func() {
		if r := recover(); r == nil || !strings.Contains(fmt.Sprint(r), "impossible configuration") {
			t.Errorf("got %v", r)
		}
	}()
	NewMesh(Config{})
}
