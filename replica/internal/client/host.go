package client

import (
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/replica/internal/msg"
)

// host is one server, as the client knows it.
type host struct {
	client *Client
	place  int // in Config.Hosts
	addr   string
	tls    *tls.Config // nil: none

	busy     atomic.Int32 // requests without an answer
	failing  atomic.Bool  // mu.since is set
	labelled atomic.Bool  // the last answer bore the label of a degraded epoch

	mu struct {
		sync.Mutex
		closed  bool
		idle    []*conn            // the last used comes last
		conns   map[*conn]struct{} // all that there are
		since   time.Time          // when it began to fail; zero if it is in order
		probing bool               // there is a goroutine that finds out when it is again
	}
}

func newHost(c *Client, place int, addr string) *host {
	h := &host{client: c, place: place, addr: addr}
	h.mu.conns = make(map[*conn]struct{})
	if c.config.TLS != nil {
		h.tls = c.config.TLS.Clone()
		if name, _, err := net.SplitHostPort(addr); err == nil && h.tls.ServerName == "" {
			h.tls.ServerName = name
		}
	}
	return h
}

// inlineWrite is how long a request may be, in bytes, to be written by who asks: as
// long as the system takes without waiting for the other side.
const inlineWrite = 8 << 10

// ask sends the call's request, over an idle connection or a new one. The call gets
// a result, unless it abandons the connection before. The error is torc.ErrClosed.
func (h *host) ask(k *call) error {
	k.out = k.request.append(k.out[:0], h.addr)
	h.mu.Lock()
	if h.mu.closed {
		h.mu.Unlock()
		return torc.ErrClosed
	}
	h.busy.Add(1)
	n := len(h.mu.idle)
	if n == 0 {
		k.conns[h.place] = h.connectLocked(k, k.takeOut())
		h.mu.Unlock()
		return nil
	}
	c := h.mu.idle[n-1]
	h.mu.idle = h.mu.idle[:n-1]
	c.call, c.sent, c.status = k, true, k.request.Status
	k.conns[h.place] = c
	if len(k.out) > inlineWrite {
		out := k.takeOut() // the call may be over before it is written
		written := make(chan struct{})
		c.written = written
		h.client.running.Go(func() { c.write(out, written) })
		h.mu.Unlock()
		return nil
	}
	h.mu.Unlock()
	c.write(k.out, nil)
	return nil
}

// connectLocked makes a connection, in the background, and sends out over it; if
// that is empty, being connected is the call's result.
func (h *host) connectLocked(k *call, out []byte) *conn {
	c := &conn{host: h, call: k, status: k.request.Status}
	h.mu.conns[c] = struct{}{}
	h.client.running.Go(func() { c.run(out) })
	return c
}

// connect makes a connection for who is to use it. The call gets a result as for
// ask.
func (h *host) connect(k *call) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.mu.closed {
		return torc.ErrClosed
	}
	h.busy.Add(1)
	k.conns[h.place] = h.connectLocked(k, nil)
	return nil
}

// abandon says that the call doesn't wait for the connection's answer any more, and
// whether its request may have been sent. If heard, there is a result already.
func (h *host) abandon(k *call, c *conn) (sent, heard bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c.call != k {
		return true, true
	}
	c.call, c.abandoned = nil, true
	if c.nc != nil {
		_ = c.nc.SetDeadline(time.Now().Add(patience)) // fails if it is closed
	}
	return c.sent, false
}

// keepLocked makes c idle if there is room, and says whether there was.
func (h *host) keepLocked(c *conn) bool {
	if h.mu.closed || len(h.mu.idle) >= h.client.config.Idle {
		return false
	}
	h.mu.idle = append(h.mu.idle, c)
	return true
}

// dropIdle closes the connections that nobody uses.
func (h *host) dropIdle() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, c := range h.mu.idle {
		_ = c.nc.Close() // its goroutine does the rest
	}
	h.mu.idle = h.mu.idle[:0]
}

// removeLocked forgets c, which is closed.
func (h *host) removeLocked(c *conn) {
	delete(h.mu.conns, c)
	if i := slices.Index(h.mu.idle, c); i >= 0 {
		h.mu.idle = slices.Delete(h.mu.idle, i, i+1)
	}
}

func (h *host) close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.closed = true
	h.mu.idle = nil
	for c := range h.mu.conns {
		if c.nc != nil {
			_ = c.nc.Close() // its goroutine does the rest
		}
	}
}

func (h *host) failingSince() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mu.since
}

// fail notes that the host failed. From the first time on it is asked now and then
// until it is in order again.
func (h *host) fail(err error) {
	if errors.Is(err, torc.ErrClosed) {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.mu.closed || !h.mu.since.IsZero() {
		return
	}
	h.mu.since = time.Now()
	h.failing.Store(true)
	if !h.mu.probing {
		h.mu.probing = true
		h.client.running.Go(func() { h.probe(err == errSilent) })
	}
}

// serves notes that the host has answered as it should.
func (h *host) serves() {
	if !h.failing.Load() {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.since = time.Time{}
	h.failing.Store(false)
}

const (
	// probePatience is how long a failing host may take over an answer to count as
	// in order.
	probePatience = 500 * time.Millisecond
	// Pauses between probes double from the one to the other.
	minProbePause = 20 * time.Millisecond
	maxProbePause = 500 * time.Millisecond
	// probeKey is what is read. Whether there is such a key doesn't matter.
	probeKey = "torc probe"
)

// probe reads from the host until it is in order; the first time at once if now.
func (h *host) probe(now bool) {
	read := Request{Op: msg.Op{Kind: msg.Get, Key: probeKey}}
	pause := minProbePause
	for ; h.toProbe(); now = false {
		if !now {
			select {
			case <-time.After(pause):
			case <-h.client.life.Done():
				return
			}
			pause = min(2*pause, maxProbePause)
		}
		_, err := h.client.Ask(h.client.life, h.place, read, probePatience) // which notes an answer
		if errors.Is(err, errSilent) {
			h.dropIdle() // who may be as dead
		}
	}
}

// toProbe says whether the host is still to be probed.
func (h *host) toProbe() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.probing = !h.mu.since.IsZero() && !h.mu.closed
	return h.mu.probing
}
