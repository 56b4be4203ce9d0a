package mesh

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// dialTimeout bounds a call, from the look-up of a name to the welcome. The
	// kernel repeats a call that is lost only after a second: the next one of ours
	// comes sooner.
	dialTimeout = 500 * time.Millisecond
	// connectTimeout bounds what the kernels do of most calls: one that began
	// before a line came back is soon followed by one that gets through.
	connectTimeout = 100 * time.Millisecond
	// hurriedTimeout is that of calls right after a connection was lost: a listener
	// that is about to be closed may drop a call without a word.
	hurriedTimeout = 30 * time.Millisecond
	// farAway: a peer may always take so many times as long to connect as it did
	// the last time.
	farAway = 4
	// patientCalls: each so-manieth call may use all of dialTimeout to connect, so
	// that peers that are far away are reached.
	patientCalls = 4
	// lookUpEvery is how long a peer that could be reached is called where it was,
	// before its name is looked up again.
	lookUpEvery = time.Second
)

// peer is another node, and the connections with it.
type peer struct {
	m    *Mesh
	slot int
	addr string

	out  atomic.Pointer[outbox] // of the connection dialed; nil while there is none
	news chan struct{}          // of one: something happened that may have changed how a call ends

	// Of the goroutine that dials:
	again    redial
	calls    uint64
	took     time.Duration // to connect, the last time
	failed   outcome       // the last one
	last     string        // the address of the last connection, without names
	lookUpAt time.Time     // from when on last isn't to be trusted

	mu struct {
		sync.Mutex
		in     *inbound           // the newest, until it ends
		boot   uint64             // of the newest, even if it has ended
		before uint64             // the boot before that
		number uint64             // likewise
		cancel context.CancelFunc // of the call under way, if there is one
		since  time.Time          // when that began

		// Of the connection dialed, while there is one:
		there uint64 // the boot of the process at its other end
		end   context.CancelCauseFunc
	}
}

// keep dials the peer for as long as the mesh is open.
func (p *peer) keep() {
	ctx := p.m.ctx
	for ctx.Err() == nil {
		var pause time.Duration
		p.calls++
		if conn, there, failed := p.call(ctx); failed == nil {
			began := time.Now()
			p.use(ctx, conn, there)
			pause = p.again.lost(time.Since(began), there)
			p.lookUpAt = time.Now().Add(lookUpEvery)
		} else {
			if failed.outcome == refused && p.calling() {
				// Whoever holds that connection lives, or the end of it is just
				// coming in.
				failed.outcome = hungUp
			}
			var report bool
			pause, report = p.again.failed(failed.outcome)
			p.tell(failed, report)
		}
		p.wait(ctx, pause)
	}
}

// wait returns after pause, or if there is news during one of the longer ones.
func (p *peer) wait(ctx context.Context, pause time.Duration) {
	if pause <= 0 {
		return
	}
	news := p.news
	if pause < restPause {
		news = nil
	}
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-t.C:
	case <-news:
	case <-ctx.Done():
	}
}

// hear makes the peer be called at once if it isn't connected: it has called, or
// hung up. A call under way begins anew, unless it is young.
func (p *peer) hear() {
	select {
	case p.news <- struct{}{}:
	default:
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.cancel != nil && time.Since(p.mu.since) > restPause {
		p.mu.cancel()
	}
}

// calling tells whether there is a connection that the peer dialed.
func (p *peer) calling() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.in != nil
}

var errOtherProcess = errors.New("another process calls from there, so this one must be dead")

// failure is why a call failed.
type failure struct {
	outcome outcome
	why     error
}

// tell logs that a call failed, and reports it if that is wanted.
func (p *peer) tell(f *failure, report bool) {
	p.m.log.Debug("calling a node failed", "peer", p.addr, "why", f.why)
	defer func() { p.failed = f.outcome }()
	if !report {
		return
	}
	if f.outcome == rejected || f.outcome == hungUp && p.failed == hungUp {
		p.m.remarks.warn(p.m.log, p.addr, "a node can't be talked to", "peer", p.addr, "why", f.why)
	}
	p.m.event(Disconnected{p.slot, f.outcome == refused})
}

// call dials the peer and exchanges hellos. It returns the boot of who answers.
func (p *peer) call(ctx context.Context) (_ net.Conn, there uint64, failed *failure) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	p.mu.Lock()
	select {
	case <-p.news: // it is old now
	default:
	}
	p.mu.cancel, p.mu.since = cancel, time.Now()
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		p.mu.cancel = nil
		p.mu.Unlock()
	}()

	raw, err := p.dial(ctx)
	if err != nil {
		return nil, 0, &failure{dialOutcome(err), err}
	}
	inTime := context.AfterFunc(ctx, func() { _ = raw.Close() })
	defer func() {
		if !inTime() && failed == nil {
			failed = &failure{silent, fmt.Errorf("calling %s: %w", p.addr, ctx.Err())}
		}
		if failed != nil {
			_ = raw.Close()
		}
	}()
	p.last = raw.RemoteAddr().String()
	tune(raw)
	conn := raw
	if p.m.cfg.TLS != nil {
		t := tls.Client(raw, p.clientTLS())
		if err := t.HandshakeContext(ctx); err != nil {
			return nil, 0, &failure{talkOutcome(ctx, err), fmt.Errorf("TLS with %s: %w", p.addr, err)}
		}
		conn = t
	}
	there, failed = p.greet(ctx, conn)
	return conn, there, failed
}

// dial connects to where the peer was last, or where its name leads.
func (p *peer) dial(ctx context.Context) (net.Conn, error) {
	addr := p.last
	if now := time.Now(); addr == "" || !now.Before(p.lookUpAt) {
		addr = p.addr
		p.lookUpAt = now.Add(lookUpEvery)
	}
	d := net.Dialer{Timeout: dialTimeout}
	if _, err := netip.ParseAddrPort(addr); err != nil {
		// A name takes its time.
	} else if p.again.hurried() {
		d.Timeout = max(hurriedTimeout, farAway*p.took)
	} else if p.calls%patientCalls != 0 {
		d.Timeout = max(connectTimeout, farAway*p.took)
	}
	began := time.Now()
	c, err := d.DialContext(ctx, "tcp", addr)
	if err == nil {
		p.took = time.Since(began)
	}
	return c, err
}

func (p *peer) clientTLS() *tls.Config {
	c := p.m.cfg.TLS.Clone()
	if c.ServerName == "" {
		c.ServerName, _, _ = net.SplitHostPort(p.addr)
	}
	c.NextProtos = nil // it is no HTTP
	c.DynamicRecordSizingDisabled = true
	return c
}

// greet says hello and reads the answer.
func (p *peer) greet(ctx context.Context, c net.Conn) (there uint64, _ *failure) {
	m := p.m
	h := hello{version: protocol, from: m.cfg.Self, to: p.slot, boot: m.boot, number: p.calls, addrs: m.cfg.Addrs}
	b := beginFrame([]byte(Preface))
	at := len(b) - frameHead
	b = h.append(b)
	endFrame(b, at)
	_, err := c.Write(b)
	var body []byte
	if err == nil {
		body, err = newFrames(maxHello, nil).read(c)
	}
	if err != nil {
		return 0, &failure{talkOutcome(ctx, err), fmt.Errorf("hello to %s: %w", p.addr, err)}
	}
	a, err := parseAnswer(body)
	switch {
	case err != nil:
		return 0, &failure{rejected, fmt.Errorf("what listens at %s is no node of a replica table: %w", p.addr, err)}
	case a.verdict != welcome:
		return 0, &failure{rejected, fmt.Errorf("%s refuses this node: %s", p.addr, a.verdict.explain(m.cfg.Addrs, a.version, a.addrs))}
	}
	return a.boot, nil
}

// use sends over c, to the process of boot there, until it breaks.
func (p *peer) use(ctx context.Context, c net.Conn, there uint64) {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	raw := bare(c)
	defer func() { _ = raw.Close() }()
	context.AfterFunc(ctx, func() { _ = raw.Close() })

	p.mu.Lock()
	p.mu.there, p.mu.end = there, end
	p.mu.Unlock()
	out := newOutbox(p.m.maxWaiting, end, c)
	p.out.Store(out)
	p.m.event(Connected{p.slot})
	p.m.wg.Go(func() { end(listen(c)) })
	end(out.run(ctx, c, func(size int) {
		p.m.remarks.warn(p.m.log, p.addr, "a message was too large to be sent", "peer", p.addr, "bytes", size)
	}))
	p.out.Store(nil)
	p.mu.Lock()
	p.mu.end = nil
	p.mu.Unlock()
	why := context.Cause(ctx)
	if errors.Is(why, errBehind) {
		p.m.remarks.warn(p.m.log, p.addr, "a node was cut off", "peer", p.addr, "why", why)
	}
	p.m.log.Debug("connection to a node ended", "peer", p.addr, "why", why)
	p.m.event(Disconnected{p.slot, false})
}

// listen returns why c ended. Nothing comes over it.
func listen(c net.Conn) error {
	n, err := c.Read(make([]byte, 1))
	if n > 0 {
		return errors.New("the other side spoke out of turn")
	}
	return err
}

// dialOutcome says what an error of connecting means.
func dialOutcome(err error) outcome {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return refused
	case errors.Is(err, syscall.ECONNRESET):
		return hungUp
	}
	return silent
}

// talkOutcome says what an error means that came after connecting, in a call
// bounded by ctx.
func talkOutcome(ctx context.Context, err error) outcome {
	var frozen net.Error
	switch {
	case ctx.Err() != nil, errors.As(err, &frozen) && frozen.Timeout():
		return silent
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return hungUp
	}
	return rejected
}
