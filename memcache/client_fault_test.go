package memcache_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/torc-dht/torc/memcache"
)

// script is what a fake server does on its n-th connection, counted from 0. The
// connection is closed when it returns.
type script func(n int, s *session)

// session is one connection of a fake server.
type session struct {
	net.Conn
	r *bufio.Reader
}

// fakeServer plays a script to each connection until the test ends.
func fakeServer(t *testing.T, play script) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	wg.Go(func() {
		for n := 0; ; n++ {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, nc)
			mu.Unlock()
			wg.Go(func() {
				defer nc.Close()
				play(n, &session{nc, bufio.NewReader(nc)})
			})
		}
	})
	t.Cleanup(func() {
		ln.Close()
		mu.Lock()
		for _, nc := range open {
			nc.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return ln.Addr().String()
}

// say sends what the client may not want to hear any more.
func (s *session) say(line string) { _, _ = io.WriteString(s, line) }

// drain reads until the client closes the connection.
func (s *session) drain() { _, _ = io.Copy(io.Discard, s.r) }

// greeting is what a client sends first, and how that is answered.
var greeting = map[string]string{"version\r\n": "VERSION 1.6.18\r\n", "mn\r\n": "MN\r\n"}

// request reads one request and returns its words and its opaque. It answers
// greetings by itself.
func (s *session) request() (words []string, opaque string, err error) {
	for {
		line, err := s.r.ReadString('\n')
		if err != nil {
			return nil, "", err
		}
		if answer := greeting[line]; answer != "" {
			s.say(answer)
			continue
		}
		words = strings.Fields(line)
		for _, w := range words {
			if w[0] == 'O' {
				opaque = w
			}
		}
		if words[0] == "ms" {
			var size int
			if _, err := fmt.Sscan(words[2], &size); err != nil {
				return nil, "", err
			}
			if _, err := s.r.Discard(size + 2); err != nil {
				return nil, "", err
			}
		}
		return words, opaque, nil
	}
}

// hit answers a get with the key as the value.
func hit(words []string, opaque string) string {
	return fmt.Sprintf("VA %d f0 c1 t-1 %s\r\n%s\r\n", len(words[1]), opaque, words[1])
}

// serveHits answers gets until the connection ends.
func (s *session) serveHits() {
	for {
		words, opaque, err := s.request()
		if err != nil {
			return
		}
		if _, err := io.WriteString(s, hit(words, opaque)); err != nil {
			return
		}
	}
}

// wantConnError stops the test unless err is a *ConnError.
func wantConnError(t *testing.T, err error) *memcache.ConnError {
	t.Helper()
	var ce *memcache.ConnError
	if !errors.As(err, &ce) {
		t.Fatalf("error is %v, want a *ConnError", err)
	}
	return ce
}

// wantHit stops the test unless a get of key, tried until the server is dialled
// again, has the key as its value.
func wantHit(t *testing.T, c *memcache.Client, key string) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		item, err := c.Get(t.Context(), key)
		if err == nil {
			if string(item.Value) != key {
				t.Fatalf("the value at %s is %q", key, item.Value)
			}
			return
		}
		if ce := wantConnError(t, err); ce.Sent || time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func TestServerRefuses(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	c := openClient(t, addr, memcache.Config{BackoffMin: time.Minute, BackoffMax: time.Hour})
	if since, err := c.Failing(); !since.IsZero() || err != nil {
		t.Errorf("failing before anything was asked: %v, %v", since, err)
	}
	_, err = c.Get(t.Context(), "k")
	first := wantConnError(t, err)
	if first.Sent || first.Addr != addr || first.Since.IsZero() || !strings.Contains(err.Error(), "refused") {
		t.Errorf("error is %+v: %v", first, err)
	}
	_, err = c.Get(t.Context(), "k")
	again := wantConnError(t, err)
	if again.Sent || !again.Since.Equal(first.Since) || !strings.Contains(err.Error(), "not tried again before") || !strings.Contains(err.Error(), "refused") {
		t.Errorf("error between attempts is %+v: %v", again, err)
	}
	since, why := c.Failing()
	if !since.Equal(first.Since) || why == nil {
		t.Errorf("failing since %v: %v", since, why)
	}
	for _, err := range c.Metadump(t.Context()) {
		if wantConnError(t, err).Sent {
			t.Errorf("a dump that was not sent: %v", err)
		}
	}
}

func TestServerComesBack(t *testing.T) {
	t.Parallel()
	var broken atomic.Bool
	broken.Store(true)
	addr := fakeServer(t, func(n int, s *session) {
		if !broken.Load() {
			s.serveHits()
		}
	})
	c := openClient(t, addr, memcache.Config{BackoffMax: 20 * time.Millisecond})
	_, err := c.Get(t.Context(), "k")
	if wantConnError(t, err).Sent {
		t.Errorf("sent to a server that had not greeted: %v", err)
	}
	broken.Store(false)
	wantHit(t, c, "k")
	if since, err := c.Failing(); !since.IsZero() || err != nil {
		t.Errorf("failing since %v: %v", since, err)
	}
}

func TestServerIsNoMemcached(t *testing.T) {
	t.Parallel()
	for greeting, want := range map[string]string{
		"HTTP/1.1 400 Bad Request\r\n":        "not the protocol",
		"VERSION 1.4.39\r\nERROR\r\n":         "a memcached 1.4.39, and 1.6.13 is the oldest",
		"VERSION 1.6.12\r\nMN\r\n":            "a memcached 1.6.12, and 1.6.13 is the oldest",
		"VERSION 3.0-other\r\nERROR\r\n":      `"ERROR" to the meta command mn`,
		"ERROR\r\nERROR\r\n":                  "no memcached 1.6.13 or newer",
		"ERROR Too many open connections\r\n": "Too many open connections",
		strings.Repeat("x", 1<<20):            "a line without an end",
		"VA 5 Oabcd\r\nhello\r\n":             "another request",
		"M":                                   "in the middle of an answer",
		"":                                    "closed the connection",
	} {
		addr := fakeServer(t, func(n int, s *session) {
			_, _ = s.r.ReadString('\n')
			_, _ = s.r.ReadString('\n')
			s.say(greeting)
		})
		c := openClient(t, addr, memcache.Config{})
		_, err := c.Get(t.Context(), "k")
		if ce := wantConnError(t, err); ce.Sent || !strings.Contains(err.Error(), want) {
			t.Errorf("greeted with %.40q: %v, want %q", greeting, err, want)
		}
	}
}

// A server that has no version to tell, as a Handler need not, is taken as it is.
func TestServerWithoutVersion(t *testing.T) {
	t.Parallel()
	addr := fakeServer(t, func(n int, s *session) {
		_, _ = s.r.ReadString('\n')
		s.say("SERVER_ERROR no version here\r\n")
		s.serveHits()
	})
	wantHit(t, openClient(t, addr, memcache.Config{}), "k")
}

func TestServerAcceptsAndIsSilent(t *testing.T) {
	t.Parallel()
	addr := fakeServer(t, func(n int, s *session) { s.drain() })
	c := openClient(t, addr, memcache.Config{DialTimeout: 50 * time.Millisecond})
	_, err := c.Set(t.Context(), memcache.Item{Key: "k"}, memcache.ModeSet)
	ce := wantConnError(t, err)
	if ce.Sent || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("error is %+v: %v", ce, err)
	}
	// Who doesn't wait for so long gets his own error, and the dial goes on.
	c = openClient(t, addr, memcache.Config{DialTimeout: time.Minute})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err = c.Get(ctx, "k")
	if ce := wantConnError(t, err); ce.Sent || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error is %+v: %v", ce, err)
	}
}

// brokenAnswers are answers to a get that are none. None may be taken for a
// value, and each costs the connection.
var brokenAnswers = map[string]func(words []string, opaque string) string{
	"rubbish":                func([]string, string) string { return "\x00\x01\x02\xff\r\n\r\n" },
	"half an answer":         func(w []string, o string) string { return hit(w, o)[:9] },
	"half a value":           func(w []string, o string) string { return hit(w, o)[:len(hit(w, o))-4] },
	"wrong opaque":           func(w []string, o string) string { return hit(w, "O....") },
	"no opaque":              func(w []string, o string) string { return hit(w, "") },
	"a longer value":         func(w []string, o string) string { return strings.Replace(hit(w, o), w[1]+"\r", w[1]+w[1]+"\r", 1) },
	"a value without end":    func(w []string, o string) string { return "VA 99999999999999999999 " + o + "\r\nx" },
	"a negative size":        func(w []string, o string) string { return "VA -1 " + o + "\r\n\r\n" },
	"an answer to set":       func(w []string, o string) string { return "HD " + o + "\r\n" },
	"another's miss":         func(w []string, o string) string { return "EN O....\r\n" },
	"an answer to mn":        func([]string, string) string { return "MN\r\n" },
	"a classic answer":       func(w []string, o string) string { return "VALUE k 0 1\r\nx\r\nEND\r\n" },
	"a line feed":            func([]string, string) string { return "\n" },
	"two answers":            func(w []string, o string) string { return hit(w, "O....") + hit(w, o) },
	"nothing":                func([]string, string) string { return "" },
	"a line that never ends": func([]string, string) string { return strings.Repeat("y", 200_000) },
}

func TestServerAnswersRubbish(t *testing.T) {
	t.Parallel()
	for name, answer := range brokenAnswers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr := fakeServer(t, func(n int, s *session) {
				if n > 0 {
					s.serveHits()
					return
				}
				words, opaque, err := s.request()
				if err != nil {
					return
				}
				s.say(answer(words, opaque))
				_ = s.Conn.(*net.TCPConn).CloseWrite()
				s.drain()
			})
			c := openClient(t, addr, memcache.Config{Conns: 1, BackoffMax: 5 * time.Millisecond})
			item, err := c.Get(t.Context(), "some-key")
			if err == nil {
				t.Fatalf("got %q", item.Value)
			}
			if ce := wantConnError(t, err); !ce.Sent || ce.Since.IsZero() {
				t.Errorf("error is %+v: %v", ce, err)
			}
			wantHit(t, c, "some-key")
		})
	}
}

// A server that is one answer behind gives every caller the value of another's
// key. Nobody may see one.
func TestServerIsShifted(t *testing.T) {
	t.Parallel()
	for _, extra := range []string{"EN\r\n", "SERVER_ERROR out of memory\r\n", "HD O0000\r\n"} {
		addr := fakeServer(t, func(n int, s *session) {
			for i := 0; ; i++ {
				words, opaque, err := s.request()
				if err != nil {
					return
				}
				if i == 3 {
					s.say(extra)
				}
				s.say(hit(words, opaque))
			}
		})
		c := openClient(t, addr, memcache.Config{BackoffMax: time.Millisecond})
		var wg sync.WaitGroup
		var hits atomic.Int64
		for g := range 16 {
			wg.Go(func() {
				for i := range 100 {
					key := fmt.Sprintf("key-%d-%d", g, i)
					item, err := c.Get(t.Context(), key)
					if err != nil {
						continue
					}
					hits.Add(1)
					if string(item.Value) != key {
						t.Errorf("%s has the value %q", key, item.Value)
					}
				}
			})
		}
		wg.Wait()
		if hits.Load() == 0 {
			t.Error("no hit at all")
		}
	}
}

func TestServerResetsHalfWay(t *testing.T) {
	t.Parallel()
	addr := fakeServer(t, func(n int, s *session) {
		if n > 0 {
			s.serveHits()
			return
		}
		for range 5 {
			if _, _, err := s.request(); err != nil {
				return
			}
		}
		_ = s.Conn.(*net.TCPConn).SetLinger(0)
	})
	c := openClient(t, addr, memcache.Config{Conns: 1, BackoffMax: 5 * time.Millisecond})
	var wg sync.WaitGroup
	for g := range 5 {
		wg.Go(func() {
			key := fmt.Sprintf("k%d", g)
			item, err := c.Get(t.Context(), key)
			if err != nil {
				wantSent(t, err)
			} else if string(item.Value) != key {
				t.Errorf("%s has the value %q", key, item.Value)
			}
		})
	}
	wg.Wait()
	wantHit(t, c, "k")
}

func wantSent(t *testing.T, err error) {
	var ce *memcache.ConnError
	if !errors.As(err, &ce) || !ce.Sent {
		t.Errorf("error is %v, want a *ConnError of a request that was sent", err)
	}
}

// A late answer is dropped, the connection lives, and other callers never
// notice.
func TestServerIsSlow(t *testing.T) {
	t.Parallel()
	var conns atomic.Int64
	release := make(chan struct{})
	addr := fakeServer(t, func(n int, s *session) {
		conns.Add(1)
		for {
			words, opaque, err := s.request()
			if err != nil {
				return
			}
			if words[1] == "slow" {
				<-release
			}
			s.say(hit(words, opaque))
		}
	})
	c := openClient(t, addr, memcache.Config{Conns: 1})
	wantHit(t, c, "before")

	// The first reads for itself, the others wait for the one that reads.
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	for range 3 {
		wg.Go(func() {
			_, err := c.Get(ctx, "slow")
			wantSent(t, err)
			if !errors.Is(err, context.Canceled) {
				t.Errorf("error is %v, want the context's", err)
			}
		})
	}
	deadline, cancel2 := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel2()
	_, err := c.Get(deadline, "slow")
	wantSent(t, err)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error is %v, want the context's", err)
	}
	cancel()
	wg.Wait()

	var patient sync.WaitGroup
	patient.Go(func() {
		item, err := c.Get(t.Context(), "after")
		if err != nil || string(item.Value) != "after" {
			t.Errorf("got %q, %v", item.Value, err)
		}
	})
	close(release)
	patient.Wait()
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections were made, want one", n)
	}
	if since, err := c.Failing(); !since.IsZero() {
		t.Errorf("still failing since %v: %v", since, err)
	}
}

// A server may close connections that are idle: the next request goes out on a
// new one, without an error.
func TestServerClosesIdle(t *testing.T) {
	t.Parallel()
	closed := make(chan struct{})
	var conns atomic.Int64
	addr := fakeServer(t, func(n int, s *session) {
		conns.Add(1)
		words, opaque, err := s.request()
		if err != nil {
			return
		}
		s.say(hit(words, opaque))
		time.Sleep(5 * time.Millisecond) // it is idle now
		s.Close()
		closed <- struct{}{}
	})
	c := openClient(t, addr, memcache.Config{Conns: 1})
	for i := range 10 {
		key := fmt.Sprint("k", i)
		item, err := c.Get(t.Context(), key)
		if err != nil || string(item.Value) != key {
			t.Fatalf("request %d: %q, %v", i, item.Value, err)
		}
		<-closed
	}
	if n := conns.Load(); n != 10 {
		t.Errorf("%d connections were made, want 10", n)
	}
	if since, err := c.Failing(); !since.IsZero() {
		t.Errorf("failing since %v: %v", since, err)
	}
}

// A server that does not understand a set may take its value for commands: the
// connection is given up.
func TestSetRefusedOutOfStep(t *testing.T) {
	t.Parallel()
	addr := fakeServer(t, func(n int, s *session) {
		words, opaque, err := s.request()
		if err != nil {
			return
		}
		if words[0] == "ms" {
			s.say("CLIENT_ERROR bad command line format\r\n")
			s.drain()
			return
		}
		s.say(hit(words, opaque))
		s.serveHits()
	})
	c := openClient(t, addr, memcache.Config{Conns: 1, BackoffMax: time.Millisecond})
	_, err := c.Set(t.Context(), memcache.Item{Key: "k", Value: []byte("flush_all\r\n")}, memcache.ModeSet)
	var se *memcache.ServerError
	if !errors.As(err, &se) {
		t.Errorf("error is %v, want the server's", err)
	}
	wantHit(t, c, "k")
}

func TestCloseWithRequestsUnderWay(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 10)
	addr := fakeServer(t, func(n int, s *session) {
		for {
			if _, _, err := s.request(); err != nil {
				return
			}
			asked <- struct{}{}
		}
	})
	c := memcache.NewClient(addr, memcache.Config{})
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() {
			_, err := c.Get(t.Context(), fmt.Sprint("k", i))
			wantSent(t, err)
			if !errors.Is(err, memcache.ErrClosed) {
				t.Errorf("error is %v, want ErrClosed", err)
			}
		})
	}
	for range 10 {
		<-asked
	}
	c.Close()
	wg.Wait()
	_, err := c.Get(t.Context(), "k")
	if ce := wantConnError(t, err); ce.Sent || !errors.Is(err, memcache.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	c.Close()
}
