package grpcdial_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/torc-dht/torc/internal/grpcdial"
	"github.com/torc-dht/torc/internal/selfsigned"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// listening accepts connections until the test ends and has answer talk on each.
func listening(t *testing.T, answer func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() {
		l.Close()
		<-done
	})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
			answer(c)
		}
	}()
	return l.Addr().String()
}

// saying answers each line the same.
func saying(t *testing.T, answer string) string {
	return listening(t, func(c net.Conn) {
		line, _ := bufio.NewReader(c).ReadString('\n')
		if strings.HasPrefix(answer, "VERSION") && line != "version\r\n" {
			c.Close() // as memcached does
			return
		}
		fmt.Fprint(c, answer)
	})
}

// serving serves gRPC with the health service, or with none.
func serving(t *testing.T, l net.Listener, healthy bool) string {
	t.Helper()
	s := grpc.NewServer(grpc.WaitForHandlers(true))
	if healthy {
		grpc_health_v1.RegisterHealthServer(s, health.NewServer())
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// check asks what is at addr for its health, and returns the error as it is explained.
func check(t *testing.T, addr string, c grpcdial.Config, patience time.Duration) error {
	t.Helper()
	conn, err := grpcdial.New(addr, c)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err = grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
	return conn.Explain(err)
}

// What a person is told who names the wrong address.
func TestExplain(t *testing.T) {
	t.Parallel()
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	nobody := listen(t)
	nobody.Close()
	cert, roots := selfsigned.Certificate(t)
	server, client := &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2"}}, &tls.Config{RootCAs: roots}
	for name, c := range map[string]struct {
		addr   string
		config grpcdial.Config
		is     error
		text   string
	}{
		"nobody":           {nobody.Addr().String(), grpcdial.Config{}, grpcdial.ErrRefused, "nobody listens"},
		"an old memcached": {saying(t, "ERROR\r\nERROR\r\n"), grpcdial.Config{}, grpcdial.ErrForeign, "a memcached"},
		"a memcached":      {saying(t, "VERSION 1.6.18\r\n"), grpcdial.Config{}, grpcdial.ErrForeign, "something else: a memcached"},
		"a Redis":          {saying(t, "-ERR unknown command\r\n"), grpcdial.Config{}, grpcdial.ErrForeign, "a Redis"},
		"ssh":              {saying(t, "SSH-2.0-OpenSSH_9.6\r\n"), grpcdial.Config{}, grpcdial.ErrForeign, `it answers "SSH-2.0-OpenSSH_9.6`},
		"a web server":     {web.Listener.Addr().String(), grpcdial.Config{}, grpcdial.ErrForeign, "an HTTP server"},
		"another gRPC":     {serving(t, listen(t), false), grpcdial.Config{}, grpcdial.ErrForeign, "it speaks gRPC, and has no such call"},
		"who says nothing": {listening(t, func(net.Conn) {}), grpcdial.Config{}, grpcdial.ErrSilent, "doesn't answer"},
		"TLS without":      {serving(t, listen(t), true), grpcdial.Config{TLS: client}, grpcdial.ErrForeign, "doesn't speak TLS"},
		"TLS, no roots":    {serving(t, tls.NewListener(listen(t), server), true), grpcdial.Config{TLS: &tls.Config{}}, nil, "certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := check(t, c.addr, c.config, time.Second)
			if err == nil || c.is != nil && !errors.Is(err, c.is) || !strings.Contains(err.Error(), c.text) || !strings.Contains(err.Error(), c.addr) {
				t.Errorf("got %v", err)
			}
		})
	}
	if err := check(t, serving(t, listen(t), true), grpcdial.Config{}, 10*time.Second); err != nil {
		t.Errorf("healthy: %v", err)
	}
	if err := check(t, serving(t, tls.NewListener(listen(t), server), true), grpcdial.Config{TLS: client}, 10*time.Second); err != nil {
		t.Errorf("healthy, with TLS: %v", err)
	}
}

func TestExplainStatus(t *testing.T) {
	t.Parallel()
	addr := serving(t, listen(t), true)
	conn, err := grpcdial.New(addr, grpcdial.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if conn.Addr() != addr {
		t.Errorf("it leads to %s", conn.Addr())
	}
	for code, is := range map[codes.Code]error{
		codes.FailedPrecondition: grpcdial.ErrDeclined,
		codes.Unimplemented:      grpcdial.ErrForeign,
		codes.Canceled:           context.Canceled,
	} {
		if err := conn.Explain(status.Error(code, "why")); !errors.Is(err, is) {
			t.Errorf("%v is explained as %v", code, err)
		}
	}
	if err := conn.Explain(nil); err != nil {
		t.Errorf("no error is explained as %v", err)
	}
	if err := conn.Explain(status.Error(codes.Internal, "why")); err == nil || err.Error() != addr+": why" {
		t.Errorf("got %v", err)
	}
}

// A dialer in place of the network's is used.
func TestDialer(t *testing.T) {
	t.Parallel()
	addr := serving(t, listen(t), true)
	err := check(t, "nowhere:1", grpcdial.Config{Dialer: func(ctx context.Context, to string) (net.Conn, error) {
		if to != "nowhere:1" {
			return nil, fmt.Errorf("dialing %s", to)
		}
		return new(net.Dialer).DialContext(ctx, "tcp", addr)
	}}, 10*time.Second)
	if err != nil {
		t.Error(err)
	}
}
