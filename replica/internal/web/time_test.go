package web

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/torc-dht/torc/replica/internal/msg"
)

// bubble runs test with a server, in time that passes when everybody waits.
func bubble(t *testing.T, s *Server, test func(t *testing.T, p *pipes, stop func())) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		stop := serveOn(t, s, p)
		test(t, p, stop)
		stop()
	})
}

// since says how long ago a time was, in whole seconds.
func since(t time.Time) time.Duration { return time.Since(t).Truncate(time.Second) }

// A request has its time from its first byte on, however its bytes come.
func TestSlowRequests(t *testing.T) {
	t.Parallel()
	for name, send := range map[string]string{
		"line":   "GET foo",
		"header": "GET /foo HTTP/1.1\r\nHost:",
		"body":   "PUT /foo HTTP/1.1\r\n" + host + "X-Torc-Op: 0-0-0\r\nContent-Length: 1000\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			s := &Server{Backend: &memory{}}
			bubble(t, s, func(t *testing.T, p *pipes, _ func()) {
				c := p.dial(t)
				for _, blank := range []string{"\r", "\n"} { // that is no beginning
					_, _ = io.WriteString(c, blank)
				}
				time.Sleep(40 * time.Second) // before the request there is more
				began := time.Now()
				gone := make(chan struct{})
				go func() {
					defer close(gone)
					_, _ = io.WriteString(c, send)
					for { // a byte a second
						time.Sleep(time.Second)
						if _, err := c.Write([]byte{'x'}); err != nil {
							return
						}
					}
				}()
				want := (&form{modern: name == "body", status: 408, body: tooSlow.text}).want()
				if got := rest(t, c); got != want {
					t.Errorf("answered %q, want %q", got, want)
				}
				if took := since(began); took != DefaultRequestTimeout {
					t.Errorf("it took %s", took)
				}
				_ = c.Close()
				<-gone
				if got := s.Stats(); got.Slow != 1 {
					t.Errorf("counted %+v", got)
				}
			})
		})
	}
}

// A connection without a request is closed, and one that goes on having some
// isn't.
func TestIdle(t *testing.T) {
	t.Parallel()
	bubble(t, &Server{Backend: &memory{}}, func(t *testing.T, p *pipes, _ func()) {
		c := p.dial(t)
		var last time.Time
		for range 20 {
			time.Sleep(DefaultIdleTimeout * 2 / 3)
			talk(t, c, "GET /foo HTTP/1.1\r\n"+host+"\r\n", (&form{modern: true, lasts: true, status: 200, body: "foo=NIL"}).want())
			last = time.Now()
		}
		if got := rest(t, c); got != "" {
			t.Errorf("it was told %q", got)
		}
		if took := since(last); took < DefaultIdleTimeout*3/4 || took > DefaultIdleTimeout {
			t.Errorf("it was closed after %s", took)
		}
	})
}

// Where connections become scarce, those who do nothing with theirs are left
// sooner.
func TestCrowded(t *testing.T) {
	t.Parallel()
	bubble(t, &Server{Backend: &memory{}, MaxConns: 4}, func(t *testing.T, p *pipes, _ func()) {
		for range 3 {
			c := p.dial(t)
			defer c.Close()
		}
		slow, idle := p.dial(t), time.Now()
		_, _ = io.WriteString(slow, "\r\nGET foo")
		if got, want := rest(t, slow), (&form{status: 408, body: tooSlow.text}).want(); got != want || time.Since(idle) != DefaultRequestTimeout/crowdedShare {
			t.Errorf("answered %q after %s", got, time.Since(idle))
		}
		began := time.Now()
		if got := rest(t, p.dial(t)); got != "" || time.Since(began) != DefaultIdleTimeout/crowdedShare {
			t.Errorf("answered %q after %s", got, time.Since(began))
		}
	})
}

// A client that does not read its answer is left.
func TestUnreadAnswers(t *testing.T) {
	t.Parallel()
	s := &Server{Backend: &memory{}}
	bubble(t, s, func(t *testing.T, p *pipes, _ func()) {
		c := p.dial(t)
		_, _ = io.WriteString(c, "GET /foo HTTP/1.1\r\n"+host+"\r\n")
		began := time.Now()
		for s.Stats().Conns > 0 {
			time.Sleep(time.Second / 2)
		}
		if took := since(began); took < DefaultWriteTimeout || took > DefaultWriteTimeout*5/4+time.Second {
			t.Errorf("it was closed after %s", took)
		}
		if got := s.Stats(); got.Slow != 1 {
			t.Errorf("counted %+v", got)
		}
		_ = c.Close()
	})
}

// When the server ends, what is idle is closed at once; what is under way is
// answered; what is half here has a moment.
func TestShutdown(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	m := &memory{before: func(op *msg.Op) error {
		if op.Key == "wait" {
			time.Sleep(2 * time.Second)
		}
		if op.Key == "late" {
			<-release
		}
		return nil
	}}
	close(release)
	bubble(t, &Server{Backend: m}, func(t *testing.T, p *pipes, stop func()) {
		const request = "GET /wait HTTP/1.1\r\n" + host + "\r\n"
		idle, used, busy, slow, late := p.dial(t), p.dial(t), p.dial(t), p.dial(t), p.dial(t)
		talk(t, used, "GET /foo HTTP/1.1\r\n"+host+"\r\n", (&form{modern: true, lasts: true, status: 200, body: "foo=NIL"}).want())
		_, _ = io.WriteString(busy, request)
		_, _ = io.WriteString(slow, request[:9])
		_, _ = io.WriteString(late, "GET late HT")
		synctest.Wait()
		began := time.Now()
		ended := make(chan time.Duration, 1)
		go func() {
			stop()
			ended <- time.Since(began)
		}()
		synctest.Wait()
		if rest(t, idle) != "" || rest(t, used) != "" || time.Since(began) != 0 {
			t.Errorf("idle connections were closed after %s", time.Since(began))
		}
		time.Sleep(time.Second / 2)
		go func() { _, _ = io.WriteString(late, "TP/1.1\r\n\r\n") }()
		if got, want := rest(t, late), (&form{status: 200, body: "late=NIL"}).want(); got != want {
			t.Errorf("late: answered %q, want %q", got, want)
		}
		if got, want := rest(t, slow), (&form{status: 503, body: shuttingDown.text}).want(); got != want {
			t.Errorf("slow: answered %q, want %q", got, want)
		}
		if got, want := rest(t, busy), (&form{modern: true, status: 200, body: "wait=NIL"}).want(); got != want {
			t.Errorf("busy: answered %q, want %q", got, want)
		}
		if took := <-ended; took != 2*time.Second {
			t.Errorf("Serve took %s to end", took)
		}
	})
}

// Who doesn't read his answer doesn't keep the server from ending, whether it was
// being written then or is later.
func TestShutdownBeforeUnreadAnswers(t *testing.T) {
	t.Parallel()
	m := &memory{before: func(op *msg.Op) error {
		if op.Key == "wait" {
			time.Sleep(1500 * time.Millisecond)
		}
		return nil
	}}
	bubble(t, &Server{Backend: m}, func(t *testing.T, p *pipes, stop func()) {
		for _, key := range []string{"foo", "wait"} {
			_, _ = io.WriteString(p.dial(t), "GET /"+key+" HTTP/1.1\r\n"+host+"\r\n")
		}
		synctest.Wait()
		began := time.Now()
		stop()
		if took, want := time.Since(began), 1500*time.Millisecond+shutdownGrace; took != want {
			t.Errorf("Serve took %s to end, and not %s", took, want)
		}
	})
}

// What ends a listener ends Serve, which says so.
func TestListenerFails(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	failing := &failingListener{Listener: l, err: errors.New("planted")}
	if err := (&Server{Backend: &memory{}}).Serve(context.Background(), failing); !errors.Is(err, failing.err) {
		t.Errorf("Serve: %v", err)
	}
	// Lack of file descriptors passes.
	synctest.Test(t, func(t *testing.T) {
		p := newPipes()
		f := &failingListener{Listener: p, err: &net.OpError{Op: "accept", Err: os.NewSyscallError("accept", syscall.EMFILE)}, times: 5}
		stop := serveOn(t, &Server{Backend: &memory{}}, f)
		c := p.dial(t)
		go func() { _, _ = io.WriteString(c, "GET foo HTTP/1.1\r\n\r\n") }()
		if got, want := rest(t, c), (&form{status: 200, body: "foo=NIL"}).want(); got != want {
			t.Errorf("answered %q", got)
		}
		stop()
	})
}

// failingListener fails, times times or always if that is 0.
type failingListener struct {
	net.Listener
	err   error
	times int
}

func (l *failingListener) Accept() (net.Conn, error) {
	if l.times == 1 {
		return l.Listener.Accept()
	}
	if l.times > 0 {
		l.times--
	}
	return nil, l.err
}

// Who fails with handshakes all the time doesn't fill the log.
func TestHandshakesAreRemarkedNowAndThen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &Server{}
		for range 2 {
			if !s.remarkable() || s.remarkable() {
				t.Error("not the first alone is logged")
			}
			time.Sleep(handshakeRemarks)
		}
	})
}
