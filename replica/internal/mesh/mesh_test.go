package mesh

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/torc-dht/torc/internal/cluster"
	"github.com/torc-dht/torc/replica/internal/msg"
)

// Every node's messages arrive at every other one, in order.
func TestAllToAll(t *testing.T) {
	t.Parallel()
	all := openAll(t, 4)
	const rounds, each, size = 50, 20, 100
	var sending sync.WaitGroup
	for i, s := range all {
		sending.Go(func() {
			for r := range rounds {
				for j := range all {
					ms := numbered(r*each, each, size)
					for _, m := range ms {
						m.Ref = uint64(i)
					}
					s.Send(j, ms) // to itself, too, which does nothing
				}
			}
		})
	}
	sending.Wait()
	for i, s := range all {
		ms := s.events.take(t, rounds*each*(len(all)-1))
		for j := range all {
			from := slices.DeleteFunc(slices.Clone(ms), func(m *msg.Message) bool { return m.Ref != uint64(j) })
			if j == i && len(from) > 0 {
				t.Errorf("node %d hears %d messages of its own", i, len(from))
			}
			checkNumbered(t, from, 0, size)
		}
	}
}

// What waits goes out in one write, and what comes in one read is one event.
func TestBatches(t *testing.T) {
	t.Parallel()
	all := openAll(t, 2)
	const n = 5000
	all[0].Send(1, numbered(0, n, 10))
	checkNumbered(t, all[1].events.take(t, n), 0, 10)
	if got := all[1].events.batches; got > n/20 {
		t.Errorf("%d messages in %d events", n, got)
	}
}

func TestLargeMessages(t *testing.T) {
	t.Parallel()
	all := openAll(t, 2)
	sizes := []int{8 << 20, 1, smallBuffer, 0, largeBuffer, 3 << 20, 8 << 20}
	for i, size := range sizes {
		all[0].Send(1, numbered(i, 1, size))
	}
	for i, size := range sizes {
		checkNumbered(t, all[1].events.take(t, 1), i, size)
	}

	// One that is too large is left out, and the log says so.
	all[0].Send(1, append(numbered(0, 1, msg.MaxMessage), numbered(5, 1, 5)...))
	checkNumbered(t, all[1].events.take(t, 1), 5, 5)
	if log := all[0].log.String(); !strings.Contains(log, "too large") {
		t.Errorf("the log has no word of it:\n%s", log)
	}
	all[0].events.none(t, Disconnected{1, false})
}

// Nothing of a message lies in the buffer that the next ones are read into.
func TestMessagesAreTheReceivers(t *testing.T) {
	t.Parallel()
	value := func() []byte { return bytes.Repeat([]byte{'v'}, 1000) }
	op := &msg.Op{Kind: msg.Put, Key: strings.Repeat("k", 1000), Value: value()}
	app := raftpb.MsgApp
	sent := []*msg.Message{
		{Kind: msg.KindReport, Report: &msg.Report{View: msg.View{Members: []msg.ID{1, 2, 3}}}},
		{Kind: msg.KindRaft, Raft: []*raftpb.Message{{Type: &app, Context: value(), Entries: []*raftpb.Entry{{Data: value()}}}}},
		{Kind: msg.KindOps, Ops: []msg.Request{{Op: op}}},
		{Kind: msg.KindReplies, Replies: []msg.Reply{{Result: msg.Result{Status: msg.OK, Found: true, Old: value()}}}},
		{Kind: msg.KindRead, Ref: 1}, {Kind: msg.KindReadAt, Ref: 1}, {Kind: msg.KindChunkOK, Ref: 1},
		{Kind: msg.KindChunk, Data: value()},
	}
	for _, m := range sent {
		body := msg.Append(nil, m)
		got, err := decode(body)
		if err != nil {
			t.Fatal(err)
		}
		for i := range body {
			body[i] = 0xff
		}
		for _, r := range got.Raft {
			if !proto.Equal(r, sent[1].Raft[0]) {
				t.Error("a raft message changed")
			}
		}
		if again := msg.Append(nil, got); !bytes.Equal(again, msg.Append(nil, m)) {
			t.Errorf("a message of kind %d changed with the buffer", m.Kind)
		}
	}
}

// Without a connection messages are lost, and sending goes on when there is one.
func TestSendWithoutConnection(t *testing.T) {
	t.Parallel()
	ls, addrs := listenersFor(t, 2)
	a := open(t, ls[0], 0, addrs)
	a.Send(1, numbered(0, 1, 1)) // before Start
	b := open(t, ls[1], 1, addrs)
	a.Start()
	a.events.await(t, Connected{1})
	a.Send(1, numbered(7, 1, 1))
	checkNumbered(t, b.events.take(t, 1), 7, 1)
	b.shut()
	a.events.await(t, Disconnected{1, false})
	a.events.await(t, Disconnected{1, true})
	a.Send(1, numbered(8, 1, 1))
}

// dialAs dials l as the mesh of another node does, and returns the answer.
func dialAs(t *testing.T, addr string, h hello) (net.Conn, answer, error) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(patience))
	b := beginFrame([]byte(Preface))
	b = h.append(b)
	endFrame(b, len(Preface))
	if _, err := c.Write(b); err != nil {
		return c, answer{}, err
	}
	body, err := newFrames(maxHello, nil).read(c)
	if err != nil {
		return c, answer{}, err
	}
	a, err := parseAnswer(body)
	return c, a, err
}

func sendOn(t *testing.T, c net.Conn, ms ...*msg.Message) {
	t.Helper()
	for _, m := range ms {
		b := msg.Append(beginFrame(nil), m)
		endFrame(b, 0)
		if _, err := c.Write(b); err != nil {
			t.Fatal(err)
		}
	}
}

// A newer connection of a peer replaces the one there is, an older one doesn't, and
// one of another process of it does.
func TestReplacedConnection(t *testing.T) {
	t.Parallel()
	ls, addrs := listenersFor(t, 2)
	s := open(t, ls[0], 0, addrs)
	h := hello{version: protocol, from: 1, to: 0, boot: 7, number: 5, addrs: addrs}
	first, a, err := dialAs(t, addrs[0], h)
	if err != nil || a.verdict != welcome {
		t.Fatalf("%+v, %v", a, err)
	}
	sendOn(t, first, numbered(1, 1, 1)...)
	s.events.take(t, 1)

	closed := func(c net.Conn) {
		t.Helper()
		if n, err := c.Read(make([]byte, 1)); n > 0 || isTimeout(err) {
			t.Errorf("the connection is open: %d, %v", n, err)
		}
	}
	h.number = 4
	late, _, err := dialAs(t, addrs[0], h)
	if err == nil {
		t.Error("a call that was made before the last one was welcome")
	}
	closed(late)
	sendOn(t, first, numbered(2, 1, 1)...)
	s.events.take(t, 1)

	h.number = 6
	second, _, err := dialAs(t, addrs[0], h)
	if err != nil {
		t.Fatal(err)
	}
	closed(first)
	sendOn(t, second, numbered(3, 1, 1)...)
	s.events.take(t, 1)

	h.boot, h.number = 8, 1
	third, _, err := dialAs(t, addrs[0], h)
	if err != nil {
		t.Fatal(err)
	}
	closed(second)
	sendOn(t, third, numbered(4, 1, 1)...)
	checkNumbered(t, s.events.take(t, 1), 4, 1)
}

func isTimeout(err error) bool {
	t, ok := err.(net.Error)
	return ok && t.Timeout()
}

// When another process calls from a peer's address, the connection dialed to the one
// before is given up: its machine may have been lost without a word.
func TestOtherProcess(t *testing.T) {
	t.Parallel()
	all := openAll(t, 2)
	addrs := all[1].cfg.Addrs
	if _, a, err := dialAs(t, addrs[1], hello{version: protocol, from: 0, to: 1, boot: all[0].boot + 1, number: 1, addrs: addrs}); err != nil || a.verdict != welcome {
		t.Fatalf("%+v, %v", a, err)
	}
	all[1].events.await(t, Disconnected{0, false})
	all[1].events.await(t, Connected{0})
	// The true one calls again, and so is heard from again.
	all[0].events.await(t, Connected{1})
	all[0].Send(1, numbered(0, 1, 1))
	checkNumbered(t, all[1].events.take(t, 1), 0, 1)
}

// Connections of one peer that come all at once leave one, and messages that come
// are in the order of the connections.
func TestManyConnectionsAtOnce(t *testing.T) {
	t.Parallel()
	ls, addrs := listenersFor(t, 2)
	s := open(t, ls[0], 0, addrs)
	const n = 30
	var calling sync.WaitGroup
	for i := range n {
		calling.Go(func() {
			c, err := net.Dial("tcp", addrs[0])
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(patience))
			h := hello{version: protocol, from: 1, to: 0, boot: 7, number: uint64(i + 1), addrs: addrs}
			b := h.append(beginFrame([]byte(Preface)))
			endFrame(b, len(Preface))
			for range 3 { // sent before the welcome: it may come at once with the hello
				at := len(b)
				b = msg.Append(beginFrame(b), &msg.Message{Kind: msg.KindRead, Ref: uint64(i)})
				endFrame(b[at:], 0)
			}
			_, _ = c.Write(b)
			if i < n-1 {
				_, _ = io.Copy(io.Discard, c) // until it is replaced
			} else {
				s.events.until(t, "message of the newest", func() bool {
					return slices.ContainsFunc(s.events.messages, func(m *msg.Message) bool { return m.Ref == n-1 })
				})
			}
		})
	}
	calling.Wait()
	if !slices.IsSortedFunc(s.events.messages, func(a, b *msg.Message) int { return int(a.Ref) - int(b.Ref) }) {
		t.Error("messages of an older connection came after those of a newer one")
	}
}

// Nodes with different lists refuse each other, and both logs have both lists, once.
func TestOtherList(t *testing.T) {
	t.Parallel()
	ls, addrs := listenersFor(t, 3)
	a := open(t, ls[0], 0, addrs)
	b := open(t, ls[1], 1, addrs[:2])
	a.Start()
	b.Start()
	for range 2 {
		a.events.await(t, Disconnected{1, false})
		b.events.await(t, Disconnected{0, false})
	}
	a.events.none(t, Connected{1})
	for _, s := range []*station{a, b} {
		log := s.log.String()
		for _, want := range []string{list(addrs), list(addrs[:2])} {
			if got := strings.Count(log, want); got != 2 { // by who called and by who was called
				t.Errorf("%s is %d times in the log of slot %d", want, got, s.cfg.Self)
			}
		}
	}
}

// Two addresses that lead to one node are found out.
func TestWrongNode(t *testing.T) {
	t.Parallel()
	ls, addrs := listenersFor(t, 2)
	a := open(t, ls[0], 0, addrs)
	open(t, ls[1], 0, addrs) // it should be slot 1
	a.Start()
	a.events.await(t, Disconnected{1, false})
	if log := a.log.String(); !strings.Contains(log, "same first line") {
		t.Errorf("the log doesn't say what is wrong:\n%s", log)
	}
}

// What isn't a node isn't taken for one, nor for a dead one.
func TestForeign(t *testing.T) {
	t.Parallel()
	for name, does := range map[string]func(net.Conn){
		"an HTTP server":      func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.0 400 Bad Request\r\n\r\n") },
		"one that hangs up":   func(net.Conn) {},
		"another protocol":    func(c net.Conn) { _, _ = c.Write([]byte{1, 0, 0, 0, 99}) },
		"one that is silent":  func(c net.Conn) { _, _ = io.Copy(io.Discard, c) },
		"one of version nine": func(c net.Conn) { _, _ = c.Write([]byte{5, 0, 0, 0, byte(welcome), 9, 1, 2, 3}) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ls, addrs := listenersFor(t, 2)
			a := open(t, ls[0], 0, addrs)
			var serving sync.WaitGroup
			serving.Go(func() {
				for {
					c, err := ls[1].Accept()
					if err != nil {
						return
					}
					_ = c.SetDeadline(time.Now().Add(time.Second))
					_, _ = io.ReadFull(c, make([]byte, len(Preface)+4))
					does(c)
					_ = c.Close()
				}
			})
			a.Start()
			a.events.await(t, Disconnected{1, false})
			a.events.await(t, Disconnected{1, false})
			a.events.none(t, Disconnected{1, true})
			a.events.none(t, Connected{1})
			_ = ls[1].Close()
			a.events.await(t, Disconnected{1, true}) // now it is dead
			a.shut()
			serving.Wait()
		})
	}
}

// Bad frames end a connection; what came before them counts.
func TestBadFrames(t *testing.T) {
	t.Parallel()
	ls, addrs := listenersFor(t, 2)
	s := open(t, ls[0], 0, addrs)
	h := hello{version: protocol, from: 1, to: 0, number: 1, addrs: addrs}
	for _, bad := range []string{"\x00\x00\x00\x00", "\xff\xff\xff\xff", "\x01\x00\x00\x00\xfe"} {
		c, _, err := dialAs(t, addrs[0], h)
		if err != nil {
			t.Fatal(err)
		}
		b := msg.Append(beginFrame(nil), numbered(3, 1, 1)[0])
		endFrame(b, 0)
		if _, err := c.Write(append(b, bad...)); err != nil {
			t.Fatal(err)
		}
		checkNumbered(t, s.events.take(t, 1), 3, 1)
		if n, err := c.Read(make([]byte, 1)); n > 0 || isTimeout(err) {
			t.Errorf("%q: the connection is open: %d, %v", bad, n, err)
		}
		h.number++
	}
}

// A peer that doesn't read is cut off when too much waits; Send never blocks.
func TestSlowPeer(t *testing.T) {
	t.Parallel()
	ls, addrs := listenersFor(t, 2)
	a := open(t, ls[0], 0, addrs)
	a.maxWaiting = 16 << 20
	held := make(chan net.Conn, 10)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := ls[1].Accept()
			if err != nil {
				return
			}
			_, _ = io.ReadFull(c, make([]byte, len(Preface)))
			body, err := newFrames(maxHello, nil).read(c)
			if err != nil {
				t.Error(err)
			}
			h, err := parseHello(body)
			if err != nil {
				t.Error(err)
			}
			w := h.judge(1, 1, addrs)
			b := w.append(beginFrame(nil))
			endFrame(b, 0)
			_, _ = c.Write(b)
			held <- c // and reads no more
		}
	})
	a.Start()
	a.events.await(t, Connected{1})
	for range 40 {
		a.Send(1, numbered(0, 1, 1<<20))
	}
	a.events.await(t, Disconnected{1, false})
	a.events.await(t, Connected{1}) // and begins anew
	if log := a.log.String(); !strings.Contains(log, errBehind.Error()) {
		t.Errorf("the log doesn't say why:\n%s", log)
	}
	_ = ls[1].Close()
	serving.Wait()
	a.shut()
	close(held)
	for c := range held {
		_ = c.Close()
	}
}

// What is taken for written is no longer counted.
func TestWaitingIsCountedOff(t *testing.T) {
	t.Parallel()
	all := openAll(t, 2)
	for i := range 20 {
		all[0].Send(1, numbered(i, 10, 100_000))
	}
	all[1].events.take(t, 200)
	out := all[0].peers[1].out.Load()
	cluster.Eventually(t, patience, "all to be counted off", func() error {
		out.mu.Lock()
		defer out.mu.Unlock()
		if out.mu.waiting != 0 {
			return io.ErrShortWrite
		}
		return nil
	})
}

func TestClose(t *testing.T) {
	t.Parallel()
	all := openAll(t, 3)
	all[0].Close()
	all[0].Close()
	all[0].Send(1, numbered(0, 1, 1))
	here, there := net.Pipe()
	all[0].Accept(here, nil)
	if _, err := there.Read(make([]byte, 1)); err == nil {
		t.Error("a closed mesh accepts connections")
	}
	all[1].events.await(t, Disconnected{0, false})
	// The rest goes on.
	all[1].Send(2, numbered(3, 1, 1))
	checkNumbered(t, all[2].events.take(t, 1), 3, 1)
}

// A call that hangs does not keep Close.
func TestCloseDuringCall(t *testing.T) {
	t.Parallel()
	ls, addrs := listenersFor(t, 2) // and nobody accepts at the second
	a := open(t, ls[0], 0, addrs)
	a.Start()
	p := a.peers[1]
	cluster.Eventually(t, patience, "a call", func() error {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.mu.cancel == nil {
			return io.ErrNoProgress
		}
		return nil
	})
	a.Close()
}

func certificate(t testing.TB) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(cert)
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, RootCAs: roots, ClientCAs: roots,
		ClientAuth: tls.RequireAndVerifyClientCert, NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS13,
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	config := certificate(t)
	all := openAll(t, 3, withTLS(config))
	all[0].Send(1, numbered(0, 1000, 1000))
	checkNumbered(t, all[1].events.take(t, 1000), 0, 1000)
	all[0].Send(2, numbered(0, 1, 8<<20))
	checkNumbered(t, all[2].events.take(t, 1), 0, 8<<20)
	all[2].shut()
	all[0].events.await(t, Disconnected{2, false})
	all[0].events.await(t, Disconnected{2, true})
}

// Nodes that don't trust each other, or of which one speaks TLS, don't connect, and
// none takes the other for dead.
func TestTLSMismatch(t *testing.T) {
	t.Parallel()
	ours, theirs := certificate(t), certificate(t)
	onlyClient := ours.Clone()
	onlyClient.RootCAs = theirs.RootCAs // trusts the server, and isn't trusted
	for name, pair := range map[string][2]*tls.Config{
		"other roots":       {ours, theirs},
		"one speaks TLS":    {nil, ours},
		"client not wanted": {onlyClient, theirs},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ls, addrs := listenersFor(t, 2)
			a := open(t, ls[0], 0, addrs, withTLS(pair[0]))
			b := open(t, ls[1], 1, addrs, withTLS(pair[1]))
			a.Start()
			b.Start()
			for range 2 {
				a.events.await(t, Disconnected{1, false})
				b.events.await(t, Disconnected{0, false})
			}
			for i, s := range []*station{a, b} {
				s.events.none(t, Disconnected{1 - i, true})
				s.events.none(t, Connected{1 - i})
				if log := s.log.String(); !strings.Contains(log, "can't be talked to") {
					t.Errorf("slot %d has no word of it in its log:\n%s", i, log)
				}
			}
		})
	}
}
