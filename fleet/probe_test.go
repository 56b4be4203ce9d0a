package fleet

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// scripted is a server in memory: each command it gets it answers with reply,
// unless that is empty.
type scripted struct {
	mu struct {
		sync.Mutex
		refuse bool
		reply  func(command string) string
		conns  []net.Conn
		dials  int
	}
}

func (s *scripted) dial(context.Context, string, string) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.dials++
	if s.mu.refuse {
		return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
	}
	near, far := net.Pipe()
	s.mu.conns = append(s.mu.conns, far)
	go func() {
		defer far.Close()
		lines := bufio.NewScanner(far)
		for lines.Scan() {
			s.mu.Lock()
			reply := s.mu.reply(lines.Text())
			s.mu.Unlock()
			if reply == "hang up" {
				return
			}
			if _, err := io.WriteString(far, reply); err != nil {
				return
			}
		}
	}()
	return near, nil
}

func (s *scripted) set(refuse bool, reply func(string) string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.refuse, s.mu.reply = refuse, reply
}

// kill does what the kernel does for a killed process.
func (s *scripted) kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.refuse = true
	s.dropLocked()
}

// drop closes the connections of a server that lives on.
func (s *scripted) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropLocked()
}

func (s *scripted) dropLocked() {
	for _, c := range s.mu.conns {
		c.Close()
	}
	s.mu.conns = nil
}

func (s *scripted) dials() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.dials
}

func always(reply string) func(string) string { return func(string) string { return reply } }

// probing runs a Probe of s in a bubble of virtual time, and test beside it.
func probing(t *testing.T, test func(s *scripted, verdicts <-chan Verdict)) {
	t.Helper()
	probingAs(t, ProbeConfig{}, test)
}

func probingAs(t *testing.T, cfg ProbeConfig, test func(s *scripted, verdicts <-chan Verdict)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &scripted{}
		s.set(false, always("VERSION 1.6.18\r\n"))
		ctx, cancel := context.WithCancel(t.Context())
		verdicts := make(chan Verdict, 16)
		done := make(chan struct{})
		go func() {
			defer close(done)
			cfg.Dial = s.dial
			Probe(ctx, "10.0.0.1:11211", cfg, func(v Verdict) { verdicts <- v })
		}()
		test(s, verdicts)
		cancel()
		<-done
	})
}

// expect waits for a verdict and checks what it is and how long it took.
func expect(t *testing.T, verdicts <-chan Verdict, up bool, within time.Duration, reason string) {
	t.Helper()
	began := time.Now()
	select {
	case v := <-verdicts:
		if v.Up != up {
			t.Fatalf("verdict %+v, want up = %v", v, up)
		}
		if took := time.Since(began); took > within {
			t.Errorf("up = %v after %v, want within %v", up, took, within)
		}
		if !up && !strings.Contains(v.Reason.Error(), reason) {
			t.Errorf("reason %q does not say %q", v.Reason, reason)
		}
	case <-time.After(time.Minute):
		t.Fatalf("no verdict, want up = %v", up)
	}
}

func TestProbeKilledAndBack(t *testing.T) {
	probing(t, func(s *scripted, verdicts <-chan Verdict) {
		expect(t, verdicts, true, 200*time.Millisecond, "")
		time.Sleep(5*time.Second + 33*time.Millisecond)
		if n := s.dials(); n != 1 {
			t.Errorf("%d connections for a server in good health, want one that stands", n)
		}
		s.kill()
		expect(t, verdicts, false, 0, "connection refused")
		time.Sleep(time.Second)
		s.set(false, always("VERSION 1.6.18\r\n"))
		expect(t, verdicts, true, 300*time.Millisecond, "")
	})
}

func TestProbeFrozen(t *testing.T) {
	probing(t, func(s *scripted, verdicts <-chan Verdict) {
		expect(t, verdicts, true, 200*time.Millisecond, "")
		time.Sleep(time.Millisecond)
		s.set(false, always(""))
		expect(t, verdicts, false, 900*time.Millisecond, "took longer than 200ms")
		s.set(false, always("VERSION 1.6.18\r\n"))
		expect(t, verdicts, true, 500*time.Millisecond, "")
	})
}

func TestProbeClosedConnectionIsNoFault(t *testing.T) {
	probing(t, func(s *scripted, verdicts <-chan Verdict) {
		expect(t, verdicts, true, 200*time.Millisecond, "")
		for range 20 {
			time.Sleep(777 * time.Millisecond)
			s.drop()
		}
		time.Sleep(time.Second)
		if len(verdicts) > 0 {
			t.Errorf("verdict %+v for a server that closes idle connections", <-verdicts)
		}
	})
}

func TestProbeBadAnswers(t *testing.T) {
	for name, c := range map[string]struct{ reply, reason string }{
		"another protocol": {"HTTP/1.1 400 Bad Request\r\n", `answers "HTTP/1.1 400 Bad Request"`},
		"no lines":         {strings.Repeat("x", 300), "too long"},
		"hangs up":         {"hang up", "closed the connection"},
		"too many clients": {"ERROR Too many open connections\r\n", "Too many open connections"},
		"errors only":      {"ERROR\r\n", `answers "ERROR"`},
	} {
		t.Run(name, func(t *testing.T) {
			probing(t, func(s *scripted, verdicts <-chan Verdict) {
				expect(t, verdicts, true, 200*time.Millisecond, "")
				s.set(false, always(c.reply))
				expect(t, verdicts, false, 500*time.Millisecond, c.reason)
				time.Sleep(10 * time.Second)
				if n := s.dials(); n > 120 {
					t.Errorf("%d connections in ten seconds: it dials without a pause", n)
				}
			})
		})
	}
}

// A server that no client could use is down, whatever it answers.
func TestProbeServerTooOld(t *testing.T) {
	probing(t, func(s *scripted, verdicts <-chan Verdict) {
		expect(t, verdicts, true, 200*time.Millisecond, "")
		s.set(false, always("VERSION 1.4.15\r\n"))
		expect(t, verdicts, false, time.Second, "is the oldest that will do")
		s.set(false, always("VERSION 1.6.13\r\n"))
		expect(t, verdicts, true, time.Second, "")
	})
}

func TestProbeAnswerThenClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		dials := 0
		dial := func(context.Context, string, string) (net.Conn, error) {
			dials++
			near, far := net.Pipe()
			go func() {
				defer far.Close()
				_, _ = bufio.NewReader(far).ReadString('\n')
				_, _ = io.WriteString(far, "VERSION 1.6.18\r\n")
			}()
			return near, nil
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		Probe(ctx, "10.0.0.1:11211", ProbeConfig{Dial: dial}, func(Verdict) {})
		if dials > 120 {
			t.Errorf("%d connections in ten seconds: it dials without a pause", dials)
		}
	})
}

func TestProbeNoRoute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		dial := func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Err: syscall.EHOSTUNREACH}
		}
		began := time.Now()
		Probe(ctx, "10.0.0.1:11211", ProbeConfig{Dial: dial}, func(v Verdict) {
			if v.Up || !errors.Is(v.Reason, syscall.EHOSTUNREACH) {
				t.Errorf("verdict %+v, want down for want of a route", v)
			}
			if took := time.Since(began); took > 250*time.Millisecond {
				t.Errorf("down after %v, want three checks", took)
			}
			cancel()
		})
	})
}
