package client

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/torc-dht/torc"
)

// dialTimeout is how long connecting may take. Who waits asks somebody else long
// before.
const dialTimeout = 2 * time.Second

var (
	errSpent   = errors.New("the connection is used up")
	errUnasked = foreign("it spoke without having been asked")
)

// conn is a connection to a host. It has one request at a time. Its goroutine makes
// it and reads from it; who asks writes.
type conn struct {
	host *host
	br   *bufio.Reader // its goroutine's

	// Guarded by host.mu:

	nc net.Conn // nil until it is connected
	// call waits for the answer to the request under way. If it is nil, abandoned
	// says that there is such a request all the same.
	call      *call
	abandoned bool
	status    bool          // the request under way asks for the status
	sent      bool          // it may have been sent
	written   chan struct{} // closed when it has been written, if that is done in the background
}

// run connects, sends out, or gives the word that it is connected if that is empty,
// and then reads answers until the connection ends.
func (c *conn) run(out []byte) {
	err := c.connect(out)
	for err == nil {
		var a Answer
		if a, err = readAnswer(c.br, c.host.client.config.Hosts); err == nil {
			a.Host = c.host.place
			err = c.answered(a)
		}
	}
	c.ended(err)
}

// connect connects, and sends out if somebody still waits for the answer.
func (c *conn) connect(out []byte) error {
	nc, err := c.dial()
	if err != nil {
		return err
	}
	h := c.host
	c.br = bufio.NewReaderSize(nc, readBuffer)
	h.mu.Lock()
	c.nc = nc // for ended to close
	switch {
	case h.mu.closed:
		h.mu.Unlock()
		return torc.ErrClosed
	case c.call != nil && len(out) > 0:
		c.sent = true
		h.mu.Unlock()
		c.write(out, nil)
		return nil
	}
	if c.call != nil {
		c.call.results <- result{host: h.place}
	}
	c.call, c.abandoned = nil, false
	h.busy.Add(-1)
	kept := h.keepLocked(c)
	h.mu.Unlock()
	if !kept {
		return errSpent
	}
	return nil
}

func (c *conn) dial() (net.Conn, error) {
	config := &c.host.client.config
	ctx, cancel := context.WithTimeout(c.host.client.life, dialTimeout)
	defer cancel()
	dial := config.Dialer
	if dial == nil {
		dial = func(ctx context.Context, addr string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", addr)
		}
	}
	nc, err := dial(ctx, c.host.addr)
	if err != nil || c.host.tls == nil {
		return nc, err
	}
	secured := tls.Client(nc, c.host.tls)
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = nc.Close() // nothing was sent that counts
		return nil, err
	}
	return secured, nil
}

// write writes a request. Where that fails, its goroutine finds the connection
// broken; it reads what the server may have said before. Written, if not nil, is
// closed.
func (c *conn) write(out []byte, written chan struct{}) {
	if written != nil {
		defer close(written)
	}
	if _, err := c.nc.Write(out); err != nil {
		_ = c.nc.SetReadDeadline(time.Now().Add(brokenGrace)) // fails if it is closed
	}
}

// brokenGrace is how long is waited for a word of a server that takes no more.
const brokenGrace = 50 * time.Millisecond

// answered hands an answer to who waits for it. The error says that the connection
// is of no more use.
func (c *conn) answered(a Answer) error {
	h := c.host
	reuse := !a.close && c.br.Buffered() == 0 && c.wholly(a.Code)
	c.takeNote(&a)
	h.mu.Lock()
	defer h.mu.Unlock()
	k := c.call
	if k == nil && !c.abandoned {
		return errUnasked
	}
	if c.abandoned && reuse {
		reuse = c.nc.SetDeadline(time.Time{}) == nil
	}
	c.call, c.abandoned, c.sent = nil, false, false
	h.busy.Add(-1)
	reuse = reuse && h.keepLocked(c)
	if k != nil {
		k.results <- result{host: h.place, answer: a}
	}
	if !reuse {
		return errSpent
	}
	return nil
}

// takeNote takes from an answer what it says about the host.
func (c *conn) takeNote(a *Answer) {
	h := c.host
	h.mu.Lock()
	status := c.status
	h.mu.Unlock()
	if status {
		return // which is told by who can't do anything else, too, and bears no label
	}
	if labelled(a.Code) {
		h.labelled.Store(a.Degraded != 0)
	}
	switch verdict := judge(a.Code); {
	case verdict == again:
		h.fail(unable{string(a.Body)})
	case verdict == final && h.labelled.Load() && h.client.hasBetter(h):
		h.fail(errLabelled)
	case verdict == final:
		h.serves()
	}
}

// wholly tells whether the request that has an answer of this code was written
// wholly, so that another can follow.
func (c *conn) wholly(code int) bool {
	c.host.mu.Lock()
	written := c.written
	c.written = nil
	c.host.mu.Unlock()
	if written == nil {
		return true
	}
	if code == http.StatusOK {
		<-written // it has been read, after all
		return true
	}
	select {
	case <-written:
		return true
	default:
		return false
	}
}

// ended closes the connection, and tells who waits for an answer that none comes.
func (c *conn) ended(err error) {
	h := c.host
	h.mu.Lock()
	h.removeLocked(c)
	if c.nc != nil {
		_ = c.nc.Close() // it has served
	}
	k, inUse := c.call, c.call != nil || c.abandoned
	c.call, c.abandoned = nil, false
	if inUse {
		h.busy.Add(-1)
	}
	if h.mu.closed {
		err = torc.ErrClosed
	}
	if k != nil {
		k.results <- result{host: h.place, err: err, sent: c.sent}
	}
	h.mu.Unlock()
	if inUse {
		h.fail(err)
	}
}
