package zookeeper

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"slices"
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

const password = "sixteen letters."

// greeting is what a server sends first.
func greeting(granted uint32, session uint64) []byte {
	b := make([]byte, 4+37)
	binary.BigEndian.PutUint32(b, 37)
	binary.BigEndian.PutUint32(b[8:], granted)
	binary.BigEndian.PutUint64(b[12:], session)
	binary.BigEndian.PutUint32(b[20:], 16)
	copy(b[24:], password)
	return b
}

// testWire returns a wire and the server's end of it.
func testWire(t *testing.T, e *ensemble, resume session) (w *wire, server net.Conn) {
	t.Helper()
	near, far := net.Pipe()
	t.Cleanup(func() {
		near.Close()
		far.Close()
	})
	return &wire{Conn: near, host: "a:1", ensemble: e, handshakeBy: time.Now().Add(time.Minute), session: resume}, far
}

func TestWireReadsTheGreeting(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 3, 4, 7, 20, 40, 100} { // of the pieces that it comes in
		e := newEnsemble([]string{"a:1"})
		w, server := testWire(t, e, session{})
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
		body := make([]byte, 37)
		for _, b := range [][]byte{head, body} {
			if _, err := io.ReadFull(w, b); err != nil {
				t.Fatal(err)
			}
		}
		if want := (session{99, [16]byte([]byte(password)), 4 * time.Second}); w.session != want {
			t.Errorf("in pieces of %d: %+v, want %+v", size, w.session, want)
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
	w, server := testWire(t, newEnsemble([]string{"a:1"}), session{id: 99, timeout: time.Second})
	go func() { _, _ = server.Write(greeting(0, 0)) }()
	if _, err := io.ReadFull(w, make([]byte, 40)); err != nil {
		t.Fatal(err)
	}
	if w.session.id != 0 {
		t.Errorf("%+v", w.session)
	}
}

func TestWireRefusesWhatIsNoZooKeeper(t *testing.T) {
	t.Parallel()
	e := newEnsemble([]string{"a:1"})
	w, server := testWire(t, e, session{})
	go func() { _, _ = io.WriteString(server, "HTTP/1.1 400 Bad Request\r\n\r\n") }()
	if _, err := io.ReadFull(w, make([]byte, 4)); err == nil {
		t.Error("a length of a gigabyte was let through")
	}
	if says := e.trouble(); !strings.Contains(says, "no ZooKeeper") {
		t.Errorf("the trouble is %q", says)
	}
}

// TestWireGoesOnWithASession, and changes nothing but that in the first packet,
// and nothing in the second.
func TestWireGoesOnWithASession(t *testing.T) {
	t.Parallel()
	request := make([]byte, 4+44)
	for i := range request {
		request[i] = byte(i) + 100
	}
	for _, resume := range []session{{}, {id: 0x0102030405060708, password: [16]byte([]byte(password))}} {
		want := slices.Concat(request, request)
		if resume.id != 0 {
			copy(want[20:], "\x01\x02\x03\x04\x05\x06\x07\x08")
			copy(want[32:], password)
		}
		w, server := testWire(t, newEnsemble([]string{"a:1"}), resume)
		go func() {
			_, _ = w.Write(request)
			_, _ = w.Write(request)
		}()
		got := make([]byte, len(want))
		if _, err := io.ReadFull(server, got); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("session %+v: sent\n%q, want\n%q", resume, got, want)
		}
	}
}
