package web

import (
	"bytes"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// pipes is a listener whose connections are in memory, so that they take part in
// a bubble's time.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	close func()
}

func newPipes() *pipes {
	p := &pipes{conns: make(chan net.Conn), done: make(chan struct{})}
	p.close = sync.OnceFunc(func() { close(p.done) })
	return p
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.close(); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes"} }

// dial makes a connection.
func (p *pipes) dial(tb testing.TB) net.Conn {
	tb.Helper()
	client, server := net.Pipe()
	select {
	case p.conns <- server:
	case <-p.done:
		tb.Fatal("dialed after the end")
	}
	return client
}

// rest reads all that comes before the end.
func rest(t *testing.T, c net.Conn) string {
	t.Helper()
	b, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// script is a connection over which it is known what comes, step bytes at once,
// and then the end.
type script struct {
	net.Conn
	in   []byte
	step int
	out  bytes.Buffer
}

func (s *script) Read(b []byte) (int, error) {
	if len(s.in) == 0 {
		return 0, io.EOF
	}
	n := copy(b, s.in[:min(max(s.step, 1), len(s.in))])
	s.in = s.in[n:]
	return n, nil
}

func (s *script) Write(b []byte) (int, error)      { return s.out.Write(b) }
func (s *script) Close() error                     { return nil }
func (s *script) CloseWrite() error                { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }
