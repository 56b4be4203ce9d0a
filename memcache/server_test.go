package memcache_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/torc-dht/torc/memcache"
	"github.com/torc-dht/torc/store"
)

func sorted(s []string) []string {
	slices.Sort(s)
	return s
}

func newHandler() memcache.Handler { return memcache.NewHandler(store.New(store.Config{})) }

// startServer serves s on a free port until the test ends.
func startServer(t testing.TB, s *memcache.Server) (addr string) {
	t.Helper()
	return startServerOn(t, s, s.Serve)
}

func startServerOn(t testing.TB, s *memcache.Server, serve func(net.Listener) error) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- serve(l) }()
	t.Cleanup(func() {
		_ = s.Close()
		if err := <-served; !errors.Is(err, memcache.ErrServerClosed) {
			t.Errorf("Serve returned %v, want ErrServerClosed", err)
		}
	})
	return l.Addr().String()
}

// client is a connection to a server under test.
type client struct {
	net.Conn
	r *bufio.Reader
	t testing.TB
}

func dial(t testing.TB, addr string) *client {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return newClient(t, conn)
}

func newClient(t testing.TB, conn net.Conn) *client {
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	return &client{conn, bufio.NewReader(conn), t}
}

// want sends a request and wants these lines.
func (c *client) want(request string, lines ...string) {
	c.t.Helper()
	if _, err := io.WriteString(c, request); err != nil {
		c.t.Fatalf("%q: %v", request, err)
	}
	for _, line := range lines {
		got, err := c.r.ReadString('\n')
		if got != line+"\r\n" {
			c.t.Fatalf("%.80q was answered %q, %v; want %q", request, got, err, line)
		}
	}
}

// wantEnd wants nothing more but the connection's end.
func (c *client) wantEnd() {
	c.t.Helper()
	rest, err := io.ReadAll(c.r)
	var ne net.Error
	if len(rest) > 0 || errors.As(err, &ne) && ne.Timeout() {
		c.t.Fatalf("want the connection's end, got %q, %v", rest, err)
	}
}

// stat asks the server for one figure of its stats.
func (c *client) stat(name string) (n int64) {
	c.t.Helper()
	c.want("stats\r\n")
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			c.t.Fatal(err)
		}
		_, _ = fmt.Sscanf(line, "STAT "+name+" %d", &n)
		if line == "END\r\n" {
			return n
		}
	}
}

// waitFor waits until ok, which asks the server.
func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

func TestServerRoundTrip(t *testing.T) {
	t.Parallel()
	c := dial(t, startServer(t, &memcache.Server{Handler: newHandler()}))
	c.want("set a 5 0 3\r\nxyz\r\nget a\r\n", "STORED", "VALUE a 5 3", "xyz", "END")
	c.want("version\r\n", "VERSION 1.6.18-torc")
	c.want("stats reset\r\nquit\r\nget a\r\n", "RESET")
	c.wantEnd()
}

func TestServerStats(t *testing.T) {
	t.Parallel()
	c := dial(t, startServer(t, &memcache.Server{Handler: newHandler()}))
	c.want("set a 0 0 1\r\n1\r\nget a b\r\nincr a 1\r\ndelete b\r\ntouch a 0\r\n", "STORED", "VALUE a 0 1", "1", "END", "2", "NOT_FOUND", "TOUCHED")
	stats := func(which string) map[string]string {
		_, _ = io.WriteString(c, "stats"+which+"\r\n")
		m := map[string]string{}
		for {
			line, err := c.r.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			f := strings.Fields(line)
			if f[0] == "END" {
				return m
			}
			m[f[1]] = f[2]
		}
	}
	got := stats("")
	for name, want := range map[string]string{
		"curr_items": "1", "cmd_get": "2", "get_hits": "1", "get_misses": "1", "cmd_set": "1", "incr_hits": "1",
		"delete_misses": "1", "touch_hits": "1", "curr_connections": "1", "pid": fmt.Sprint(os.Getpid()),
		"limit_maxbytes": fmt.Sprint(store.DefaultMaxBytes), "max_connections": fmt.Sprint(memcache.DefaultMaxConns),
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	if got := stats(" settings"); got["item_size_max"] != fmt.Sprint(memcache.DefaultMaxItemSize) || got["maxbytes"] != fmt.Sprint(store.DefaultMaxBytes) {
		t.Errorf("settings: %v", got)
	}
	if got := stats(" items"); got["items:1:number"] != "1" {
		t.Errorf("items: %v", got)
	}
	if got := stats(" slabs"); got["active_slabs"] != "1" {
		t.Errorf("slabs: %v", got)
	}
}

func TestValueOverTheLimitIsReadPast(t *testing.T) {
	t.Parallel()
	c := dial(t, startServer(t, &memcache.Server{Handler: newHandler(), MaxItemSize: 100}))
	big := strings.Repeat("x", 100_000) + "\r\n"
	c.want("set a 0 0 100\r\n"+big[:100]+"\r\n", "STORED")
	c.want("append a 0 0 1\r\nx\r\n", "NOT_STORED")
	c.want("add a 0 0 100000\r\n"+big, "SERVER_ERROR object too large for cache")
	c.want("get a\r\n", "VALUE a 0 100", big[:100], "END")
	c.want("set a 0 0 100000\r\n"+big, "SERVER_ERROR object too large for cache")
	c.want("get a\r\n", "END")
	c.want("ms a 100000 q\r\n"+big+"mn\r\n", "SERVER_ERROR object too large for cache", "MN")
}

func TestFullStoreAnswersAnError(t *testing.T) {
	t.Parallel()
	s := store.New(store.Config{MaxBytes: 1000, NoEvict: true, Shards: 1})
	c := dial(t, startServer(t, &memcache.Server{Handler: memcache.NewHandler(s)}))
	c.want("set a 0 0 500\r\n"+strings.Repeat("x", 500)+"\r\n", "STORED")
	c.want("set b 0 0 500\r\n"+strings.Repeat("x", 500)+"\r\n", "SERVER_ERROR out of memory storing object")
	c.want("set b 0 0 5000\r\n"+strings.Repeat("x", 5000)+"\r\n", "SERVER_ERROR object too large for cache")
	c.want("mg a s\r\n", "HD s500")
}

func TestTooManyConnectionsAreTurnedAway(t *testing.T) {
	t.Parallel()
	addr := startServer(t, &memcache.Server{Handler: newHandler(), MaxConns: 2})
	a, b := dial(t, addr), dial(t, addr)
	a.want("mn\r\n", "MN")
	b.want("mn\r\n", "MN")
	c := dial(t, addr)
	c.want("", "ERROR Too many open connections")
	c.wantEnd()
	b.want("quit\r\n")
	b.wantEnd()
	waitFor(t, "room after a client has left", func() bool {
		d := dial(t, addr)
		_, _ = io.WriteString(d, "mn\r\n")
		line, _ := d.r.ReadString('\n')
		return line == "MN\r\n"
	})
	a.want("mn\r\n", "MN")
}

func TestSlowAndIdleClientsAreClosed(t *testing.T) {
	t.Parallel()
	addr := startServer(t, &memcache.Server{Handler: newHandler(), ReadTimeout: 50 * time.Millisecond})
	for _, begun := range []string{"get", "set a 0 0 10\r\nx", "set a 0 0 9999999\r\nx"} {
		c := dial(t, addr)
		c.want("mn\r\n", "MN")
		if strings.Contains(begun, "9999999") {
			c.want(begun, "SERVER_ERROR object too large for cache")
		} else {
			c.want(begun)
		}
		c.wantEnd()
	}

	addr = startServer(t, &memcache.Server{Handler: newHandler(), IdleTimeout: 50 * time.Millisecond})
	c := dial(t, addr)
	c.want("mn\r\n", "MN")
	c.wantEnd()
}

func TestHandlerPanicEndsOneConnection(t *testing.T) {
	t.Parallel()
	var logged bytes.Buffer
	h := newHandler()
	s := &memcache.Server{ErrorLog: log.New(&logged, "", 0), Handler: memcache.HandlerFunc(func(w *memcache.ResponseWriter, r *memcache.Request) {
		if string(r.Key) == "bad" {
			panic("bad key")
		}
		if string(r.Key) != "silent" {
			h.ServeMemcache(w, r)
		}
	})}
	addr := startServer(t, s)
	a, b := dial(t, addr), dial(t, addr)
	b.want("get x\r\n", "END")
	b.want("delete silent\r\nmd silent\r\nmn\r\n", "SERVER_ERROR the handler gave no answer", "SERVER_ERROR the handler gave no answer", "MN")
	a.want("get bad\r\n")
	a.wantEnd()
	b.want("get x\r\n", "END")
	_ = s.Close()
	if !strings.Contains(logged.String(), "bad key") {
		t.Errorf("logged %q", logged.String())
	}
}

// TestShutdown wants a request under way finished, an idle client closed, and
// nobody let in.
func TestShutdown(t *testing.T) {
	t.Parallel()
	entered, leave := make(chan bool), make(chan bool)
	h := newHandler()
	s := &memcache.Server{Handler: memcache.HandlerFunc(func(w *memcache.ResponseWriter, r *memcache.Request) {
		if string(r.Key) == "slow" {
			close(entered)
			<-leave
		}
		h.ServeMemcache(w, r)
	})}
	addr := startServer(t, s)
	idle, busy, half := dial(t, addr), dial(t, addr), dial(t, addr)
	idle.want("mn\r\n", "MN")
	half.want("mn\r\nset half 0 0 5\r\nhe", "MN")
	busy.want("get slow\r\nset b 0 0 1\r\nb\r\n")
	<-entered

	done := make(chan error, 1)
	go func() { done <- s.Shutdown(context.Background()) }()
	idle.wantEnd()
	for {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			break // the listener is closed
		}
		_ = conn.Close()
	}
	half.want("llo\r\n", "STORED")
	half.wantEnd()
	close(leave)
	busy.want("", "END", "STORED")
	busy.wantEnd()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(nopListener{}); !errors.Is(err, memcache.ErrServerClosed) {
		t.Errorf("Serve after Shutdown: %v", err)
	}
}

type nopListener struct{ net.Listener }

func (nopListener) Close() error { return nil }

func TestShutdownGivesUpWithItsContext(t *testing.T) {
	t.Parallel()
	s := &memcache.Server{Handler: newHandler()}
	c := dial(t, startServer(t, s))
	const sent = "mn\r\nset half 0 0 5\r\nhe"
	c.want(sent, "MN")
	other := dial(t, c.RemoteAddr().String())
	waitFor(t, "all that was sent to be read", func() bool {
		return other.stat("bytes_read") >= int64(len(sent)+len("stats\r\n"))
	})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Fatalf("Shutdown with a request under way: %v", err)
	}
	_ = s.Close()
	c.wantEnd()
}

// TestFlood has a client send 10,000 gets of a large value and read nothing: it
// is not read from for long, costs little memory, and others are served.
func TestFlood(t *testing.T) {
	addr := startServer(t, &memcache.Server{Handler: newHandler(), WriteTimeout: -1})
	c := dial(t, addr)
	const size = 100_000
	c.want(fmt.Sprintf("set big 0 0 %d\r\n%s\r\n", size, strings.Repeat("x", size)), "STORED")
	before := heap()
	flood := dial(t, addr)
	sent := make(chan error, 1)
	go func() {
		_, err := io.WriteString(flood, strings.Repeat("get big\r\n", 10_000))
		sent <- err
	}()
	// When its answers fill the sockets' buffers the server stops in a write.
	// From then on nothing of the flood moves.
	for last, still := int64(-1), 0; still < 5; {
		c.want("mg big\r\n", "HD")
		now := c.stat("bytes_written")
		if now-last < 1000 {
			still++
		} else {
			still = 0
		}
		last = now
		time.Sleep(5 * time.Millisecond)
	}
	if grown := heap() - before; grown > 4<<20 {
		t.Errorf("the heap has grown by %d bytes for 1 GB of answers", grown)
	}
	for i := range 100 {
		c.want(fmt.Sprintf("set k%d 0 0 1\r\nx\r\nget k%d\r\n", i, i), "STORED", fmt.Sprintf("VALUE k%d 0 1", i), "x", "END")
	}
	// The flood reads at last, and has lost nothing.
	n, err := io.CopyN(io.Discard, flood.r, 10_000*int64(len("VALUE big 0 100000\r\n\r\nEND\r\n")+size))
	if err != nil {
		t.Errorf("after %d bytes: %v", n, err)
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestClientThatDoesNotReadIsClosed(t *testing.T) {
	t.Parallel()
	s := &memcache.Server{Handler: newHandler(), WriteTimeout: 50 * time.Millisecond}
	addr := startServer(t, s)
	c := dial(t, addr)
	c.want("set big 0 0 500000\r\n"+strings.Repeat("x", 500_000)+"\r\n", "STORED")
	_, _ = io.WriteString(c, strings.Repeat("get big\r\n", 100))
	other := dial(t, addr)
	waitFor(t, "the client to be closed", func() bool { return other.stat("curr_connections") == 1 })
}

// scarceListener fails once for want of file descriptors.
type scarceListener struct {
	net.Listener
	failed bool
}

func (l *scarceListener) Accept() (net.Conn, error) {
	if !l.failed {
		l.failed = true
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	return l.Listener.Accept()
}

func TestServeGoesOnAfterAShortage(t *testing.T) {
	t.Parallel()
	var logged bytes.Buffer
	s := &memcache.Server{Handler: newHandler(), ErrorLog: log.New(&logged, "", 0)}
	c := dial(t, startServerOn(t, s, func(l net.Listener) error { return s.Serve(&scarceListener{Listener: l}) }))
	c.want("mn\r\n", "MN")
	_ = s.Close()
	if !strings.Contains(logged.String(), "again in") {
		t.Errorf("logged %q", logged.String())
	}
}

func TestListenAndServeNamesAPortInUse(t *testing.T) {
	t.Parallel()
	addr := startServer(t, &memcache.Server{Handler: newHandler()})
	err := (&memcache.Server{Addr: addr, Handler: newHandler()}).ListenAndServe()
	if err == nil || !strings.Contains(err.Error(), addr) || !strings.Contains(err.Error(), "in use") {
		t.Errorf("%v", err)
	}
}
