package zookeeper

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

func TestBackoff(t *testing.T) {
	t.Parallel()
	if d := backoff(-1, 1); d != 0 {
		t.Errorf("%v before a server that was not tried yet", d)
	}
	last := time.Duration(0)
	for rounds := range 100 {
		longest, shortest := backoff(rounds, 0), backoff(rounds, 1)
		if longest < last || longest > maxBackoff || shortest < longest/2 || shortest < minBackoff/2 {
			t.Errorf("after %d rounds: %v to %v", rounds, shortest, longest)
		}
		last = longest
	}
	if last != maxBackoff {
		t.Errorf("it never gets to %v, only to %v", maxBackoff, last)
	}
}

func TestEnsembleTriesEveryServerBeforeItPauses(t *testing.T) {
	t.Parallel()
	e := newEnsemble([]string{"a:1", "b:1", "c:1"})
	seen := make(map[string]bool)
	for range 3 {
		seen[e.host()] = true
		if d := e.pause(); d != 0 {
			t.Errorf("a pause of %v before all were tried", d)
		}
	}
	if len(seen) != 3 {
		t.Errorf("tried %v", seen)
	}
	if e.pause() == 0 {
		t.Error("no pause after a round")
	}
	e.heard()
	if e.pause() != 0 {
		t.Error("a pause after a connection that was good")
	}
}

// greeting is what a server sends first.
func greeting(granted uint32, session uint64) []byte {
	b := make([]byte, 4+36)
	binary.BigEndian.PutUint32(b, 36)
	binary.BigEndian.PutUint32(b[8:], granted)
	binary.BigEndian.PutUint64(b[12:], session)
	return b
}

// testWire returns a wire and the server's end of it.
func testWire(t *testing.T, e *ensemble) (w *wire, server net.Conn, granted *time.Duration) {
	t.Helper()
	near, far := net.Pipe()
	t.Cleanup(func() {
		near.Close()
		far.Close()
	})
	granted = new(time.Duration)
	return &wire{
		Conn: near, host: "a:1", ensemble: e, handshakeBy: time.Now().Add(time.Minute),
		granted: func(d time.Duration) { *granted = d },
	}, far, granted
}

func TestWireReadsTheGreeting(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 3, 4, 7, 20, 40, 100} { // of the pieces that it comes in
		e := newEnsemble([]string{"a:1"})
		w, server, granted := testWire(t, e)
		e.pause()
		go func() {
			b := greeting(4000, 99)
			for len(b) > 0 {
				n := min(size, len(b))
				_, _ = server.Write(b[:n])
				b = b[n:]
			}
			_, _ = server.Write([]byte("reply"))
		}()
		head := make([]byte, 4)
		body := make([]byte, 36)
		for _, b := range [][]byte{head, body} {
			if _, err := io.ReadFull(w, b); err != nil {
				t.Fatal(err)
			}
		}
		if *granted != 4*time.Second {
			t.Errorf("in pieces of %d: granted %v", size, *granted)
		}
		if e.mu.attempts != 1 {
			t.Error("a greeting alone passes for a good connection")
		}
		if _, err := io.ReadFull(w, make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
		if e.mu.attempts != 0 {
			t.Error("a reply does not pass for a good connection")
		}
	}
}

func TestWireOfAnExpiredSession(t *testing.T) {
	t.Parallel()
	w, server, granted := testWire(t, newEnsemble([]string{"a:1"}))
	go func() { _, _ = server.Write(greeting(0, 0)) }()
	if _, err := io.ReadFull(w, make([]byte, 40)); err != nil {
		t.Fatal(err)
	}
	if *granted != 0 {
		t.Errorf("granted %v", *granted)
	}
}

func TestWireRefusesWhatIsNoZooKeeper(t *testing.T) {
	t.Parallel()
	e := newEnsemble([]string{"a:1"})
	w, server, _ := testWire(t, e)
	go func() { _, _ = io.WriteString(server, "HTTP/1.1 400 Bad Request\r\n\r\n") }()
	if _, err := io.ReadFull(w, make([]byte, 4)); err == nil {
		t.Error("a length of a gigabyte was let through")
	}
	if says := e.trouble(); !strings.Contains(says, "no ZooKeeper") {
		t.Errorf("the trouble is %q", says)
	}
}

// TestWireClaimsToHaveSeenNothing, but only once every server has hung up.
func TestWireClaimsToHaveSeenNothing(t *testing.T) {
	t.Parallel()
	e := newEnsemble([]string{"a:1", "b:1"})
	request := make([]byte, 4+44)
	for i := range request {
		request[i] = byte(i) + 1
	}
	seen := func() string {
		w, server, _ := testWire(t, e)
		go func() {
			_, _ = w.Write(request)
			_, _ = w.Write(request)
		}()
		got := make([]byte, 2*len(request))
		if _, err := io.ReadFull(server, got); err != nil {
			t.Fatal(err)
		}
		if string(got[len(request):]) != string(request) {
			t.Error("the second packet was changed too")
		}
		if string(got[:8]) != string(request[:8]) || string(got[16:len(request)]) != string(request[16:]) {
			t.Error("more was changed than the last change seen")
		}
		return string(got[8:16])
	}
	const nothing = "\x00\x00\x00\x00\x00\x00\x00\x00"
	for hangUps := range 4 {
		if got, want := seen() == nothing, hangUps >= 2; got != want {
			t.Errorf("after %d hang-ups of 2 servers: claims to have seen nothing = %v", hangUps, got)
		}
		e.hungUp("a:1", errors.New("EOF"))
	}
	e.greeted("a:1")
	if seen() == nothing {
		t.Error("claims to have seen nothing after a greeting")
	}
}
