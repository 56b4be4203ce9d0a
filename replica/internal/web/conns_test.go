package web

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/torc-dht/torc/replica/internal/msg"
)

const preface = "\x00torc-replica/1\n"

// echoPeer says "peer:", and then what comes, until the end. It empties r and goes
// on with the connection itself.
func echoPeer(c net.Conn, r *bufio.Reader) {
	defer c.Close()
	_, _ = io.WriteString(c, "peer:")
	_, _ = io.CopyN(c, r, int64(r.Buffered()))
	_, _ = io.Copy(c, c)
}

// A connection that begins with the preface is the peer's, with what came behind
// it, and outlives the server.
func TestPeers(t *testing.T) {
	t.Parallel()
	for _, first := range []int{0, 1, len(preface), len(preface) + 3} {
		s := &Server{Backend: &memory{}, Peer: echoPeer, Preface: preface}
		addr, stop := serve(t, s)
		c := dial(t, addr)
		send := preface + "hello"
		_, _ = io.WriteString(c, send[:first])
		if first > 0 && first < len(preface) {
			time.Sleep(time.Millisecond) // so that it comes in two parts, mostly
		}
		_, _ = io.WriteString(c, send[first:])
		talk(t, c, "", "peer:hello")
		if n := s.Stats().Conns; n != 0 {
			t.Errorf("%d connections are counted", n)
		}
		stop()
		talk(t, c, "still", "still")
		_ = c.CloseWrite()
		if got := rest(t, c); got != "" {
			t.Errorf("read %q", got)
		}
	}
}

// What begins nearly as the peers do is bad input, and so is a preface that comes
// later, or to a server without peers.
func TestNoPeers(t *testing.T) {
	t.Parallel()
	refused := (&form{status: 400, body: badStart.text}).want()
	addr, _ := serve(t, &Server{Backend: &memory{}, Peer: echoPeer, Preface: preface})
	if got := exchange(t, addr, "\x00torc-replica/2\n", 1); got != refused {
		t.Errorf("answered %q", got)
	}
	if got := exchange(t, addr, preface[:5], 1); got != refused {
		t.Errorf("answered %q", got)
	}
	first := "GET /foo HTTP/1.1\r\n" + host + "\r\n"
	if got, want := exchange(t, addr, first+preface, 100), (&form{modern: true, lasts: true, status: 200, body: "foo=NIL"}).want()+refused; got != want {
		t.Errorf("answered %q", got)
	}
	addr, _ = serve(t, &Server{Backend: &memory{}})
	if got := exchange(t, addr, preface, 100); got != refused {
		t.Errorf("answered %q", got)
	}
}

// Connections over the limit are told so when they have asked something; those
// that ask nothing are closed; peers come in all the same.
func TestMaxConns(t *testing.T) {
	t.Parallel()
	const most = 3
	s := &Server{Backend: &memory{}, MaxConns: most, Peer: echoPeer, Preface: preface}
	bubble(t, s, func(t *testing.T, p *pipes, _ func()) {
		var conns []net.Conn
		for range most {
			conns = append(conns, p.dial(t))
		}
		ask := func(c net.Conn, want form) {
			t.Helper()
			talk(t, c, "GET /foo HTTP/1.1\r\n"+host+"\r\n", want.want())
		}
		ok := form{modern: true, lasts: true, status: 200, body: "foo=NIL"}
		busy := form{status: 503, body: tooManyConns.text}
		for _, c := range conns {
			ask(c, ok)
		}
		c := p.dial(t)
		talk(t, c, "G", busy.want())
		_ = c.Close()
		peer := p.dial(t)
		go func() { _, _ = io.WriteString(peer, preface) }()
		talk(t, peer, "", "peer:")
		_ = peer.Close()
		var silent []net.Conn
		for range surplusConns {
			silent = append(silent, p.dial(t))
		}
		if c := p.dial(t); rest(t, c) != "" {
			t.Error("one beyond all limits was told something")
		}
		began := time.Now()
		for _, c := range silent {
			if got := rest(t, c); got != "" || time.Since(began) > surplusTime {
				t.Fatalf("a silent one was told %q after %s", got, time.Since(began))
			}
		}
		_ = conns[0].Close()
		synctest.Wait()
		c = p.dial(t)
		ask(c, ok)
		_ = c.Close()
		_ = conns[1].Close()
		_ = conns[2].Close()
		if got := s.Stats(); got.Refused != 2 || got.Accepted != most+3+surplusConns+1 {
			t.Errorf("counted %+v", got)
		}
	})
}

// Clients that send long requests and never end them take the memory that there
// is for such, and no more; short requests are served meanwhile, and long ones
// again as soon as those clients are gone.
func TestFloodOfLongRequests(t *testing.T) { // alone: it looks at the heap
	const clients, memoryFor = 300, 8 << 20
	s := &Server{Backend: &memory{}, Memory: memoryFor}
	addr, _ := serve(t, s)
	refused := (&form{status: 503, body: noMemory.text}).want()
	part := "GET /foo=" + strings.Repeat("x", 256<<10)
	conns := make([]*net.TCPConn, clients)
	var sending sync.WaitGroup
	var told sync.Map
	before := heap()
	for i := range conns {
		c := dial(t, addr)
		conns[i] = c
		sending.Go(func() {
			if _, err := io.WriteString(c, part); err != nil {
				t.Error(err)
			}
			_ = c.SetReadDeadline(time.Now().Add(time.Second / 2))
			b, _ := io.ReadAll(c)
			told.Store(string(b), true)
		})
	}
	sending.Wait()
	told.Range(func(answer, _ any) bool {
		if answer != "" && answer != refused {
			t.Errorf("answered %q", answer)
		}
		return true
	})
	if _, ok := told.Load(refused); !ok {
		t.Error("nobody was refused")
	}
	// Blocks, stacks and the sockets' own come to 20 KiB for each.
	if took := heap() - before; took > memoryFor+clients*(20<<10)+8<<20 {
		t.Errorf("the flood takes %d bytes", took)
	}
	ok := (&form{status: 200, body: "foo=NIL"}).want()
	if got := exchange(t, addr, "GET foo HTTP/1.1\r\n\r\n", 100); got != ok {
		t.Errorf("a short request: %q", got)
	}
	for _, c := range conns {
		_ = c.Close()
	}
	settled(t, s)
	if got := exchange(t, addr, part+" HTTP/1.1\r\n\r\n", len(part)); got != ok {
		t.Errorf("a long request afterwards: %s", short(got))
	}
}

// A value in a body takes of the memory as it comes, and a promise of one doesn't.
func TestNoMemoryForBody(t *testing.T) {
	t.Parallel()
	s := &Server{Backend: &memory{}, Memory: 3 * firstPart}
	addr, _ := serve(t, s)
	put := func(n, sent int) string {
		return exchange(t, addr, fmt.Sprintf("PUT /foo HTTP/1.1\r\n%sX-Torc-Op: 0-0-0\r\nContent-Length: %d\r\n\r\n%s", host, n, long(sent)), 5000)
	}
	ok := form{modern: true, lasts: true, status: 200, more: "X-Torc-Version: 3-1\r\n"}
	for _, test := range []struct {
		n, sent int
		want    form
	}{
		{2 * firstPart, 2 * firstPart, ok},
		{2*firstPart + 1, 2*firstPart + 1, form{modern: true, status: 503, body: noMemory.text}},
		{DefaultMaxValue, firstPart - 1, form{modern: true, status: 400, body: cutOff.text}},
	} {
		if got := put(test.n, test.sent); got != test.want.want() {
			t.Errorf("%d of %d bytes: answered %q, want %q", test.sent, test.n, got, test.want.want())
		}
		settled(t, s)
	}
}

// heap is how many bytes are in use, garbage left out.
func heap() int64 {
	runtime.GC()
	runtime.GC() // what pools keep goes at the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}

// Answers that nobody reads take of the same memory: who can't get some is told
// so, and what became of his write.
func TestFloodOfLongAnswers(t *testing.T) {
	t.Parallel()
	const size = 1 << 20
	s := &Server{Backend: &memory{}, Memory: 5 * size / 2}
	bubble(t, s, func(t *testing.T, p *pipes, _ func()) {
		_, _ = s.Backend.Do(&msg.Op{Kind: msg.Put, Key: "foo", Value: make([]byte, size)})
		var conns []net.Conn
		ask := func(request string) net.Conn {
			c := p.dial(t)
			conns = append(conns, c)
			_, _ = io.WriteString(c, request)
			return c
		}
		ask("GET foo HTTP/1.1\r\n\r\n")
		ask("GET foo HTTP/1.1\r\n\r\n")
		synctest.Wait()
		if got, want := rest(t, ask("GET foo HTTP/1.1\r\n\r\n")), (&form{status: 503, body: noMemory.text}).want(); got != want {
			t.Errorf("answered %s, want %s", short(got), short(want))
		}
		if got, want := rest(t, ask("GET foo=bar HTTP/1.1\r\n\r\n")), (&form{status: 500, body: noAnswer.text}).want(); got != want {
			t.Errorf("answered %s, want %s", short(got), short(want))
		}
		if got, want := rest(t, ask("GET foo HTTP/1.1\r\n\r\n")), (&form{status: 200, body: "foo=bar"}).want(); got != want {
			t.Errorf("answered %s, want %s", short(got), short(want))
		}
		time.Sleep(DefaultWriteTimeout * 5 / 4)
		synctest.Wait()
		if left := s.budget.left.Load(); left != int64(s.Memory) {
			t.Errorf("%d of %d bytes are left", left, s.Memory)
		}
		for _, c := range conns {
			_ = c.Close()
		}
	})
}

// Idle connections have no buffer, and nothing of the request before: what each
// costs is its goroutine and its socket.
func TestIdleConnectionsAreCheap(t *testing.T) {
	const conns = 400
	s := &Server{Backend: &memory{}}
	addr, _ := serve(t, s)
	before := heap()
	for range conns {
		c := dial(t, addr)
		key := long(DefaultMaxKey)
		talk(t, c, "GET /"+key+" HTTP/1.1\r\n"+host+"\r\n", (&form{modern: true, lasts: true, status: 200, body: key + "=NIL"}).want())
	}
	if took := (heap() - before) / conns; took > 12<<10 { // both sides of it, in this process
		t.Errorf("an idle connection takes %d bytes", took)
	} else {
		t.Logf("an idle connection takes %d bytes", took)
	}
}

// A client that leaves while its request is carried out does no harm.
func TestClientLeaves(t *testing.T) {
	t.Parallel()
	inside, proceed := make(chan struct{}), make(chan struct{})
	s := &Server{Backend: &memory{before: func(*msg.Op) error {
		inside <- struct{}{}
		<-proceed
		return nil
	}}}
	addr, stop := serve(t, s)
	c := dial(t, addr)
	_, _ = io.WriteString(c, "GET /foo=bar HTTP/1.1\r\n"+host+"\r\n")
	<-inside
	_ = c.SetLinger(0)
	_ = c.Close()
	close(proceed)
	stop()
	if n := s.Stats().Conns; n != 0 {
		t.Errorf("%d connections are left", n)
	}
}

// A refused client gets its answer although it goes on sending.
func TestRefusedWhileSending(t *testing.T) {
	t.Parallel()
	addr, _ := serve(t, &Server{Backend: &memory{}})
	for range 20 {
		c := dial(t, addr)
		go func() {
			_, _ = io.WriteString(c, "POST /foo HTTP/1.1\r\n"+host+"Content-Length: 4000000\r\n\r\n"+strings.Repeat("x", 4_000_000))
			_ = c.CloseWrite()
		}()
		want := (&form{modern: true, status: 405, body: badMethod.text, more: "Allow: GET, HEAD\r\n"}).want()
		got, err := io.ReadAll(c)
		if err != nil && !errors.Is(err, io.EOF) || string(got) != want {
			t.Fatalf("read %q, %v", got, err)
		}
	}
}
