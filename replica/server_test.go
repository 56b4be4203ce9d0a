package replica_test

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/selfsigned"
	"github.com/torc-dht/torc/replica"
)

func TestOneServerServes(t *testing.T) {
	t.Parallel()
	servers := startServers(t, 1, nil)
	awaitNormal(t, servers)
	at := servers[0].addr
	answers(t, at, "foo", "foo=NIL")
	answers(t, at, "foo=bar", "foo=NIL")
	answers(t, at, "/foo=baz", "foo=bar")
	answers(t, at, "foo", "foo=baz")
	servers[0].end(t)
	if _, err := servers[0].Status(); !errors.Is(err, replica.ErrNotServing) {
		t.Errorf("a server that has ended says %v, want ErrNotServing", err)
	}
	if c, err := net.Dial("tcp", at); err == nil {
		_ = c.Close()
		t.Error("a server that has ended still listens")
	}
}

// What one server is told all others tell, whichever is asked.
func TestServersAreOfOneMind(t *testing.T) {
	t.Parallel()
	servers := startServers(t, 4, nil)
	awaitNormal(t, servers)
	last := "NIL"
	for round := range 3 {
		for i, s := range servers {
			value := fmt.Sprintf("%d.%d", round, i)
			answers(t, s.addr, "key="+value, "key="+last)
			last = value
			for _, other := range servers {
				answers(t, other.addr, "key", "key="+last)
			}
		}
	}
}

// Swaps of one key that many clients make at once, each at its own server, follow
// one another: each finds what another one put, and no two the same.
func TestConcurrentSwapsFormAChain(t *testing.T) {
	t.Parallel()
	servers := startServers(t, 3, nil)
	awaitNormal(t, servers)
	const clients, each = 8, 25
	var (
		mu    sync.Mutex
		found = map[string]int{}
		all   sync.WaitGroup
	)
	for i := range clients {
		all.Go(func() {
			for j := range each {
				status, headers, body := ask(t, servers[i%3].addr, fmt.Sprintf("key=%d.%d", i, j))
				if !strings.HasSuffix(status, " 200 OK") {
					t.Errorf("%s, %s: %s", status, headers, body)
				}
				mu.Lock()
				found[body]++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	_, _, end := ask(t, servers[0].addr, "key")
	found[end]++
	if len(found) != clients*each+1 || found["key=NIL"] != 1 {
		t.Errorf("%d different values were found, and NIL %d times; want %d and once", len(found), found["key=NIL"], clients*each+1)
	}
}

// The leader ends: the others go on with all that was answered, and unlabelled.
func TestServersGoOnWithoutTheirLeader(t *testing.T) {
	t.Parallel()
	servers := startServers(t, 3, nil)
	awaitNormal(t, servers)
	answers(t, servers[0].addr, "key=1", "key=NIL")
	lead, others := leader(t, servers)
	lead.end(t)
	answers(t, others[0].addr, "key=2", "key=1")
	answers(t, others[1].addr, "key", "key=2")

	// One that comes back knows nothing, and is told.
	again := &replica.Server{Servers: lead.Servers, Log: lead.Log}
	back := startServer(t, again, listenLoopback(t, lead.addr))
	awaitNormal(t, append(others, back))
	answers(t, back.addr, "key", "key=2")
}

func TestServerRefusesFieldsThatCannotBe(t *testing.T) {
	t.Parallel()
	s := &replica.Server{
		Servers: replica.Servers{"h:1", "h:1", "h:2", "nonsense", "h:4"}, PeerPort: 70000, MaxValue: 1 << 30,
	}
	l := listenLoopback(t, "127.0.0.1:0")
	err := s.Serve(t.Context(), l)
	if !errors.Is(err, torc.ErrInvalid) {
		t.Fatalf("Serve: %v, want ErrInvalid", err)
	}
	for _, want := range []string{"1 to 4 servers", "h:1 is there twice", "nonsense", "peer port 70000", "two servers on h ", "at most 4194304"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q doesn't say %q", err, want)
		}
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the listener is open: %v", err)
	}
}

// Servers may talk on a port of its own.
func TestPeerPort(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("needs 127.0.0.2 to be there")
	}
	free := listenLoopback(t, "127.0.0.1:0")
	port := free.Addr().(*net.TCPAddr).Port
	_ = free.Close()
	first, second := listenLoopback(t, "127.0.0.1:0"), listenLoopback(t, "127.0.0.2:0")
	a, b := first.Addr().String(), second.Addr().String()
	log := slog.New(slog.DiscardHandler)
	servers := []*running{
		startServer(t, &replica.Server{Servers: replica.Servers{a, b}, PeerPort: port, Log: log}, first),
		startServer(t, &replica.Server{Servers: replica.Servers{b, a}, PeerPort: port, Log: log}, second),
	}
	awaitNormal(t, servers)
	answers(t, a, "key=1", "key=NIL")
	answers(t, b, "key", "key=1")

	// A client there is hung up on, and so is one that says nothing, when the
	// server ends.
	for _, says := range []string{"GET key HTTP/1.1\r\n\r\n", ""} {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(patience))
		if _, err := io.WriteString(c, says); err != nil {
			t.Fatal(err)
		}
		if says == "" {
			servers[0].end(t)
		}
		if n, err := c.Read(make([]byte, 1)); n > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a client at the peer port that says %q gets %d bytes, %v; want none, and an end", says, n, err)
		}
	}
}

// certificate makes one for 127.0.0.1 that vouches for itself.
func certificate(t *testing.T) *tls.Config {
	t.Helper()
	cert, roots := selfsigned.Certificate(t)
	return &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: roots, MinVersion: tls.VersionTLS12}
}

func TestServersOverTLS(t *testing.T) {
	t.Parallel()
	config := certificate(t)
	servers := startServers(t, 2, func(s *replica.Server) { s.TLS = config })
	awaitNormal(t, servers)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
	defer client.CloseIdleConnections()
	for _, s := range servers {
		answer, err := client.Get("https://" + s.addr + "/key=1")
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			t.Errorf("%s answers %s", s.addr, answer.Status)
		}
	}
	st, err := replica.Ask(t.Context(), servers[1].addr, config)
	if err != nil || st.Keys != 1 {
		t.Errorf("it tells of %d keys, %v; want 1", st.Keys, err)
	}
	if _, err := replica.Ask(t.Context(), servers[1].addr, nil); err == nil {
		t.Error("it tells without TLS")
	}
}

func TestAdminHandler(t *testing.T) {
	t.Parallel()
	idle := &running{Server: &replica.Server{}}
	for _, target := range []string{"/livez", "/readyz", "/healthz", "/status"} {
		if code, body := admin(idle, "GET", target); code != http.StatusServiceUnavailable {
			t.Errorf("GET %s before there is a server: %d %s, want 503", target, code, body)
		}
	}
	servers := startServers(t, 2, nil)
	awaitNormal(t, servers)
	for _, target := range []string{"/livez", "/readyz", "/healthz"} {
		if code, body := admin(servers[0], "GET", target); code != http.StatusOK || body != "ok\n" {
			t.Errorf("GET %s: %d %q, want 200 and ok", target, code, body)
		}
	}
	code, body := admin(servers[0], "GET", "/status")
	var st replica.Status
	if err := json.Unmarshal([]byte(body), &st); code != http.StatusOK || err != nil {
		t.Fatalf("GET /status: %d %q, %v", code, body, err)
	}
	if st.Self != servers[0].addr || len(st.Servers) != 2 || len(st.Members) != 2 || st.Epoch.Number == 0 || st.Epoch.Founder == "" || st.Since.IsZero() {
		t.Errorf("GET /status: %s", body)
	}
	q := httptest.NewRequest(http.MethodPost, "/forget?server="+servers[1].addr, http.NoBody)
	q.Header.Set("Sec-Fetch-Site", "cross-site")
	rebound := httptest.NewRequest(http.MethodPost, "http://a.page.example:18081/forget?server="+servers[1].addr, http.NoBody)
	for _, q := range []*http.Request{q, rebound} {
		w := httptest.NewRecorder()
		servers[0].AdminHandler().ServeHTTP(w, q)
		if w.Code != http.StatusForbidden {
			t.Errorf("what another site's page sends to %s is answered %d, want 403", q.Host, w.Code)
		}
	}
}

// Whoever is in touch is not forgotten. Once the leader of two is gone, answers are
// labelled until somebody says that it won't come back.
func TestForget(t *testing.T) {
	t.Parallel()
	servers := startServers(t, 2, nil)
	awaitNormal(t, servers)
	lead, others := leader(t, servers)
	left := others[0]
	if code, body := admin(left, "POST", "/forget?server="+lead.addr); code != http.StatusBadRequest || !strings.Contains(body, "takes part") {
		t.Errorf("forgetting who is in touch: %d %q, want 400", code, body)
	}
	if code, body := admin(left, "POST", "/forget?server=nobody:1"); code != http.StatusBadRequest || !strings.Contains(body, lead.addr) {
		t.Errorf("forgetting a stranger: %d %q, want 400 and who there is", code, body)
	}
	answers(t, lead.addr, "key=1", "key=NIL")
	lead.end(t)
	eventually(t, "the one that is left serves, labelled", func() bool {
		st, err := left.Status()
		return err == nil && st.Degraded && st.Serving
	})
	if _, headers, body := ask(t, left.addr, "key"); body != "key=1" || !strings.Contains(headers, "X-Torc-Degraded: ") {
		t.Errorf("alone it answers %q, %q; want key=1 and a label", headers, body)
	}
	eventually(t, "it forgets the one that is gone", func() bool {
		code, _ := admin(left, "POST", "/forget?server="+lead.addr)
		return code == http.StatusOK
	})
	eventually(t, "it is normal again", func() bool {
		st, err := left.Status()
		return err == nil && !st.Degraded && len(st.Forgotten) == 1 && st.Forgotten[0] == lead.addr
	})
	answers(t, left.addr, "key", "key=1")
}

// Who is to refuse while too few are left does, until a person says that the others
// won't come back.
func TestRefuseMinority(t *testing.T) {
	t.Parallel()
	servers := startServers(t, 2, func(s *replica.Server) { s.RefuseMinority = true })
	awaitNormal(t, servers)
	lead, others := leader(t, servers)
	left := others[0]
	answers(t, lead.addr, "key=1", "key=NIL")
	lead.end(t)
	eventually(t, "the one that is left knows that it is alone", func() bool {
		st, err := left.Status()
		return err == nil && st.Degraded && !st.Serving
	})
	if status, _, body := ask(t, left.addr, "key"); !strings.Contains(status, " 503 ") {
		t.Errorf("alone it answers %s, %q; want 503", status, body)
	}
	if code, body := admin(left, "GET", "/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(body, "too few servers") {
		t.Errorf("GET /readyz: %d %q, want 503 and why", code, body)
	}
	eventually(t, "it forgets the one that is gone", func() bool {
		code, _ := admin(left, "POST", "/forget?server="+lead.addr)
		return code == http.StatusOK
	})
	eventually(t, "it serves", func() bool {
		st, err := left.Status()
		return err == nil && st.Serving && !st.Degraded
	})
	answers(t, left.addr, "key", "key=1")
}

func TestAdminOverItsPort(t *testing.T) {
	t.Parallel()
	servers := startServers(t, 1, nil)
	awaitNormal(t, servers)
	port := httptest.NewServer(servers[0].AdminHandler())
	defer port.Close()
	a := replica.Admin{Addr: strings.TrimPrefix(port.URL, "http://")}
	if st, err := a.Status(t.Context()); err != nil || st.Leader != servers[0].addr {
		t.Errorf("Status: %+v, %v", st, err)
	}
	if err := a.Forget(t.Context(), "nobody:1"); err == nil || !strings.Contains(err.Error(), "nobody:1 is no server of this table") {
		t.Errorf("Forget of a stranger: %v", err)
	}
	nobody := replica.Admin{Addr: unusedAddr(t)}
	if _, err := nobody.Status(t.Context()); !errors.Is(err, torc.ErrUnavailable) || !strings.Contains(err.Error(), "nobody listens") {
		t.Errorf("Status of nobody: %v", err)
	}
}

func unusedAddr(t *testing.T) string {
	l := listenLoopback(t, "127.0.0.1:0")
	defer l.Close()
	return l.Addr().String()
}

func TestDefaultAdminAddr(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{
		"h:8081": "127.0.0.1:18081", "10.0.0.7:55535": "127.0.0.1:65535", "[::1]:55536": "127.0.0.1:45536", "h:65535": "127.0.0.1:55535",
	} {
		if got := replica.DefaultAdminAddr(addr); got != want {
			t.Errorf("the admin address of %s is %s, want %s", addr, got, want)
		}
	}
}

func TestServerIsACollector(t *testing.T) {
	t.Parallel()
	servers := startServers(t, 1, nil)
	awaitNormal(t, servers)
	answers(t, servers[0].addr, "key=1", "key=NIL")
	answers(t, servers[0].addr, "key", "key=1")
	answers(t, servers[0].addr, "other", "other=NIL")
	const want = `
# HELP torc_replica_keys Keys that there are.
# TYPE torc_replica_keys gauge
torc_replica_keys 1
# HELP torc_replica_leader 1 if this server leads, else 0.
# TYPE torc_replica_leader gauge
torc_replica_leader 1
`
	if err := testutil.CollectAndCompare(servers[0], strings.NewReader(want), "torc_replica_keys", "torc_replica_leader"); err != nil {
		t.Error(err)
	}
	const requests = `
# HELP torc_replica_requests_total Requests that clients sent to this server, by what came of them: done; missing, since there was no such key; refused, since their condition did not hold; full, for want of memory; unavailable, and nothing was done; unknown, since a write may or may not have happened.
# TYPE torc_replica_requests_total counter
torc_replica_requests_total{op="delete",result="done"} 0
torc_replica_requests_total{op="delete",result="full"} 0
torc_replica_requests_total{op="delete",result="missing"} 0
torc_replica_requests_total{op="delete",result="refused"} 0
torc_replica_requests_total{op="delete",result="unavailable"} 0
torc_replica_requests_total{op="delete",result="unknown"} 0
torc_replica_requests_total{op="get",result="done"} 1
torc_replica_requests_total{op="get",result="full"} 0
torc_replica_requests_total{op="get",result="missing"} 1
torc_replica_requests_total{op="get",result="refused"} 0
torc_replica_requests_total{op="get",result="unavailable"} 0
torc_replica_requests_total{op="get",result="unknown"} 0
torc_replica_requests_total{op="put",result="done"} 1
torc_replica_requests_total{op="put",result="full"} 0
torc_replica_requests_total{op="put",result="missing"} 0
torc_replica_requests_total{op="put",result="refused"} 0
torc_replica_requests_total{op="put",result="unavailable"} 0
torc_replica_requests_total{op="put",result="unknown"} 0
`
	if err := testutil.CollectAndCompare(servers[0], strings.NewReader(requests), "torc_replica_requests_total"); err != nil {
		t.Error(err)
	}
	if problems, err := testutil.CollectAndLint(servers[0]); err != nil || len(problems) > 0 {
		t.Errorf("metrics: %v, %v", problems, err)
	}
}
