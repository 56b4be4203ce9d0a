package demux

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
)

// pipeListener accepts one end of what it dials.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func newPipeListener() *pipeListener {
	return &pipeListener{make(chan net.Conn), make(chan struct{})}
}

func (l *pipeListener) dial() net.Conn {
	client, server := net.Pipe()
	l.conns <- server
	return client
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { close(l.closed); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }

// TestTimes follows connections by the clock: one that says nothing, one that
// nobody accepts, one that is accepted in the last instant.
func TestTimes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		parent := newPipeListener()
		d := New(parent, Config{})
		served := make(chan error, 1)
		go func() { served <- d.Serve() }()
		began := time.Now()
		lives := func(conn net.Conn) time.Duration {
			_, _ = io.Copy(io.Discard, conn)
			return time.Since(began)
		}
		silent, half, unaccepted, accepted := parent.dial(), parent.dial(), parent.dial(), parent.dial()
		_, _ = io.WriteString(half, "PRI *")
		_, _ = io.WriteString(unaccepted, preface)
		_, _ = io.WriteString(accepted, "m")
		time.Sleep(DefaultTimeout - 1)
		conn, err := d.Data().Accept()
		if err != nil {
			t.Fatal(err)
		}
		for what, conn := range map[string]net.Conn{"silent": silent, "half": half, "unaccepted": unaccepted} {
			if got := lives(conn); got != DefaultTimeout {
				t.Errorf("%s: closed after %s, want %s", what, got, DefaultTimeout)
			}
		}
		time.Sleep(10 * DefaultTimeout)
		go func() { _, _ = io.WriteString(accepted, "n\r\n"); _ = accepted.Close() }()
		if got, err := io.ReadAll(conn); string(got) != "mn\r\n" || err != nil {
			t.Errorf("accepted: %q, %v", got, err)
		}
		_ = d.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
}

// streamConn is a connection of which only reading is of interest.
type streamConn struct {
	net.Conn
	r io.Reader
}

func (c streamConn) Read(b []byte) (int, error) { return c.r.Read(b) }

// FuzzFirstBytes wants every connection told by its first bytes, in whatever
// pieces they come, and every byte to be there afterwards.
func FuzzFirstBytes(f *testing.F) {
	for _, s := range []string{http2Greeting, "mn\r\n", "PRI * HTTP/1.1\r\n", "PRI", "", "\x00", preface, preface[1:], strings.Repeat("PRI ", 100)} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		for _, r := range []io.Reader{
			bytes.NewReader(sent), iotest.OneByteReader(bytes.NewReader(sent)), iotest.DataErrReader(bytes.NewReader(sent)),
		} {
			ready, http2, err := read(streamConn{r: r})
			if undecided := strings.HasPrefix(preface, string(sent)) && len(sent) < len(preface); undecided != (err != nil) {
				t.Fatalf("%q: %v", sent, err)
			}
			if err != nil {
				continue
			}
			if want := bytes.HasPrefix(sent, []byte(preface)); http2 != want {
				t.Errorf("%q: HTTP/2 is %v", sent, http2)
			}
			if got, err := io.ReadAll(ready); !bytes.Equal(got, sent) || err != nil {
				t.Errorf("%q came, %v; %q was sent", got, err, sent)
			}
		}
	})
}
