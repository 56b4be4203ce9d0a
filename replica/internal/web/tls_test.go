package web

import (
	"crypto/tls"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/torc-dht/torc/internal/selfsigned"
)

// serveTLS has s serve with a certificate of its own, and returns what its
// clients need.
func serveTLS(tb testing.TB, s *Server) (addr string, stop func(), config *tls.Config) {
	tb.Helper()
	cert, roots := selfsigned.Certificate(tb)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	stop = serveOn(tb, s, tls.NewListener(l, &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}}))
	return l.Addr().String(), stop, &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	s := &Server{Backend: &memory{}, Peer: echoPeer, Preface: preface}
	addr, stop, config := serveTLS(t, s)
	connect := func() *tls.Conn {
		t.Helper()
		c, err := tls.Dial("tcp", addr, config)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		return c
	}
	c := connect()
	ok := func(body string) string { return (&form{modern: true, lasts: true, status: 200, body: body}).want() }
	big := strings.Repeat("x", 100_000)
	talk(t, c, "GET /foo="+big+" HTTP/1.1\r\n"+host+"\r\n", ok("foo=NIL"))
	talk(t, c, "GET /foo HTTP/1.1\r\n"+host+"\r\n", ok("foo="+big))
	talk(t, c, "POST foo HTTP/1.1\r\n\r\n", (&form{status: 405, body: badMethod.text, more: "Allow: GET, HEAD\r\n"}).want())
	if got := rest(t, c); got != "" {
		t.Errorf("read %q behind the end", got)
	}

	peer := connect()
	talk(t, peer, preface+"hello", "peer:hello")

	if got, want := exchange(t, addr, "GET foo HTTP/1.1\r\n\r\n", 100), (&form{status: 400, body: plainToTLS.text}).want(); got != want {
		t.Errorf("without TLS: answered %q, want %q", got, want)
	}
	if got := exchange(t, addr, "\x00\x01\x02\x03\x04\x05", 100); strings.Contains(got, "HTTP") {
		t.Errorf("something else: answered %q", got)
	}

	idle := connect()
	talk(t, idle, "GET /a HTTP/1.1\r\n"+host+"\r\n", ok("a=NIL"))
	silent := dial(t, addr) // in the middle of a handshake
	stop()
	if got := rest(t, idle); got != "" {
		t.Errorf("read %q", got)
	}
	_, _ = io.ReadAll(silent)
	talk(t, peer, "still", "still")
	_ = peer.Close()
}
