package memcache

import (
	"bytes"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync/atomic"
	"time"
)

const (
	// inSize is a connection's input buffer; memcached's is as large.
	inSize = 16 << 10
	// maxCommandLine is the longest command line, a get's excepted.
	maxCommandLine = 2048
	// maxGetLine is the longest line of a get: a thousand of the longest keys.
	maxGetLine = 256<<10 - 1
	// valueChunk is the most memory that is taken for a value before any of it
	// has come.
	valueChunk = 64 << 10
)

// The states of a connection. It becomes connClosed only from connIdle, so that
// no request is carried out whose answer would meet a closed connection.
const (
	connBusy   = int32(iota)
	connIdle   // no byte of a request is here
	connClosed // by Shutdown
)

// errClosing ends a connection that has done nothing wrong.
var errClosing = errors.New("memcache: connection ends")

// serverConn is a client's connection. Its fields belong to the goroutine that
// serves it, but for state.
type serverConn struct {
	srv   *Server
	conn  net.Conn
	state atomic.Int32

	in       []byte // in[r:w] is what was read and not yet consumed
	r, w     int
	deadline bool // a read deadline is set
	began    bool // the request under way has got its deadline

	maxItem     int
	readTimeout time.Duration
	req         Request
	out         ResponseWriter

	batcher BatchHandler // the Handler, if it is one
	batch   *Batch       // what is gathered for it; nil while there is nothing to do
}

func newServerConn(s *Server, conn net.Conn) *serverConn {
	c := &serverConn{
		srv: s, conn: conn, in: make([]byte, inSize),
		maxItem: s.maxItemSize(), readTimeout: timeout(s.ReadTimeout, DefaultReadTimeout),
	}
	c.out = ResponseWriter{conn: conn, timeout: timeout(s.WriteTimeout, DefaultWriteTimeout), written: &s.stats.written}
	c.batcher, _ = s.Handler.(BatchHandler)
	return c
}

// serve carries out requests until the client or the server ends that.
func (c *serverConn) serve() {
	defer func() {
		if p := recover(); p != nil {
			c.srv.stats.handlerPanics.Add(1)
			c.srv.logf("memcache: handler panicked on a request of %s: %v\n%s", c.conn.RemoteAddr(), p, debug.Stack())
		}
		c.out.release()
		c.releaseBatch()
	}()
	if t, ok := c.conn.(*tls.Conn); ok {
		if !c.handshake(t) {
			return
		}
	}
	for {
		line, complete, err := c.nextLine()
		if !complete {
			c.serveBatch()
		}
		switch {
		case err != nil:
			c.refuse(errLineTooLong)
			return
		case complete:
			err = c.request(line)
			c.began = false
		default:
			err = c.fill()
		}
		if err == nil {
			err = c.out.err
		}
		if err != nil {
			c.out.flush()
			return
		}
	}
}

func (c *serverConn) handshake(t *tls.Conn) bool {
	if c.readTimeout > 0 {
		_ = t.SetDeadline(time.Now().Add(c.readTimeout))
	}
	if err := t.Handshake(); err != nil {
		if !c.srv.closing.Load() {
			c.srv.logf("memcache: TLS handshake with %s: %v", c.conn.RemoteAddr(), err)
		}
		return false
	}
	_ = t.SetDeadline(time.Time{})
	return true
}

// nextLine consumes a line and returns it without its end. It is good until fill.
// The error says that the line is too long, whether or not all of it is here.
func (c *serverConn) nextLine() (line []byte, complete bool, err error) {
	here := c.in[c.r:c.w]
	i := bytes.IndexByte(here, '\n')
	if i >= 0 {
		here = here[:i]
	}
	if len(here) > maxCommandLine && (len(here) > maxGetLine || !isGet(here)) {
		return nil, false, errLineTooLong
	}
	if i < 0 {
		return nil, false, nil
	}
	c.r += i + 1
	if i > 0 && here[i-1] == '\r' {
		here = here[:i-1]
	}
	return here, true, nil
}

// isGet says whether line is the beginning of a command with any number of keys.
func isGet(line []byte) bool {
	name, _ := nextField(line[:min(len(line), 100)])
	switch string(name) {
	case "get", "gets", "gat", "gats":
		return true
	}
	return false
}

// refuse answers err and ends the connection, as far as the client lets it be
// answered.
func (c *serverConn) refuse(err *RequestError) {
	c.out.begin(&Request{})
	c.out.Error(err.Answer)
	c.out.flush()
}

// fill reads more input, having written all output first: nothing is left to be
// done until there is some.
func (c *serverConn) fill() error {
	if c.out.flush(); c.out.err != nil {
		return c.out.err
	}
	switch {
	case c.r == c.w:
		c.r, c.w = 0, 0
		if len(c.in) > inSize {
			c.in = make([]byte, inSize)
		}
	case c.r > 0:
		c.w = copy(c.in, c.in[c.r:c.w])
		c.r = 0
	case c.w == len(c.in):
		in := make([]byte, 2*len(c.in))
		copy(in, c.in)
		c.in = in
	}
	if c.w > 0 {
		c.armRequest()
		return c.read()
	}
	c.out.release()
	c.releaseBatch()
	c.armIdle()
	// Most likely there is nothing to read yet, and to ask is a system call. Let
	// others be served first: that saves a tenth of the time of a busy server.
	runtime.Gosched()
	c.state.Store(connIdle)
	if c.srv.closing.Load() {
		return errClosing
	}
	err := c.read()
	if !c.state.CompareAndSwap(connIdle, connBusy) {
		return errClosing
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.srv.stats.idleKicks.Add(1)
	}
	return err
}

// read reads once, into the input buffer, which has room.
func (c *serverConn) read() error {
	n, err := c.conn.Read(c.in[c.w:])
	c.w += n
	c.srv.stats.read.Add(uint64(n))
	if n > 0 {
		return nil
	}
	return err
}

// armRequest gives the request that has begun to arrive its time, once.
func (c *serverConn) armRequest() {
	if !c.began && c.readTimeout > 0 {
		_ = c.conn.SetReadDeadline(time.Now().Add(c.readTimeout)) // fails where the read will
		c.deadline = true
	}
	c.began = true
}

func (c *serverConn) armIdle() {
	switch {
	case c.srv.IdleTimeout > 0:
		_ = c.conn.SetReadDeadline(time.Now().Add(c.srv.IdleTimeout))
		c.deadline = true
	case c.deadline:
		_ = c.conn.SetReadDeadline(time.Time{})
		c.deadline = false
	}
}

// request carries out the request whose line was read, or gathers it to be
// carried out with others. An error ends the connection.
func (c *serverConn) request(line []byte) error {
	r := &c.req
	if c.batcher != nil {
		r = &c.nextCall().Request
	}
	err := ParseRequest(line, r)
	if c.batcher != nil {
		if err == nil && c.gather() {
			return nil
		}
		if c.serveBatch(); c.out.err != nil {
			return c.out.err
		}
	}
	n, hasData := r.DataLen()
	c.out.begin(r)
	if err != nil {
		c.srv.stats.requestsMalformed.Add(1)
		var re *RequestError
		if !errors.As(err, &re) {
			return err
		}
		c.out.Error(re.Answer)
		if re == errHTTP {
			return errClosing // headers would follow, each an error
		}
		if hasData {
			return c.discard(n + 2)
		}
		return nil
	}
	if hasData {
		if n > c.maxItem {
			return c.tooLarge(r, n)
		}
		ok, err := c.readValue(r, n)
		if err != nil {
			return err
		}
		if !ok {
			c.out.Error(errBadChunk.Answer)
			return nil
		}
	}
	r.MaxValue = c.maxItem
	switch r.Op {
	case OpQuit:
		return errClosing
	case OpNoop:
		c.out.Line("MN")
		return nil
	case OpStats:
		c.writeStats(r)
	}
	if c.batcher != nil && batched(r) {
		c.serveAlone()
		return nil
	}
	c.srv.Handler.ServeMemcache(&c.out, r)
	c.out.finish()
	return nil
}

// tooLarge refuses the value of r. What is at the key goes too if it was to be
// replaced, so that nobody takes an old value for the new one: memcached does the
// same.
func (c *serverConn) tooLarge(r *Request, n int) error {
	c.srv.stats.storeTooLarge.Add(1)
	if !c.srv.KeepTooLarge && (r.Mode == ModeSet || r.form.meta()) {
		drop := Request{Op: OpDelete, Key: r.Key, BinaryKey: r.BinaryKey, Noreply: true}
		if c.batcher != nil {
			b := newBatch()
			b.next().Request = drop
			b.add()
			c.serveAll(b, false)
		} else {
			c.out.begin(&drop)
			c.srv.Handler.ServeMemcache(&c.out, &drop)
			c.out.finish()
		}
	}
	c.out.begin(r)
	c.out.Error(errTooLarge.Answer)
	return c.discard(n + 2)
}

// readValue reads the value of r, of n bytes, and says whether it ends as it should. The
// command's line stays where it is: what is not in the buffer is read past it.
func (c *serverConn) readValue(r *Request, n int) (ok bool, err error) {
	here := c.in[c.r:c.w]
	if len(here) >= n+2 {
		c.r += n + 2
		if here[n] != '\r' || here[n+1] != '\n' {
			return false, nil
		}
		r.Value = append(make([]byte, 0, n), here[:n]...)
		return true, nil
	}
	if c.out.flush(); c.out.err != nil {
		return false, c.out.err
	}
	c.armRequest()
	value := append(make([]byte, 0, min(n+2, valueChunk)), here...)
	c.r = c.w
	for len(value) < n+2 {
		if len(value) == cap(value) {
			value = append(make([]byte, 0, min(n+2, 2*cap(value))), value...)
		}
		m, err := c.conn.Read(value[len(value):cap(value)])
		value = value[:len(value)+m]
		c.srv.stats.read.Add(uint64(m))
		if err != nil && len(value) < n+2 {
			return false, err
		}
	}
	r.Value = value[:n]
	return value[n] == '\r' && value[n+1] == '\n', nil
}

// discard reads past n bytes.
func (c *serverConn) discard(n int) error {
	for {
		here := min(n, c.w-c.r)
		c.r += here
		if n -= here; n == 0 {
			return nil
		}
		if c.out.flush(); c.out.err != nil {
			return c.out.err
		}
		c.armRequest()
		c.r, c.w = 0, 0
		if err := c.read(); err != nil {
			return err
		}
	}
}

// writeStats writes the figures that the server has and the handler has not.
func (c *serverConn) writeStats(r *Request) {
	s, st, w := c.srv, &c.srv.stats, &c.out
	stat := func(name string, n uint64) { w.Stat(name, strconv.FormatUint(n, 10)) }
	if len(r.Args) == 0 {
		stat("pid", uint64(os.Getpid()))
		w.Stat("version", serverVersion)
		stat("pointer_size", strconv.IntSize)
		stat("max_connections", uint64(s.maxConns()))
		stat("curr_connections", uint64(st.current.Load()))
		stat("total_connections", st.total.Load())
		stat("rejected_connections", st.rejected.Load())
		stat("idle_kicks", st.idleKicks.Load())
		stat("bytes_read", st.read.Load())
		stat("bytes_written", st.written.Load())
		stat("store_too_large", st.storeTooLarge.Load())
		stat("malformed_requests", st.requestsMalformed.Load())
		stat("handler_panics", st.handlerPanics.Load())
		stat("threads", uint64(runtime.GOMAXPROCS(0)))
		return
	}
	if string(r.Args[0]) == "settings" {
		stat("maxconns", uint64(s.maxConns()))
		stat("item_size_max", uint64(s.maxItemSize()))
		stat("idle_timeout", uint64(s.IdleTimeout/time.Second))
		stat("num_threads", uint64(runtime.GOMAXPROCS(0)))
		if _, port, err := net.SplitHostPort(c.conn.LocalAddr().String()); err == nil {
			w.Stat("tcpport", port)
		}
	}
}
