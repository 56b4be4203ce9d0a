package demux

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/torc-dht/torc/memcache"
	"github.com/torc-dht/torc/store"
)

func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// start has d serve until the test ends, and wants Serve to return nil then.
func start(t testing.TB, d *Demux) {
	t.Helper()
	served := make(chan error, 1)
	go func() { served <- d.Serve() }()
	t.Cleanup(func() {
		_ = d.Close()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
}

// serveBoth puts a gRPC server and a memcached one behind one port.
func serveBoth(t testing.TB, cfg Config) (addr string) {
	t.Helper()
	cfg.ErrorLog = log.New(io.Discard, "", 0)
	d := New(listen(t), cfg)
	g := grpc.NewServer()
	healthpb.RegisterHealthServer(g, health.NewServer())
	m := &memcache.Server{Handler: memcache.NewHandler(store.New(store.Config{}))}
	var servers sync.WaitGroup
	servers.Go(func() { _ = g.Serve(d.GRPC()) })
	servers.Go(func() { _ = m.Serve(d.Data()) })
	t.Cleanup(func() {
		g.Stop()
		_ = m.Close()
		servers.Wait()
	})
	start(t, d)
	return d.Data().Addr().String()
}

func checkHealth(t *testing.T, addr string, creds credentials.TransportCredentials) {
	t.Helper()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(creds))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	answer, err := healthpb.NewHealthClient(conn).Check(ctx, &healthpb.HealthCheckRequest{}, grpc.WaitForReady(true))
	if err != nil || answer.Status != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("gRPC health: %v, %v", answer, err)
	}
}

func checkData(t *testing.T, addr string, cfg memcache.Config) {
	t.Helper()
	c := memcache.NewClient(addr, cfg)
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	value := strings.Repeat("x", 100_000)
	_, err := c.Set(ctx, memcache.Item{Key: "k", Value: []byte(value)}, memcache.ModeSet)
	item, err2 := c.Get(ctx, "k")
	if err := errors.Join(err, err2); err != nil || string(item.Value) != value {
		t.Errorf("memcached: %d bytes, %v", len(item.Value), err)
	}
}

// dial connects a client that has 20 s for everything.
func dial(t testing.TB, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	return conn
}

// wantClosed wants conn to be closed by the other side, without a word.
func wantClosed(t testing.TB, what string, conn net.Conn) {
	t.Helper()
	n, err := conn.Read(make([]byte, 1))
	if n > 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%s: want the connection's end, got %d bytes, %v", what, n, err)
	}
}

// wantAnswer sends request, byte by byte if slow, and wants an answer that begins
// so.
func wantAnswer(t testing.TB, conn net.Conn, request, want string, slow bool) {
	t.Helper()
	step := len(request)
	if slow {
		step = 1
	}
	for i := 0; i < len(request); i += step {
		if _, err := io.WriteString(conn, request[i:i+step]); err != nil {
			t.Fatalf("%q: %v", request, err)
		}
	}
	got := make([]byte, len(want))
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != want {
		t.Errorf("%q was answered %q, %v; want %q", request, got, err, want)
	}
}

// http2Greeting is what an HTTP/2 client begins with: the preface and empty
// settings. A server's first frame are settings, of type 4.
const http2Greeting = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"

func wantHTTP2(t testing.TB, conn net.Conn, slow bool) {
	t.Helper()
	wantAnswer(t, conn, http2Greeting, "\x00\x00", slow)
	frame := make([]byte, 2)
	if _, err := io.ReadFull(conn, frame); err != nil || frame[1] != 4 {
		t.Errorf("the first frame is of type %d, %v", frame[1], err)
	}
}

func TestOnePort(t *testing.T) {
	t.Parallel()
	addr := serveBoth(t, Config{})
	checkHealth(t, addr, insecure.NewCredentials())
	checkData(t, addr, memcache.Config{})
	for _, slow := range []bool{false, true} {
		wantHTTP2(t, dial(t, addr), slow)
		wantAnswer(t, dial(t, addr), "mn\r\n", "MN\r\n", slow)
		wantAnswer(t, dial(t, addr), "PRI * HTTP/1.1\r\n", "CLIENT_ERROR", slow)
		wantAnswer(t, dial(t, addr), "PRI\r\n", "ERROR\r\n", slow)
		wantAnswer(t, dial(t, addr), "\x16\x03\x01\x00\r\n", "ERROR\r\n", slow)
	}
}

func TestOnePortTLS(t *testing.T) {
	t.Parallel()
	server, client := certificate(t)
	addr := serveBoth(t, Config{TLS: server})
	checkHealth(t, addr, credentials.NewTLS(client))
	checkData(t, addr, memcache.Config{TLS: client})

	over := func(protocols ...string) net.Conn {
		cfg := client.Clone()
		cfg.NextProtos = protocols
		conn := tls.Client(dial(t, addr), cfg)
		if err := conn.Handshake(); err != nil {
			t.Fatal(err)
		}
		return conn
	}
	for _, slow := range []bool{false, true} {
		wantHTTP2(t, over("h2"), slow)
		wantHTTP2(t, over(), slow)
		wantAnswer(t, over(), "mn\r\n", "MN\r\n", slow)
		wantAnswer(t, over(), "PRI * HTTP/1.1\r\n", "CLIENT_ERROR", slow)
	}
	plain := dial(t, addr)
	_, _ = io.WriteString(plain, "get a\r\n")
	if _, err := io.Copy(io.Discard, plain); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("a client without TLS was not closed")
	}
	if server.NextProtos != nil {
		t.Error("the caller's config was changed")
	}
}

// TestSilentClientsKeepNobodyOut has more silent clients than may wait.
func TestSilentClientsKeepNobodyOut(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]Config{"plain": {}, "tls": {}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := (*tls.Config)(nil)
			creds := insecure.NewCredentials()
			if name == "tls" {
				cfg.TLS, client = certificate(t)
				creds = credentials.NewTLS(client)
			}
			cfg.MaxWaiting = 4
			cfg.Timeout = time.Hour
			addr := serveBoth(t, cfg)
			var silent []net.Conn
			for i := range 20 {
				conn := dial(t, addr)
				_, _ = io.WriteString(conn, "PRI * H"[:i%8]) // not yet a preface
				silent = append(silent, conn)
			}
			for _, conn := range silent[:16] {
				wantClosed(t, "one that has waited longest", conn)
			}
			checkHealth(t, addr, creds)
			checkData(t, addr, memcache.Config{TLS: client})
		})
	}
}

func TestSilentClientsAreClosedInTime(t *testing.T) {
	t.Parallel()
	addr := serveBoth(t, Config{Timeout: 50 * time.Millisecond})
	for _, said := range []string{"", "P", "PRI * HTTP/2."} {
		conn := dial(t, addr)
		_, _ = io.WriteString(conn, said)
		wantClosed(t, fmt.Sprintf("one that has said %q", said), conn)
	}
}

// TestNobodyAccepts wants the connections to one listener not to be kept, and the
// other not to be kept waiting by them.
func TestNobodyAccepts(t *testing.T) {
	t.Parallel()
	d := New(listen(t), Config{Timeout: 100 * time.Millisecond, MaxWaiting: 10})
	start(t, d)
	m := &memcache.Server{Handler: memcache.NewHandler(store.New(store.Config{}))}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = m.Serve(d.Data())
	}()
	defer func() { _ = m.Close(); <-served }()
	addr := d.GRPC().Addr().String()
	var waiting []net.Conn
	for range 30 {
		conn := dial(t, addr)
		_, _ = io.WriteString(conn, http2Greeting)
		waiting = append(waiting, conn)
	}
	wantAnswer(t, dial(t, addr), "mn\r\n", "MN\r\n", false)
	for _, conn := range waiting {
		wantClosed(t, "one that nobody accepts", conn)
	}
}

func TestAClosedListenerHasItsConnectionsClosed(t *testing.T) {
	t.Parallel()
	d := New(listen(t), Config{Timeout: time.Hour})
	start(t, d)
	addr := d.Data().Addr().String()
	early := dial(t, addr)
	_, _ = io.WriteString(early, http2Greeting)
	_ = d.GRPC().Close()
	_ = d.GRPC().Close() // again
	if _, err := d.GRPC().Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept of a closed listener: %v", err)
	}
	late := dial(t, addr)
	_, _ = io.WriteString(late, http2Greeting)
	wantClosed(t, "one from before", early)
	wantClosed(t, "one from after", late)

	data := dial(t, addr)
	_, _ = io.WriteString(data, "mn\r\n")
	conn, err := d.Data().Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, ok := conn.(*net.TCPConn); !ok {
		t.Errorf("a plain connection comes as a %T", conn)
	}
	wantAnswer(t, conn, "MN", "mn\r\n", false)

	_ = d.Data().Close()
	if _, err := net.Dial("tcp", addr); err == nil {
		t.Error("the port is open, and both listeners are closed")
	}
}

// TestClosingTheParent wants everything closed with it, connections that wait in
// every way included.
func TestClosingTheParent(t *testing.T) {
	t.Parallel()
	parent := listen(t)
	d := New(parent, Config{Timeout: time.Hour})
	served := make(chan error, 1)
	go func() { served <- d.Serve() }()
	var conns []net.Conn
	for _, said := range []string{"", "PRI", http2Greeting, "mn\r\n"} {
		conn := dial(t, parent.Addr().String())
		_, _ = io.WriteString(conn, said)
		conns = append(conns, conn)
	}
	last := dial(t, parent.Addr().String())
	_, _ = io.WriteString(last, "mn\r\n")
	accepted, err := d.Data().Accept() // one of two: so all were accepted on the port
	if err != nil {
		t.Fatal(err)
	}
	_ = accepted.Close()
	_ = parent.Close()
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	for _, l := range []net.Listener{d.GRPC(), d.Data()} {
		if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept: %v", err)
		}
	}
	for _, conn := range append(conns, last) {
		wantClosed(t, "one that waits", conn)
	}
	_ = d.Close()
}

// TestConcurrentCloses closes everything at once while clients come, and wants
// every connection closed and no goroutine left.
func TestConcurrentCloses(t *testing.T) {
	t.Parallel()
	for range 20 {
		parent := listen(t)
		addr := parent.Addr().String()
		d := New(parent, Config{MaxWaiting: 3})
		var all sync.WaitGroup
		all.Go(func() {
			if err := d.Serve(); err != nil {
				t.Errorf("Serve: %v", err)
			}
		})
		for i, l := range []net.Listener{d.GRPC(), d.GRPC(), d.Data()} {
			all.Go(func() {
				for n := 0; ; n++ {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					_ = conn.Close()
					if n == 5 && i > 0 {
						_ = l.Close()
					}
				}
			})
		}
		for i := range 4 {
			all.Go(func() {
				for n := range 10 {
					conn, err := net.Dial("tcp", addr)
					if err != nil {
						return
					}
					_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
					_, _ = io.WriteString(conn, []string{http2Greeting, "mn\r\n"}[n%2])
					if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
						t.Error("a connection was not closed")
					}
					_ = conn.Close()
					if n == 7 && i == 0 {
						_ = d.Close()
					}
				}
			})
		}
		all.Wait()
	}
}

// badListener fails with errs, one after the other, before it accepts.
type badListener struct {
	net.Listener
	errs []error
}

func (l *badListener) Accept() (net.Conn, error) {
	if len(l.errs) > 0 {
		err := l.errs[0]
		l.errs = l.errs[1:]
		return nil, err
	}
	return l.Listener.Accept()
}

func TestServeGoesOnAfterAShortage(t *testing.T) {
	t.Parallel()
	var logged strings.Builder
	broken := errors.New("broken")
	parent := &badListener{listen(t), []error{os.NewSyscallError("accept4", syscall.EMFILE), broken}}
	d := New(parent, Config{ErrorLog: log.New(&logged, "", 0)})
	err := d.Serve()
	if !errors.Is(err, broken) || !strings.Contains(err.Error(), parent.Addr().String()) {
		t.Errorf("Serve: %v", err)
	}
	if !strings.Contains(logged.String(), "again in") {
		t.Errorf("logged %q", logged.String())
	}
	if _, err := d.Data().Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept: %v", err)
	}
}
