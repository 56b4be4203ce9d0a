package web

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// conn is a client's connection. Its fields belong to the goroutine that serves
// it, but for idle.
type conn struct {
	*serving
	nc      net.Conn    // changed under mu alone
	sock    *socket     // nil: nc is more than a connection of the system's
	surplus bool        // it is one too many
	idle    atomic.Bool // it waits, and nothing of a request is here

	block  *block // where in begins, unless that has outgrown it
	in     []byte // in[r:w] is what was read and not yet consumed
	r, w   int
	inCost int // what in took of the budget
	taken  int // what else the request took: given back when it is answered

	readBy, writeBy time.Time // the deadlines that are set
	began           bool      // the request under way has got its deadline

	q      request
	answer answer
	vector [2][]byte
	pieces net.Buffers
}

// serve carries out requests until the client or the server ends that.
func (c *conn) serve() {
	kept := true
	defer func() {
		if p := recover(); p != nil {
			c.stats.panics.Add(1)
			c.Log.Error("panic while a request was served", "client", c.nc.RemoteAddr().String(), "panic", p, "stack", string(debug.Stack()))
		}
		c.settle()
		c.release()
		if kept {
			_ = c.nc.Close()
			c.forget(c)
		}
	}()
	if t, ok := c.nc.(*tls.Conn); ok && !c.handshake(t) {
		return
	}
	for first := true; c.await(); first = false {
		if first && c.isPeer() {
			kept = false
			c.handOver()
			return
		}
		if c.surplus {
			c.refuse(tooManyConns)
			return
		}
		if !c.request() {
			return
		}
	}
}

func (c *conn) handshake(t *tls.Conn) bool {
	_ = t.SetWriteDeadline(time.Now().Add(c.patience(c.RequestTimeout))) // fails where the handshake will
	c.arm()
	if err := t.Handshake(); err != nil {
		var notTLS tls.RecordHeaderError
		if errors.As(err, &notTLS) && notTLS.Conn != nil && all(notTLS.RecordHeader[:3], isToken) {
			c.mu.Lock()
			c.nc = notTLS.Conn
			c.mu.Unlock()
			c.refuse(plainToTLS)
		} else if !c.closing.Load() && c.remarkable() {
			c.Log.Info("TLS handshake failed", "client", t.RemoteAddr().String(), "error", err)
		}
		return false
	}
	c.readBy, c.writeBy = time.Time{}, time.Time{} // have another one set
	return true
}

// remarkable tells whether one more handshake that failed is to be logged.
func (s *Server) remarkable() bool {
	now, last := time.Now().UnixNano(), s.remark.Load()
	return now-last >= int64(handshakeRemarks) && s.remark.CompareAndSwap(last, now)
}

// await waits until the first byte of a request is here, and tells whether it is.
// Empty lines before it are skipped, as RFC 9112 has it.
func (c *conn) await() bool {
	c.began = false
	for {
		for c.r < c.w && c.in[c.r] == '\n' {
			c.r++
		}
		if c.r < c.w && (c.in[c.r] != '\r' || c.w-c.r > 1 && c.in[c.r+1] != '\n') {
			return true
		}
		if c.w-c.r > 1 {
			c.r += 2
			continue
		}
		if err := c.fill(); err != nil {
			return false
		}
	}
}

// fill reads more while nothing of a request is here.
func (c *conn) fill() error {
	now, most := time.Now(), c.patience(c.IdleTimeout)
	if left := c.readBy.Sub(now); left < most-most/4 || left > most {
		c.setReadBy(now.Add(most))
	}
	if c.r < c.w { // half an empty line
		return c.more()
	}
	c.release()
	c.began = false
	c.idle.Store(true)
	if c.closing.Load() {
		return os.ErrDeadlineExceeded
	}
	var err error
	if c.sock != nil {
		c.block, c.w, err = c.sock.wait()
	} else {
		c.block = newBlock()
		if c.w, err = c.nc.Read(c.block[:]); c.w > 0 {
			err = nil
		}
	}
	c.idle.Store(false)
	if c.block != nil {
		c.in = c.block[:]
	}
	return err
}

func (c *conn) setReadBy(t time.Time) {
	c.readBy = t
	_ = c.nc.SetReadDeadline(t) // fails where the read will
}

// patience is how long to wait for the client where d would do if there were few
// connections.
func (c *conn) patience(d time.Duration) time.Duration {
	switch {
	case c.surplus:
		return min(d, surplusTime)
	case c.conns.Load() > int64(c.MaxConns-c.MaxConns/4):
		return d / crowdedShare
	}
	return d
}

// arm gives the request that has begun to arrive its time, once.
func (c *conn) arm() {
	if c.began {
		return
	}
	c.began = true
	now := time.Now()
	c.setReadBy(now.Add(c.patience(c.RequestTimeout)))
	if c.closing.Load() {
		c.setReadBy(now.Add(shutdownGrace))
	}
}

// more reads more of the request that in[r:] begins. The error may be a refusal.
func (c *conn) more() error {
	c.arm()
	if c.r > 0 {
		c.w = copy(c.in, c.in[c.r:c.w])
		c.r = 0
	}
	if c.w == len(c.in) {
		n := min(2*len(c.in), maxLineBytes(c.MaxKey, c.MaxValue)+maxFieldBytes+blockSize)
		if !c.budget.take(n) {
			return noMemory
		}
		in := make([]byte, n)
		w := copy(in, c.in[:c.w])
		c.release()
		c.in, c.w, c.inCost = in, w, n
	}
	n, err := c.nc.Read(c.in[c.w:])
	c.w += n
	if n > 0 {
		return nil
	}
	return err
}

// release gives the input buffer back, whatever is in it.
func (c *conn) release() {
	if c.block != nil {
		freeBlock(c.block)
	}
	c.budget.give(c.inCost)
	c.block, c.in, c.inCost, c.r, c.w = nil, nil, 0, 0, 0
}

// take takes n bytes of the budget for this request, if there are as many. Of
// what a block would hold nothing is taken.
func (c *conn) take(n int) bool {
	if n <= blockSize {
		return true
	}
	if !c.budget.take(n) {
		return false
	}
	c.taken += n
	return true
}

// settle gives back what the request took of the budget.
func (c *conn) settle() {
	if c.taken > 0 {
		c.budget.give(c.taken)
		c.taken = 0
	}
}

// shrink gives back the buffer that the request needed, unless it is full of
// further requests.
func (c *conn) shrink() {
	here := c.w - c.r
	if c.inCost == 0 || here > blockSize {
		return
	}
	b := newBlock()
	copy(b[:], c.in[c.r:c.w])
	c.release()
	c.block, c.in, c.w = b, b[:], here
}

// isPeer tells whether the connection begins with the peers' preface, and
// consumes it.
func (c *conn) isPeer() bool {
	if c.Peer == nil || c.Preface == "" {
		return false
	}
	for {
		here := c.in[c.r:c.w]
		if n := min(len(here), len(c.Preface)); string(here[:n]) != c.Preface[:n] {
			return false
		}
		if len(here) >= len(c.Preface) {
			c.r += len(c.Preface)
			return true
		}
		if c.more() != nil {
			return false
		}
	}
}

// handOver gives the connection to Peer.
func (c *conn) handOver() {
	rest := bytes.Clone(c.in[c.r:c.w])
	c.forget(c)
	_ = c.nc.SetDeadline(time.Time{})
	r := bufio.NewReaderSize(&resumed{rest: rest, Conn: c.nc}, len(rest))
	_, _ = r.Peek(len(rest)) // it holds that now, and no more
	c.Peer(c.nc, r)
}

// resumed is a connection of which something was read already.
type resumed struct {
	net.Conn
	rest []byte
}

func (r *resumed) Read(b []byte) (int, error) {
	if len(r.rest) > 0 {
		n := copy(b, r.rest)
		r.rest = r.rest[n:]
		return n, nil
	}
	return r.Conn.Read(b)
}

// timedOut tells whether err is that of a deadline.
func timedOut(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

// ended tells whether err says that the client has ended its side.
func ended(err error) bool { return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) }
