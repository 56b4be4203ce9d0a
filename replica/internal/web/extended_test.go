package web

import (
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/torc-dht/torc/replica/internal/msg"
)

// A session in the extension: each request with the whole of its answer.
func TestExtension(t *testing.T) {
	t.Parallel()
	leader := ""
	m := &memory{keep: true}
	s := &Server{
		Backend: m,
		Leader:  func() string { return leader },
		Members: func() []byte { return []byte(`{"self":"a:1"}`) },
	}
	addr, _ := serve(t, s)
	c := dial(t, addr)
	ask := func(request, want string) {
		t.Helper()
		talk(t, c, strings.ReplaceAll(request, "\n", "\r\n"), strings.ReplaceAll(want, "\n", "\r\n"))
	}
	const (
		top  = " HTTP/1.1\nHost: a:1\nX-Torc-Op: "
		none = "HTTP/1.1 404 Not Found\nServer: torc\nContent-Length: 12\nContent-Type: text/plain\n"
		ok   = "HTTP/1.1 200 OK\nServer: torc\nContent-Length: "
		text = "\nContent-Type: text/plain\n"
		torn = "HTTP/1.1 412 Precondition Failed\nServer: torc\nContent-Length: "
	)
	ask("GET /a=b"+top+"0-0-0\n\n", none+"\nno such key¶")
	leader = "a:8081"
	ask("PUT /a=b"+top+"1f-1-0\nContent-Length: 3\n\none", ok+"0"+text+"X-Torc-Version: 3-1\nX-Torc-Leader: a:8081\n\n")
	leader = ""
	ask("PUT /a%3Db"+top+"1f-2-1\nX-Torc-Swap: 1\nX-Torc-TTL: 1500\nContent-Length: 3\n\ntwo", ok+"3"+text+"X-Torc-Version: 3-2\nX-Torc-Old: 3-1\n\none")
	ask("PUT /new"+top+"1f-3-1\nX-Torc-Swap: 1\nContent-Length: 0\n\n", ok+"0"+text+"X-Torc-Version: 3-3\n\n")
	ask("GET /a=b"+top+"0-0-0\n\n", ok+"3"+text+"X-Torc-Version: 3-2\n\ntwo")
	ask("HEAD /a=b"+top+"0-0-0\n\n", ok+"3"+text+"X-Torc-Version: 3-2\n\n")
	ask("PUT /new"+top+"1f-4-1\nX-Torc-If: absent\nContent-Length: 0\n\n", torn+"23"+text+"\nthe key exists already¶")
	ask("PUT /new"+top+"1f-5-1\nX-Torc-If: 3-1\nContent-Length: 0\n\n", torn+"30"+text+"\nthe entry has another version¶")
	ask("PUT /new"+top+"1f-6-1\nX-Torc-If: 3-3\nContent-Length: 0\n\n", ok+"0"+text+"X-Torc-Version: 3-4\n\n")
	ask("PUT /old"+top+"1f-7-1\nX-Torc-If: present\nContent-Length: 0\n\n", none+"\nno such key¶")
	ask("PUT /full"+top+"1f-8-1\nContent-Length: 0\n\n", "HTTP/1.1 507 Insufficient Storage\nServer: torc\nContent-Length: 39"+text+"\nthe table is full: nothing was changed¶")
	ask("DELETE /new"+top+"1f-9-1\n\n", ok+"0"+text+"\n")
	ask("DELETE /new"+top+"1f-10-1\n\n", none+"\nno such key¶")
	ask("GET /"+top+"0-0-0\nX-Torc-Members: 1\n\n", ok+"14\nContent-Type: application/json\n\n{\"self\":\"a:1\"}")
	m.degraded = 7
	ask("GET /a=b"+top+"0-0-0\n\n", ok+"3"+text+"X-Torc-Degraded: 7\nX-Torc-Version: 3-2\n\ntwo")
	ask("GET /repeated"+top+"0-0-0\n\n", "HTTP/1.1 409 Conflict\nServer: torc\nContent-Length: 66"+text+"X-Torc-Degraded: 7\n\nthis was carried out before, and what it found is no longer known¶")

	want := msg.Op{ID: msg.OpID{Client: 0x1f, Seq: 2, Acked: 1}, Kind: msg.Put, Key: "a=b", Value: []byte("two"), TTL: 1500 * time.Millisecond}
	if got := m.operations()[2]; !reflect.DeepEqual(*got, want) {
		t.Errorf("carried out %+v, want %+v", *got, want)
	}
	want = msg.Op{ID: msg.OpID{Client: 0x1f, Seq: 5, Acked: 1}, Kind: msg.Put, Cond: msg.IfVersion, Version: msg.Version{Epoch: 3, Seq: 1}, Key: "new"}
	if got := m.operations()[7]; got.Cond != want.Cond || got.Version != want.Version || got.ID != want.ID {
		t.Errorf("carried out %+v, want %+v", *got, want)
	}
}

// talk sends request and reads want, in which ¶ is the end of an error's
// line.
func talk(t *testing.T, c net.Conn, request, want string) {
	t.Helper()
	want = strings.ReplaceAll(want, "¶", "\n")
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(want))
	n, err := io.ReadFull(c, got)
	if err != nil || string(got) != want {
		t.Fatalf("%s:\nanswered %s, %v,\nwant     %s", short(request), short(string(got[:n])), err, short(want))
	}
}

// short quotes s for a line that a person reads.
func short(s string) string {
	if len(s) > 1000 {
		return fmt.Sprintf("%q... (%d bytes)", s[:1000], len(s))
	}
	return fmt.Sprintf("%q", s)
}

// What a plain request is told when it can't be carried out, and the label.
func TestBackendFails(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err     error
		request string
		status  int
		text    string
	}{
		{ErrUnavailable, "GET foo=bar", 503, ErrUnavailable.Error()},
		{fmt.Errorf("a:1 is\ngone: %w", ErrUnavailable), "GET foo", 503, "a:1 is gone: " + ErrUnavailable.Error()},
		{ErrUnknown, "GET foo=bar", 500, ErrUnknown.Error()},
		{errors.New("what?"), "GET foo=bar", 500, "what?"},
		{errors.New("what?"), "GET foo", 503, "what?"},
		{nil, "GET full=bar", 507, "the table is full: nothing was changed"},
	} {
		addr, _ := serve(t, &Server{Backend: &memory{before: func(*msg.Op) error { return test.err }}})
		f := form{status: test.status, body: test.text}
		if got := exchange(t, addr, test.request+" HTTP/1.1\r\n\r\n", 100); got != f.want() {
			t.Errorf("%v: answered\n%q, want\n%q", test.err, got, f.want())
		}
	}
	addr, _ := serve(t, &Server{Backend: &memory{degraded: 12}, Name: "kv"})
	want := "HTTP/1.0 200 OK\r\nServer: kv\r\nContent-Length: 7\r\nContent-Type: text/plain\r\nX-Torc-Degraded: 12\r\n\r\nfoo=NIL"
	if got := exchange(t, addr, "GET foo=bar HTTP/1.1\r\n\r\n", 100); got != want {
		t.Errorf("answered %q, want %q", got, want)
	}
}

// A panic of the Backend ends its connection, and no other.
func TestPanic(t *testing.T) {
	t.Parallel()
	s := &Server{Backend: &memory{before: func(op *msg.Op) error {
		if op.Key == "bad" {
			panic("planted")
		}
		return nil
	}}}
	addr, _ := serve(t, s)
	if got := exchange(t, addr, "GET bad HTTP/1.1\r\n\r\n", 100); got != "" {
		t.Errorf("answered %q", got)
	}
	if got := exchange(t, addr, "GET foo HTTP/1.1\r\n\r\n", 100); !strings.HasSuffix(got, "foo=NIL") {
		t.Errorf("answered %q", got)
	}
	if n := s.Stats().Panics; n != 1 {
		t.Errorf("%d panics were counted", n)
	}
}

// Requests that come together are carried out in order, each answered before the
// next is begun.
func TestPipelining(t *testing.T) {
	t.Parallel()
	first, proceed := make(chan struct{}), make(chan struct{})
	m := &memory{before: func(op *msg.Op) error {
		if op.Key == "wait" {
			close(first)
			<-proceed
		}
		return nil
	}}
	addr, _ := serve(t, &Server{Backend: m})
	c := dial(t, addr)
	const end = " HTTP/1.1\r\n" + host + "\r\n"
	ok := func(body string) string { return (&form{modern: true, lasts: true, status: 200, body: body}).want() }
	talk(t, c, "GET /a=1"+end+"GET /a=2"+end+"GET /wait"+end+"GET /a=3"+end+"GET /a=4 HT", ok("a=NIL")+ok("a=1"))
	<-first
	close(proceed)
	talk(t, c, "TP/1.1\r\n"+host+"\r\n", ok("wait=NIL")+ok("a=2")+ok("a=3"))
	// Many at once, more than the buffers hold.
	var send, want strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&send, "GET /b=%d%s", i, end)
		if i == 0 {
			want.WriteString(ok("b=NIL"))
		} else {
			want.WriteString(ok(fmt.Sprintf("b=%d", i-1)))
		}
	}
	go func() { _, _ = io.WriteString(c, send.String()) }()
	talk(t, c, "", want.String())
}

// A client that waits for leave to send its body gets it, unless it is refused.
func TestExpectContinue(t *testing.T) {
	t.Parallel()
	addr, _ := serve(t, &Server{Backend: &memory{}})
	c := dial(t, addr)
	const top = "PUT /foo HTTP/1.1\r\n" + host + "X-Torc-Op: 0-0-0\r\nExpect: 100-Continue\r\nContent-Length: "
	const done = "HTTP/1.1 200 OK\r\nServer: torc\r\nContent-Length: 0\r\nContent-Type: text/plain\r\nX-Torc-Version: 3-"
	talk(t, c, top+"3\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\n")
	talk(t, c, "bar", done+"1\r\n\r\n")
	talk(t, c, top+"3\r\n\r\nbaz", done+"2\r\n\r\n") // it did not wait
	talk(t, c, top+"9999999\r\n\r\n", (&form{modern: true, status: 413, body: valueTooLong.text}).want())
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the connection goes on: %v", err)
	}
}

// The largest key and value in each way that they can come, and go.
func TestLargest(t *testing.T) {
	t.Parallel()
	s := &Server{Backend: &memory{}}
	addr, _ := serve(t, s)
	key, value := strings.Repeat("%41", DefaultMaxKey), strings.Repeat("%00", DefaultMaxValue)
	decoded, old := strings.Repeat("A", DefaultMaxKey), strings.Repeat("\x00", DefaultMaxValue)
	c := dial(t, addr)
	ok := func(body string) string { return (&form{modern: true, lasts: true, status: 200, body: body}).want() }
	const end = " HTTP/1.1\r\n" + host
	go func() {
		_, _ = io.WriteString(c, "GET /"+key+"="+value+end+"\r\nGET /"+key+end+"\r\nGET /a=1"+end+"\r\n")
		_, _ = io.WriteString(c, "PUT /"+key+end+"X-Torc-Op: 0-0-0\r\nX-Torc-Swap: 1\r\nContent-Length: 1048576\r\n\r\n"+old)
	}()
	talk(t, c, "", ok(decoded+"=NIL")+ok(decoded+"="+old)+ok("a=NIL"))
	talk(t, c, "", "HTTP/1.1 200 OK\r\nServer: torc\r\nContent-Length: 1048576\r\nContent-Type: text/plain\r\nX-Torc-Version: 3-3\r\nX-Torc-Old: 3-1\r\n\r\n"+old)
	settled(t, s)
}

// settled waits until nothing of the budget is taken.
func settled(t *testing.T, s *Server) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); s.budget.left.Load() != int64(or(s.Memory, DefaultMemory)); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d bytes of the budget are left, of %d", s.budget.left.Load(), or(s.Memory, DefaultMemory))
		}
	}
}
