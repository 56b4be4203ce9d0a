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
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
	})}
	go func() { _ = s.Serve(l) }()
	tb.Cleanup(func() { _ = s.Close() })
	return l.Addr().String()
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
