package chord

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/torc-dht/torc/memcache"
)

// Who waits for an answer when the node ends gets one.
func TestNobodyIsLeftWaiting(t *testing.T) {
	t.Parallel()
	first := start(t, &Server{Bits: 8, ID: "128", Memory: 64 << 20}).awaitJoined()
	second := start(t, &Server{Bits: 8, ID: "0", Memory: 64 << 20, Contact: first.addr}).awaitJoined()
	// The second is gone and nobody has noticed: a plain client's request to the first
	// is asked of it again and again.
	second.kill()
	c := first.client(memcache.Config{})
	answered := make(chan error, 1)
	go func() {
		_, err := c.Get(context.Background(), "200")
		answered <- err
	}()
	first.fail()
	if err := first.wait(); err != nil {
		t.Error(err)
	}
	select {
	case err := <-answered: // or a failure: it was under way
		t.Log(err)
	case <-time.After(10 * time.Second):
		t.Error("no answer")
	}
}

// A listener that fails ends the node, with its error.
func TestListenerFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("the card was pulled out")
	s := &Server{Memory: 64 << 20, Log: quiet()}
	if err := s.Serve(t.Context(), &brokenListener{listen(t, "127.0.0.1:0"), broken}); !errors.Is(err, broken) {
		t.Errorf("Serve = %v", err)
	}
}

type brokenListener struct {
	net.Listener
	err error
}

func (l *brokenListener) Accept() (net.Conn, error) { return nil, l.err }

// The standard health service says that a node serves once it has joined.
func TestHealth(t *testing.T) {
	t.Parallel()
	p := start(t, &Server{Memory: 64 << 20}).awaitJoined()
	conn, err := grpc.NewClient(p.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r, err := grpc_health_v1.NewHealthClient(conn).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: "torc.chord.v1.Node"})
	if err != nil || r.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Errorf("%v, %v", r, err)
	}
}

// What is no command, and a client that hangs up in the middle of one, harm nobody.
func TestRubbish(t *testing.T) {
	t.Parallel()
	p := start(t, &Server{Memory: 64 << 20}).awaitJoined()
	for _, text := range []string{"hello\r\n", "set k 0 0 100\r\nx", "\x00\x01\x02", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "get\r\n", ""} {
		conn, err := net.Dial("tcp", p.addr)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.WriteString(conn, text)
		_ = conn.Close()
	}
	if got := session(t, p.addr, []string{"set k 0 0 1\r\nv\r\n", "get k\r\n", "stats\r\n"}, false); len(got) < 100 {
		t.Errorf("%q", got)
	}
}
