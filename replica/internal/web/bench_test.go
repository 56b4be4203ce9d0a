package web

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/torc-dht/torc/replica/internal/msg"
)

// benchConns is how many clients the benchmarks have.
const benchConns = 64

// A GET and a GET that sets, by 64 clients, from this package and from net/http
// over the same map. The clients are the same, and share the machine.
func BenchmarkRequests(b *testing.B) {
	for _, form := range []struct{ name, request string }{
		{"get", "GET /key HTTP/1.1\r\nHost: a:1\r\n\r\n"},
		{"set", "GET /key=value HTTP/1.1\r\nHost: a:1\r\n\r\n"},
		{"get-curl", "GET /key HTTP/1.1\r\nHost: 127.0.0.1:8081\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n"},
	} {
		for _, server := range []struct {
			name  string
			start func(testing.TB, Backend) string
		}{{"web", startWeb}, {"net-http", startNetHTTP}} {
			b.Run(form.name+"/"+server.name, func(b *testing.B) {
				m := &memory{}
				_, _ = m.Do(&msg.Op{Kind: msg.Put, Key: "key", Value: []byte("value")})
				drive(b, server.start(b, m), form.request, "key=value")
			})
		}
	}
}

// The same without sockets, so that what they cost doesn't hide the rest: one
// connection that always has another request, and takes any answer.
func BenchmarkWithoutSockets(b *testing.B) {
	const request = "GET /key HTTP/1.1\r\nHost: 127.0.0.1:8081\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n"
	backend := &constant{Status: msg.OK, Found: true, Old: []byte("value")}
	b.Run("web", func(b *testing.B) {
		b.ReportAllocs()
		p := newPipes()
		stop := serveOn(b, &Server{Backend: backend}, p)
		c := newRepeated(request, b.N)
		p.conns <- c
		<-c.closed
		stop()
	})
	b.Run("net-http", func(b *testing.B) {
		b.ReportAllocs()
		p := newPipes()
		s := &http.Server{Handler: netHTTP(backend)}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = s.Serve(p)
		}()
		c := newRepeated(request, b.N)
		p.conns <- c
		<-c.closed
		_ = s.Close()
		<-ended
	})
}

// repeated is a connection over which a request comes n times, one at a read.
type repeated struct {
	script
	request string
	buffer  []byte
	n       int
	closed  chan struct{}
	close   func()
}

func newRepeated(request string, n int) *repeated {
	r := &repeated{request: request, buffer: make([]byte, 0, len(request)), n: n, closed: make(chan struct{})}
	r.close = sync.OnceFunc(func() { close(r.closed) })
	return r
}

func (r *repeated) Read(b []byte) (int, error) {
	if len(r.in) == 0 && r.n > 0 {
		r.in, r.step, r.n = append(r.buffer[:0], r.request...), len(r.request), r.n-1
	}
	return r.script.Read(b)
}

func (r *repeated) Write(b []byte) (int, error) { return len(b), nil }
func (r *repeated) Close() error                { r.close(); return nil }
func (r *repeated) SetDeadline(time.Time) error { return nil }
func (r *repeated) LocalAddr() net.Addr         { return &net.TCPAddr{} }
func (r *repeated) RemoteAddr() net.Addr        { return &net.TCPAddr{} }

func startWeb(tb testing.TB, m Backend) string {
	addr, _ := serve(tb, &Server{Backend: m})
	return addr
}

// startNetHTTP serves the same with net/http, as far as it goes there.
func startNetHTTP(tb testing.TB, m Backend) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	s := &http.Server{Handler: netHTTP(m)}
	go func() { _ = s.Serve(l) }()
	tb.Cleanup(func() { _ = s.Close() })
	return l.Addr().String()
}

func netHTTP(m Backend) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		key, value, write := strings.Cut(strings.TrimPrefix(r.RequestURI, "/"), "=")
		op := &msg.Op{Kind: msg.Get, Key: key}
		if write {
			op.Kind, op.Value = msg.Put, []byte(value)
		}
		result, err := m.Do(op)
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		h := w.Header()
		h["Server"] = []string{"torc"}
		h["Date"] = nil
		h["Content-Type"] = []string{"text/plain"}
		h["Content-Length"] = []string{strconv.Itoa(len(key) + 1 + len(result.Old))}
		_, _ = io.WriteString(w, key)
		_, _ = io.WriteString(w, "=")
		_, _ = w.Write(result.Old)
	}
}

// drive sends b.N requests over benchConns connections, one at a time each.
func drive(b *testing.B, addr, request, body string) {
	b.ReportAllocs()
	var left atomic.Int64
	left.Store(int64(b.N))
	var clients sync.WaitGroup
	failed := make(chan error, benchConns)
	conns := make([]net.Conn, benchConns)
	for i := range conns {
		conns[i] = dial(b, addr)
	}
	b.ResetTimer()
	for _, c := range conns {
		clients.Go(func() {
			out, in := []byte(request), make([]byte, 4096)
			for left.Add(-1) >= 0 {
				if _, err := c.Write(out); err != nil {
					failed <- err
					return
				}
				n, err := c.Read(in)
				if err != nil {
					failed <- err
					return
				}
				if !bytes.HasPrefix(in[:n], []byte("HTTP/1.1 200")) || !bytes.HasSuffix(in[:n], []byte(body)) {
					failed <- fmt.Errorf("answered %q", in[:n])
					return
				}
			}
		})
	}
	clients.Wait()
	b.StopTimer()
	for _, c := range conns {
		_ = c.Close()
	}
	select {
	case err := <-failed:
		b.Fatal(err)
	default:
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
}
