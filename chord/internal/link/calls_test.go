package link

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/torc-dht/torc/chord/internal/msg"
	"github.com/torc-dht/torc/chord/internal/ring"
)

func client(t *testing.T, addr string, o Options) *Client {
	t.Helper()
	c, err := NewClient(addr, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func TestCalls(t *testing.T) {
	t.Parallel()
	called := make(chan string, 10)
	want := answers{
		status:   Status{Keys: 3, Fingers: make([]ring.Ref, 8), Successors: []ring.Ref{refOf(2, 2, "h:2")}},
		resolved: Resolved{Owner: refOf(2, 2, "h:2"), Hops: []Hop{{Node: refOf(3, 3, "h:3"), Silent: true, Took: time.Second}}},
		called:   func(what string) { called <- what },
	}
	want.status.Fingers[3] = refOf(9, 9, "h:9")
	s := start(t, 1, func(c *Config) { c.Calls = want })
	c := client(t, s.ref.Addr, Options{})
	ctx := within(t)

	info, err := c.Info(ctx)
	if want := (Info{Version: msg.Version, Ring: theRing, Bits: 8, Replicas: 1, MaxValue: 1 << 20, Self: s.ref}); err != nil || info != want {
		t.Errorf("info: %+v, %v", info, err)
	}
	health := grpc_health_v1.NewHealthClient(c.conn)
	for _, joined := range []bool{true, false, true} {
		s.SetJoined(joined)
		if info, err = c.Info(ctx); err != nil || info.Joined != joined {
			t.Errorf("joined: %+v, %v", info, err)
		}
		h, err := health.Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: "torc.chord.v1.Node"})
		if err != nil || (h.GetStatus() == grpc_health_v1.HealthCheckResponse_SERVING) != joined {
			t.Errorf("health: %v, %v", h, err)
		}
	}
	st, err := c.Status(ctx)
	want.status.Info = info
	if <-called; err != nil || fmt.Sprint(st) != fmt.Sprint(want.status) {
		t.Errorf("status: %+v, %v", st, err)
	}
	target := refOf(35, 1, "").Place
	v, err := c.Resolve(ctx, target)
	if what := <-called; err != nil || what != "resolve 35" || fmt.Sprint(v) != fmt.Sprint(want.resolved) {
		t.Errorf("%s: %+v, %v", what, v, err)
	}
	if err := c.Leave(ctx); err != nil || <-called != "leave" {
		t.Errorf("leave: %v", err)
	}
	if err := c.Fail(ctx); err != nil || <-called != "fail" {
		t.Errorf("fail: %v", err)
	}
}

func TestCallsThatFail(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	no := client(t, start(t, 1, func(c *Config) { c.Calls = answers{err: errTest} }).ref.Addr, Options{})
	_, err := no.Status(ctx)
	_, err2 := no.Resolve(ctx, refOf(1, 1, "").Place)
	for _, err := range []error{err, err2, no.Leave(ctx), no.Fail(ctx)} {
		if !errors.Is(err, ErrDeclined) || !strings.Contains(err.Error(), errTest.Error()) {
			t.Errorf("got %v", err)
		}
	}
	noWay := client(t, start(t, 1, func(c *Config) { c.Calls = answers{err: fmt.Errorf("to 5: %w", ring.ErrNoWay)} }).ref.Addr, Options{})
	if _, err := noWay.Resolve(ctx, refOf(5, 1, "").Place); !errors.Is(err, ring.ErrNoWay) {
		t.Errorf("got %v", err)
	}
	if _, err := noWay.Resolve(ctx, anywhere.OfKey("beyond n = 8")); err == nil || !strings.Contains(err.Error(), "outside of the ring") {
		t.Errorf("got %v", err)
	}
	l := listen(t, "127.0.0.1:0")
	l.Close()
	if _, err := client(t, l.Addr().String(), Options{}).Info(ctx); !errors.Is(err, ErrRefused) {
		t.Errorf("got %v", err)
	}
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if _, err := client(t, stuck(t), Options{}).Info(short); !errors.Is(err, ErrSilent) {
		t.Errorf("got %v", err)
	}
}

// A node that is told to fail answers, and is closed then: the answer arrives. Who
// waits for what won't come is sent away.
func TestCloseLetsAnswersOut(t *testing.T) {
	t.Parallel()
	called, finished := make(chan string, 2), make(chan struct{})
	s := start(t, 1, func(c *Config) { c.Calls = failing{called: called, finished: finished} })
	c := client(t, s.ref.Addr, Options{})
	failed, stuck := make(chan error, 1), make(chan error, 1)
	go func() { failed <- c.Fail(within(t)) }()
	go func() { stuck <- c.Leave(within(t)) }()
	<-called
	<-called
	closed := make(chan struct{})
	go func() {
		s.shut()
		close(closed)
	}()
	<-s.ctx.Done()
	close(finished)
	if err := <-failed; err != nil {
		t.Errorf("fail: %v", err)
	}
	if err := <-stuck; err == nil {
		t.Error("leave: it was answered")
	}
	<-closed
}

// failing is a node that can fail, once it has finished, and can't leave.
type failing struct {
	answers
	called   chan<- string
	finished <-chan struct{}
}

func (f failing) Fail(ctx context.Context) error {
	f.called <- "fail"
	select {
	case <-f.finished:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f failing) Leave(ctx context.Context) error {
	f.called <- "leave"
	<-ctx.Done()
	return ctx.Err()
}
