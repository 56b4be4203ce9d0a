package mesh

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/torc-dht/torc/internal/cluster"
	"github.com/torc-dht/torc/replica/internal/msg"
)

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
	// The true one may call again before the answer comes.
	_, _, _ = dialAs(t, addrs[1], hello{version: protocol, from: 0, to: 1, boot: all[0].boot + 1, number: 1, addrs: addrs})
	all[1].events.await(t, Disconnected{0, false})
	all[1].events.await(t, Connected{0})
	// The true one calls again, and so is heard from again.
	all[0].events.await(t, Connected{1})
	all[0].Send(1, numbered(0, 1, 1))
	checkNumbered(t, all[1].events.take(t, 1), 0, 1)
}

// Two processes that both take themselves for one node are told of.
func TestTwins(t *testing.T) {
	t.Parallel()
	ls, addrs := listenersFor(t, 2)
	var log logText
	s := open(t, ls[0], 0, addrs, func(c *Config) { c.Log = slog.New(slog.NewTextHandler(&log, nil)) })
	const text = "two processes call as one node"
	for i, boot := range []uint64{7, 8, 9, 8} {
		if strings.Contains(log.String(), text) {
			t.Fatalf("a process that followed another one was taken for its twin: %s", log.String())
		}
		c, a, err := dialAs(t, addrs[0], hello{version: protocol, from: 1, to: 0, boot: boot, number: uint64(1 + i), addrs: addrs})
		if err != nil || a.verdict != welcome {
			t.Fatalf("%+v, %v", a, err)
		}
		sendOn(t, c, numbered(1, 1, 1)...)
		s.events.take(t, 1)
	}
	if !strings.Contains(log.String(), text) {
		t.Errorf("nobody is told of two processes that call as one node: %s", log.String())
	}
}

// Connections that say nothing are so few that they take nothing from anybody, and the
// next node is heard when they are gone.
func TestStrangers(t *testing.T) {
	t.Parallel()
	ls, addrs := listenersFor(t, 2)
	s := open(t, ls[0], 0, addrs)
	for range 2 * maxStrangers {
		here, there := net.Pipe()
		t.Cleanup(func() { _ = here.Close() })
		s.Accept(there, nil)
	}
	if n := s.strangers.Load(); n > maxStrangers {
		t.Errorf("%d connections are waited for", n)
	}
	cluster.Eventually(t, patience, "that a node is heard", func() error {
		c, a, err := dialAs(t, addrs[0], hello{version: protocol, from: 1, to: 0, boot: 7, number: 1, addrs: addrs})
		if err != nil || a.verdict != welcome {
			return fmt.Errorf("%+v, %w", a, err)
		}
		sendOn(t, c, numbered(1, 1, 1)...)
		return nil
	})
	s.events.take(t, 1)
	cluster.Eventually(t, patience, "that nobody is waited for", func() error {
		if n := s.strangers.Load(); n != 0 {
			return fmt.Errorf("%d are", n)
		}
		return nil
	})
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

// A machine that refuses calls is not believed while its process has a connection
// open: it is a firewall that speaks.
func TestRefusedInAnothersName(t *testing.T) {
	t.Parallel()
	ls, addrs := listenersFor(t, 2)
	a := open(t, ls[0], 0, addrs)
	_ = ls[1].Close()
	c, _, err := dialAs(t, addrs[0], hello{version: protocol, from: 1, to: 0, boot: 1, number: 1, addrs: addrs})
	if err != nil {
		t.Fatal(err)
	}
	a.Start()
	for range 3 {
		a.events.await(t, Disconnected{1, false})
	}
	a.events.none(t, Disconnected{1, true})
	_ = c.Close()
	a.events.await(t, Disconnected{1, true})
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
