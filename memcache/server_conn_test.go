package memcache

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/torc-dht/torc/store"
)

// scriptConn is a connection whose client sends script in pieces of size bytes,
// reads all answers, and then closes.
type scriptConn struct {
	net.Conn // nil: what is not below is not called
	script   []byte
	size     int
	answers  bytes.Buffer
	writes   int
}

func (c *scriptConn) Read(b []byte) (int, error) {
	if len(c.script) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), c.size)], c.script)
	c.script = c.script[n:]
	return n, nil
}

func (c *scriptConn) Write(b []byte) (int, error) {
	c.writes++
	return c.answers.Write(b)
}

func (c *scriptConn) Close() error                     { return nil }
func (c *scriptConn) SetReadDeadline(time.Time) error  { return nil }
func (c *scriptConn) SetWriteDeadline(time.Time) error { return nil }
func (c *scriptConn) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (c *scriptConn) LocalAddr() net.Addr              { return &net.TCPAddr{} }

// answersTo is what a new server says to script when it comes in pieces of size
// bytes.
func answersTo(script []byte, size int) (answers []byte, writes int) {
	return answersOf(func(h Handler) Handler { return h }, script, size)
}

// answersOf is answersTo with a handler made of the server's.
func answersOf(wrap func(Handler) Handler, script []byte, size int) (answers []byte, writes int) {
	now := time.Unix(1e9, 0)
	s := &Server{
		Handler:     wrap(NewHandler(store.New(store.Config{Now: func() time.Time { return now }}))),
		MaxItemSize: 1000,
	}
	conn := &scriptConn{script: script, size: size}
	newServerConn(s, conn).serve()
	return conn.answers.Bytes(), conn.writes
}

// FuzzServerConn wants no panic, and that a script is answered the same in
// whatever pieces it arrives, one by one and in batches.
func FuzzServerConn(f *testing.F) {
	for _, s := range requestSeeds {
		f.Add([]byte(s+"\r\n12345\r\nget a\r\n"), uint16(3))
	}
	f.Add([]byte("set a 0 0 5\r\nhello\r\nget a\r\nset a 0 0 2000\r\n"+strings.Repeat("x", 2000)+"\r\nget a\r\nms a 1001 q\r\n"), uint16(100))
	f.Add([]byte("set a 0 0 5\r\nhello world\r\nmg a v\r\nquit\r\nget a\r\n"), uint16(1))
	f.Add(bytes.Repeat([]byte("get aaaa "), 3000), uint16(999))
	f.Add(append(bytes.Repeat([]byte("get a "), 1000), '\n'), uint16(999))
	f.Add(bytes.Repeat([]byte("x"), 2049), uint16(2048))
	f.Add([]byte("set a 0 0 1\r\nx\r\n"+strings.Repeat("get a\r\nset b 0 0 2 noreply\r\nyy\r\nmg b v q\r\nmn\r\n", 100)), uint16(9999))
	f.Fuzz(func(t *testing.T, script []byte, size uint16) {
		if bytes.Contains(script, []byte("stats")) {
			return // whose bytes_read tells how far it has come
		}
		want, _ := answersTo(script, len(script)+1)
		got, _ := answersTo(script, int(size)+1)
		if !bytes.Equal(got, want) {
			t.Errorf("%q\nwhole:              %q\nin pieces of %5d: %q", script, want, size+1, got)
		}
		for _, size := range []int{len(script), int(size)} {
			if got, _ := answersOf(InBatches, script, size+1); !bytes.Equal(got, want) {
				t.Errorf("%q\none by one: %q\nin batches: %q, pieces of %d", script, want, got, size+1)
			}
		}
		if bytes.Contains(want, []byte(errHandlerSilent.Answer)) {
			t.Errorf("%q met a silent handler: %q", script, want)
		}
	})
}

func TestPipelinedRequestsAreAnsweredInOneWrite(t *testing.T) {
	t.Parallel()
	script := strings.Repeat("set a 0 0 1\r\nx\r\nget a\r\nmg a v\r\nincr b 1\r\n", 100)
	answers, writes := answersTo([]byte(script), len(script))
	want := strings.Repeat("STORED\r\nVALUE a 0 1\r\nx\r\nEND\r\nVA 1\r\nx\r\nNOT_FOUND\r\n", 100)
	if string(answers) != want || writes != 1 {
		t.Errorf("%d writes of %d bytes, want 1 of %d", writes, len(answers), len(want))
	}
}

func TestLineLimits(t *testing.T) {
	t.Parallel()
	tooLong := errLineTooLong.Answer + "\r\n"
	for _, tc := range []struct{ what, script, want string }{
		{"the longest line", strings.Repeat("x", maxCommandLine) + "\nmn\r\n", "ERROR\r\nMN\r\n"},
		{"one byte more", strings.Repeat("x", maxCommandLine+1) + "\nmn\r\n", tooLong},
		{"garbage without end", strings.Repeat("x", 1<<20), tooLong},
		{"a long get", strings.Repeat(" ", 90) + "get " + strings.Repeat("k ", 100_000) + "\r\nmn\r\n", "END\r\nMN\r\n"},
		{"a get without end", "get " + strings.Repeat("k ", 1<<20), tooLong},
		{"an HTTP request", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", errHTTP.Answer + "\r\n"},
	} {
		if got, _ := answersTo([]byte(tc.script), 1000); string(got) != tc.want {
			t.Errorf("%s: %.200q, want %q", tc.what, got, tc.want)
		}
	}
}

// TestGetAllocatesNothing counts allocations of whole connections, a few, that
// carry out many requests each.
func TestGetAllocatesNothing(t *testing.T) {
	const requests = 10_000
	h := NewHandler(store.New(store.Config{}))
	for _, get := range []string{"get key\r\n", "gets key other\r\n", "mg key v f c t\r\n", "mg key v Oabcd k q\r\n", "get missing\r\n"} {
		for _, h := range []Handler{h, promptBatches{h}} {
			script := []byte("set key 5 0 100\r\n" + strings.Repeat("v", 100) + "\r\n" + strings.Repeat(get, requests))
			conn := &scriptConn{size: 1000}
			conn.answers.Grow(requests * 300)
			allocs := testing.AllocsPerRun(3, func() {
				conn.script = script
				conn.answers.Reset()
				newServerConn(&Server{Handler: h}, conn).serve()
			})
			if allocs > requests/20 { // a batch's calls, should the collector take them from the pool
				t.Errorf("%d times %q to %T: %v allocations", requests, get, h, allocs)
			}
		}
	}
}

func BenchmarkServerConn(b *testing.B) {
	h := NewHandler(store.New(store.Config{}))
	value := strings.Repeat("v", 100)
	for _, tc := range []struct{ name, request string }{
		{"get", "get key\r\n"},
		{"mg", "mg key v f c t\r\n"},
		{"set", fmt.Sprintf("set key 0 0 %d\r\n%s\r\n", len(value), value)},
	} {
		b.Run(tc.name, func(b *testing.B) {
			b.ReportAllocs()
			conn := &scriptConn{size: 16 << 10}
			conn.script = []byte("set key 5 0 100\r\n" + value + "\r\n")
			batch := []byte(strings.Repeat(tc.request, 100))
			for b.Loop() {
				conn.script = append(conn.script[:0], batch...)
				conn.answers.Reset()
				newServerConn(&Server{Handler: h}, conn).serve()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*100), "ns/request")
		})
	}
}
