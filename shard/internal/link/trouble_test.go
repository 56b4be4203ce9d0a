package link

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/torc-dht/torc/internal/selfsigned"
	pb "github.com/torc-dht/torc/shard/internal/link/shardpb"
	"github.com/torc-dht/torc/shard/internal/msg"
)

// answering listens and gives each line that comes the same answer; "" is none.
func answering(t *testing.T, answer string) string {
	l := listen(t, "127.0.0.1:0")
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
			if answer == "" {
				continue
			}
			line, _ := bufio.NewReader(c).ReadString('\n')
			if strings.HasPrefix(answer, "VERSION") && line != "version\r\n" {
				c.Close() // as memcached does
				continue
			}
			fmt.Fprint(c, answer)
		}
	}()
	return l.Addr().String()
}

// What a person is told who names the wrong address.
func TestMasterThatIsNone(t *testing.T) {
	t.Parallel()
	web := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(web.Close)
	nobody := listen(t, "127.0.0.1:0")
	nobody.Close()
	for _, c := range []struct {
		addr string
		is   error
		text string
	}{
		{nobody.Addr().String(), ErrRefused, "nobody listens"},
		{answering(t, "ERROR\r\nERROR\r\n"), ErrForeign, "a memcached"},
		{answering(t, "VERSION 1.6.18\r\n"), ErrForeign, "something else: a memcached"},
		{answering(t, "-ERR unknown command\r\n"), ErrForeign, "a Redis"},
		{answering(t, "SSH-2.0-OpenSSH_9.6\r\n"), ErrForeign, `it answers "SSH-2.0-OpenSSH_9.6`},
		{web.Listener.Addr().String(), ErrForeign, "an HTTP server"},
		{startServer(t, 2).addr, ErrForeign, "it speaks gRPC, and has no such call"},
		{answering(t, ""), ErrSilent, "doesn't answer"},
	} {
		t.Run(c.text, func(t *testing.T) {
			t.Parallel()
			events := startAttachment(t, Options{}, c.addr)
			f := (<-events).(MasterFailed)
			if !errors.Is(f.Err, c.is) || !strings.Contains(f.Err.Error(), c.text) || !strings.Contains(f.Err.Error(), c.addr) {
				t.Errorf("got %v", f.Err)
			}
		})
	}
}

func TestToolAtWhatIsNoMaster(t *testing.T) {
	t.Parallel()
	_, _, err := startClient(t, answering(t, "ERROR\r\nERROR\r\n"), Options{}).Where(patient(t), "k")
	if !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), "a memcached") {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, _, err = startClient(t, answering(t, ""), Options{}).Where(ctx, "k")
	if !errors.Is(err, ErrSilent) {
		t.Errorf("got %v", err)
	}
}

func TestOtherVersion(t *testing.T) {
	t.Parallel()
	m := startMaster(t, 11)
	c := startClient(t, m.addr, Options{})
	stream, err := c.master.Attach(patient(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&pb.Frame{Opening: &pb.Opening{Version: 99, Addr: "h:1", Boot: 5}}); err != nil {
		t.Fatal(err)
	}
	f, err := stream.Recv()
	if err != nil || f.GetWelcome().GetVersion() != msg.Version {
		t.Errorf("got %v, %v", f, err)
	}
	_, err = stream.Recv()
	if err = c.ch.Explain(err); !errors.Is(err, ErrDeclined) || !strings.Contains(err.Error(), "h:1 speaks version 99") {
		t.Errorf("got %v", err)
	}
	for _, e := range []*pb.Frame{{}, {Opening: &pb.Opening{Version: 1}}} {
		stream, err := c.master.Attach(patient(t))
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Send(e); err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err == nil || !strings.Contains(err.Error(), "who calls") {
			t.Errorf("got %v", err)
		}
	}
}

// other is a master of another version.
type other struct{ pb.UnimplementedMasterServer }

func (other) Attach(stream grpc.BidiStreamingServer[pb.Frame, pb.Frame]) error {
	return stream.Send(&pb.Frame{Welcome: &pb.Welcome{Version: 99}})
}

func TestMasterOfAnotherVersion(t *testing.T) {
	t.Parallel()
	s := grpc.NewServer()
	pb.RegisterMasterServer(s, other{})
	l := listen(t, "127.0.0.1:0")
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	events := startAttachment(t, Options{}, l.Addr().String())
	if f := (<-events).(MasterFailed); !errors.Is(f.Err, ErrVersion) || !strings.Contains(f.Err.Error(), "speaks 99") {
		t.Errorf("got %v", f.Err)
	}
}

// certificate returns what a server and its clients need.
func certificate(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	cert, roots := selfsigned.Certificate(t)
	return &tls.Config{Certificates: []tls.Certificate{cert}}, &tls.Config{RootCAs: roots}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	ctx := patient(t)
	serverTLS, clientTLS := certificate(t)
	s := startAt(t, listen(t, "127.0.0.1:0"),
		ServiceConfig{Options: Options{TLS: serverTLS}, Boot: 2, Server: serverCalls{}})
	p, events := startPeers(t, Options{TLS: clientTLS})
	p.Set([]Peer{{s.addr, 2}})
	await[PeerUp](t, events).Conn.Send(&msg.Ack{Upto: 1})
	await[PeerOpened](t, s.events)
	await[PeerMessages](t, s.events)

	if _, err := Identify(ctx, s.addr, Options{}); err == nil {
		t.Error("plaintext to a TLS server passes")
	}
	if _, err := Identify(ctx, s.addr, Options{TLS: &tls.Config{}}); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate that nobody knows: %v", err)
	}
	plain := startServer(t, 3)
	if _, err := Identify(ctx, plain.addr, Options{TLS: clientTLS}); !errors.Is(err, ErrForeign) || !strings.Contains(err.Error(), "doesn't speak TLS") {
		t.Errorf("TLS to a plaintext server: %v", err)
	}
}
