package mesh

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/torc-dht/torc/replica/internal/msg"
)

// helloTimeout is how long who dialed may take to say hello.
const helloTimeout = dialTimeout

// maxStrangers is how many connections may be about to say hello: many more than there
// are nodes, and few enough that who floods the port takes no more than that.
const maxStrangers = 128

// inbound is a connection that a peer dialed.
type inbound struct {
	boot, number uint64 // of the hello
	close        func()
	done         chan struct{} // closed after its last event
}

// receive takes a connection from its hello to its end.
func (m *Mesh) receive(c net.Conn, early []byte) {
	ctx, end := context.WithCancel(m.ctx)
	defer end()
	raw := bare(c)
	defer func() { _ = raw.Close() }()
	defer context.AfterFunc(ctx, func() { _ = raw.Close() })()
	tune(raw)

	_ = c.SetDeadline(time.Now().Add(helloTimeout))
	f := newFrames(maxHello, early)
	body, err := f.read(c)
	m.strangers.Add(-1)
	if err != nil {
		m.log.Debug("a node's connection ended before its hello", "from", c.RemoteAddr(), "err", err)
		return
	}
	h, err := parseHello(body)
	if err != nil {
		m.remarks.warn(m.log, host(c), "a node's connection was refused", "from", host(c), "why", err)
		return
	}
	a := h.judge(m.cfg.Self, m.boot, m.cfg.Addrs)
	if a.verdict != welcome {
		_ = m.reply(c, &a)
		m.remarks.warn(m.log, host(c), "a node was refused", "from", host(c), "why", a.verdict.explain(m.cfg.Addrs, h.version, h.addrs))
		return
	}

	p := m.peers[h.from]
	in := &inbound{boot: h.boot, number: h.number, close: end, done: make(chan struct{})}
	defer close(in.done)
	if !p.replace(in) {
		return
	}
	defer p.ended(in)
	if err := m.reply(c, &a); err != nil {
		return
	}
	_ = c.SetDeadline(time.Time{})
	p.hear()
	err = newFrames(msg.MaxMessage, f.rest()).messages(c, func(ms []*msg.Message, size int) { m.event(Received{p.slot, ms, size}) })
	if errors.Is(err, errFrame) {
		m.remarks.warn(m.log, p.addr, "what a node sends can't be read: do both run the same torc?", "peer", p.addr, "err", err)
		return
	}
	m.log.Debug("connection from a node ended", "peer", p.addr, "err", err)
}

func (m *Mesh) reply(c net.Conn, a *answer) error {
	b := a.append(beginFrame(nil))
	endFrame(b, 0)
	_, err := c.Write(b)
	return err
}

// read returns the next frame of c, which is valid until more is read.
func (f *frames) read(c net.Conn) ([]byte, error) {
	for {
		if body, err := f.next(); body != nil || err != nil {
			return body, err
		}
		n, err := c.Read(f.room())
		f.arrived(n)
		if n == 0 && err != nil {
			return nil, err
		}
	}
}

// errFrame: what came is not what nodes send.
var errFrame = errors.New("no message")

// messages reads until c ends, and hands over all messages that one Read brings to
// an end together, with how many bytes they were.
func (f *frames) messages(c net.Conn, hand func(ms []*msg.Message, size int)) error {
	var readErr error
	for {
		var all []*msg.Message
		size := 0
		for {
			body, err := f.next()
			var one *msg.Message
			if body != nil {
				one, err = decode(body)
			}
			if err != nil {
				if len(all) > 0 {
					hand(all, size)
				}
				return fmt.Errorf("%w: %w", errFrame, err)
			}
			if body == nil {
				break
			}
			all, size = append(all, one), size+len(body)
		}
		if len(all) > 0 {
			hand(all, size)
		}
		if readErr != nil {
			return readErr
		}
		n, err := c.Read(f.room())
		f.arrived(n)
		readErr = err
	}
}

// decode returns the message of a frame whose bytes are used again. Those of which
// Decode keeps a part are copied before.
func decode(body []byte) (*msg.Message, error) {
	switch msg.Kind(body[0]) {
	case msg.KindOps, msg.KindReplies, msg.KindChunk:
		body = bytes.Clone(body)
	}
	return msg.Decode(body)
}

// replace makes in the connection of p, and returns when the one before has had
// its last event. It doesn't if there was a newer one: calls that were made long ago
// come in, late and out of order, when this process was frozen.
func (p *peer) replace(in *inbound) bool {
	p.mu.Lock()
	if p.mu.boot == in.boot && p.mu.number >= in.number {
		p.mu.Unlock()
		return false
	}
	twins := false
	if p.mu.boot != in.boot {
		twins = p.mu.before == in.boot // a process that made room for another has ended
		p.mu.before = p.mu.boot
	}
	old := p.mu.in
	p.mu.in, p.mu.boot, p.mu.number = in, in.boot, in.number
	if p.mu.end != nil && p.mu.there != in.boot {
		p.mu.end(errOtherProcess)
	}
	p.mu.Unlock()
	if twins {
		p.m.remarks.warn(p.m.log, p.addr, "two processes call as one node: does the first line of each servers.txt name its own server?", "peer", p.addr)
	}
	if old != nil {
		old.close()
		<-old.done
	}
	return true
}

// ended says that in is over. If there is no newer one the peer may be dead.
func (p *peer) ended(in *inbound) {
	p.mu.Lock()
	last := p.mu.in == in
	if last {
		p.mu.in = nil
	}
	p.mu.Unlock()
	if last {
		p.hear()
	}
}

// bare is the connection below TLS: closing it takes no time, whatever waits to be
// written.
func bare(c net.Conn) net.Conn {
	if t, ok := c.(*tls.Conn); ok {
		return t.NetConn()
	}
	return c
}

// host is where c comes from, without the port, which is another one each time.
func host(c net.Conn) string {
	addr := c.RemoteAddr().String()
	if h, _, err := net.SplitHostPort(addr); err == nil {
		return h
	}
	return addr
}
