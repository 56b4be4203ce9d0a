package replica_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/torc-dht/torc/replica"
)

// patience bounds each wait, on a machine that has much else to do.
const patience = 20 * time.Second

// running is a server of a test.
type running struct {
	*replica.Server
	addr  string
	stop  context.CancelFunc
	ended chan error
}

// startServers starts the servers of a table on ports of loopback, set up by set if
// that isn't nil, and has them end with the test.
func startServers(t testing.TB, n int, set func(*replica.Server)) []*running {
	t.Helper()
	var addrs []string
	var listeners []net.Listener
	for range n {
		l := listenLoopback(t, "127.0.0.1:0")
		listeners, addrs = append(listeners, l), append(addrs, l.Addr().String())
	}
	var servers []*running
	for i, l := range listeners {
		s := &replica.Server{Log: slog.New(slog.DiscardHandler)}
		for j := range addrs {
			s.Servers = append(s.Servers, addrs[(i+j)%n])
		}
		if set != nil {
			set(s)
		}
		servers = append(servers, startServer(t, s, l))
	}
	return servers
}

func listenLoopback(t testing.TB, addr string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func startServer(t testing.TB, s *replica.Server, l net.Listener) *running {
	ctx, stop := context.WithCancel(context.Background())
	r := &running{Server: s, addr: l.Addr().String(), stop: stop, ended: make(chan error, 1)}
	go func() { r.ended <- s.Serve(ctx, l) }()
	t.Cleanup(func() { r.end(t) })
	return r
}

// end ends the server, if that was not done.
func (r *running) end(t testing.TB) {
	t.Helper()
	r.stop()
	select {
	case err := <-r.ended:
		if err != nil {
			t.Errorf("Serve at %s: %v", r.addr, err)
		}
		r.ended <- nil
	case <-time.After(patience):
		t.Errorf("Serve at %s doesn't end", r.addr)
	}
}

// eventually waits until what holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it is still not so that %s", what)
		}
	}
}

// awaitNormal waits until all of the servers take part and none labels its answers.
func awaitNormal(t testing.TB, servers []*running) {
	t.Helper()
	eventually(t, "all servers take part", func() bool {
		for _, s := range servers {
			st, err := s.Status()
			if err != nil || !st.Serving || st.Degraded {
				return false
			}
			for _, m := range st.Members {
				if m.State == replica.MemberJoining || m.State == replica.MemberDown {
					return false
				}
			}
		}
		return true
	})
}

// leader returns the server that leads, and the others.
func leader(t testing.TB, servers []*running) (lead *running, others []*running) {
	t.Helper()
	st, err := servers[0].Status()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range servers {
		if s.addr == st.Leader {
			lead = s
		} else {
			others = append(others, s)
		}
	}
	if lead == nil {
		t.Fatalf("the leader %q is none of the servers", st.Leader)
	}
	return lead, others
}

// ask sends a target as it is, over a connection of its own, and returns the status
// line, the headers as one text, and the body.
func ask(t testing.TB, addr, target string) (status, headers, body string) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\n\r\n", target)
	text, err := io.ReadAll(bufio.NewReader(c))
	if err != nil {
		t.Fatalf("GET %s at %s: %v", target, addr, err)
	}
	head, body, _ := strings.Cut(string(text), "\r\n\r\n")
	status, headers, _ = strings.Cut(head, "\r\n")
	return status, headers, body
}

// answers checks the body of an answer without the label.
func answers(t testing.TB, addr, target, want string) {
	t.Helper()
	status, headers, body := ask(t, addr, target)
	if !strings.HasSuffix(status, " 200 OK") || body != want || strings.Contains(headers, "Degraded") {
		t.Errorf("GET %s at %s: %s, %q, %q; want 200 and %q", target, addr, status, headers, body, want)
	}
}

// admin asks a server's admin port.
func admin(s *running, method, target string) (code int, body string) {
	w := httptest.NewRecorder()
	s.AdminHandler().ServeHTTP(w, httptest.NewRequest(method, "http://127.0.0.1:18081"+target, http.NoBody))
	return w.Code, w.Body.String()
}
