package memcache_test

import (
	"bufio"
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/torc-dht/torc/memcache"
)

// These tests run in virtual time, against scripts at the other end of a
// net.Pipe.

// pipeDialer plays the script to each connection that is dialled.
func pipeDialer(wg *sync.WaitGroup, play script) func(context.Context, string) (net.Conn, error) {
	n := 0
	var mu sync.Mutex
	return func(context.Context, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		mu.Lock()
		defer mu.Unlock()
		me := n
		n++
		wg.Go(func() {
			defer theirs.Close()
			play(me, &session{theirs, bufio.NewReader(theirs)})
		})
		return ours, nil
	}
}

// inBubble runs the test in virtual time, with a client whose server plays the
// script.
func inBubble(t *testing.T, cfg memcache.Config, play script, test func(t *testing.T, c *memcache.Client)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var wg sync.WaitGroup
		cfg.Dialer = pipeDialer(&wg, play)
		c := memcache.NewClient("server:11211", cfg)
		defer wg.Wait()
		defer c.Close()
		test(t, c)
	})
}

// mute reads requests and answers none.
func mute(_ int, s *session) {
	for {
		if _, _, err := s.request(); err != nil {
			return
		}
	}
}

func TestTimeouts(t *testing.T) {
	const read, write = 400 * time.Millisecond, 4 * time.Second
	cfg := memcache.Config{ReadTimeout: read, WriteTimeout: write, Conns: 1}
	inBubble(t, cfg, mute, func(t *testing.T, c *memcache.Client) {
		for _, call := range []struct {
			timeout time.Duration
			do      func(context.Context) error
		}{
			{read, func(ctx context.Context) error { _, err := c.Get(ctx, "k"); return err }},
			{read, func(ctx context.Context) error { _, err := c.GetAndTouch(ctx, "k", 0); return err }},
			{write, func(ctx context.Context) error { return c.Delete(ctx, "k", 0) }},
			{read, func(ctx context.Context) error { _, err := c.Get(ctx, "k"); return err }}, // behind one that may take longer
		} {
			// A context that ends later changes nothing.
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			for _, ctx := range []context.Context{t.Context(), ctx} {
				start := time.Now()
				err := call.do(ctx)
				took := time.Since(start)
				if ce := wantConnError(t, err); !ce.Sent || ce.Since.IsZero() || !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("error is %+v: %v", ce, err)
				}
				if took > call.timeout || took < call.timeout*7/8 {
					t.Errorf("it took %v of %v", took, call.timeout)
				}
			}
			cancel()
			// One that ends sooner counts.
			ctx, cancel = context.WithTimeout(t.Context(), read/2)
			start := time.Now()
			err := call.do(ctx)
			if took := time.Since(start); took > read/2+10*time.Millisecond || !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v after %v", err, took)
			}
			cancel()
		}
		// And the connection was there all the time.
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := c.Ping(ctx); err == nil {
			t.Error("an answer overtook those that were asked before")
		}
	})
}

// The time-out counts while a connection is being made, too.
func TestTimeoutWhileDialling(t *testing.T) {
	const timeout = 100 * time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		c := memcache.NewClient("frozen:11211", memcache.Config{
			ReadTimeout: timeout,
			Dialer: func(ctx context.Context, _ string) (net.Conn, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			},
		})
		defer c.Close()
		start := time.Now()
		_, err := c.Get(t.Context(), "k")
		if took := time.Since(start); took != timeout {
			t.Errorf("it took %v", took)
		}
		if ce := wantConnError(t, err); ce.Sent || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("error is %+v: %v", ce, err)
		}
	})
}

func TestStallTimeout(t *testing.T) {
	const timeout = 30 * time.Second
	slowly := func(n int, s *session) {
		if n > 0 {
			s.serveHits()
			return
		}
		for range 3 { // it answers in parts, each in time
			words, opaque, err := s.request()
			if err != nil {
				return
			}
			for part := range strings.Lines(hit(words, opaque)) {
				time.Sleep(timeout - 5*time.Second)
				s.say(part)
			}
		}
		mute(0, s)
	}
	inBubble(t, memcache.Config{StallTimeout: timeout, Conns: 1}, slowly, func(t *testing.T, c *memcache.Client) {
		for range 3 {
			if _, err := c.Get(t.Context(), "k"); err != nil {
				t.Fatalf("a slow answer: %v", err)
			}
		}
		time.Sleep(time.Hour) // idle is not stalled
		start := time.Now()
		_, err := c.Get(t.Context(), "k")
		took := time.Since(start)
		if ce := wantConnError(t, err); !ce.Sent || !strings.Contains(err.Error(), "not sent a byte for 30s") {
			t.Errorf("error is %+v: %v", ce, err)
		}
		if took < timeout || took > timeout*5/4 {
			t.Errorf("it took %v", took)
		}
		if _, err := c.Get(t.Context(), "k"); err != nil {
			t.Errorf("the next connection: %v", err)
		}
	})
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var dials []time.Time
		down := errors.New("down")
		c := memcache.NewClient("server:11211", memcache.Config{
			BackoffMin: 10 * time.Millisecond,
			BackoffMax: 500 * time.Millisecond,
			Dialer: func(context.Context, string) (net.Conn, error) {
				dials = append(dials, time.Now())
				return nil, down
			},
		})
		defer c.Close()
		start := time.Now()
		for time.Since(start) < time.Minute {
			_, err := c.Get(t.Context(), "k")
			ce := wantConnError(t, err)
			if ce.Sent || !ce.Since.Equal(start) || !errors.Is(err, down) {
				t.Fatalf("error is %+v: %v", ce, err)
			}
			time.Sleep(time.Millisecond)
		}
		if !dials[0].Equal(start) {
			t.Errorf("the first dial came after %v", dials[0].Sub(start))
		}
		var longest time.Duration
		for i := 1; i < len(dials); i++ {
			pause, most := dials[i].Sub(dials[i-1]), 501*time.Millisecond
			if i < 6 {
				most = 10*time.Millisecond<<(i-1) + time.Millisecond
			}
			if pause > most {
				t.Errorf("pause %d is %v, want at most %v", i, pause, most)
			}
			longest = max(longest, pause)
		}
		// Drawn between 0 and half a second, they last a quarter on the mean.
		if n := len(dials); n < 150 || n > 400 || longest < 300*time.Millisecond {
			t.Errorf("%d dials in a minute, the longest pause %v", n, longest)
		}
	})
}

// What was never handed to the kernel was surely not sent.
func TestQueuedRequestsAreNotSent(t *testing.T) {
	stuck := func(n int, s *session) {
		if n > 0 {
			return
		}
		_, _, _ = s.request() // and reads no further: what is written blocks
		time.Sleep(time.Second)
	}
	inBubble(t, memcache.Config{Conns: 1}, stuck, func(t *testing.T, c *memcache.Client) {
		var wg sync.WaitGroup
		get := func(key string, sent bool) {
			wg.Go(func() {
				_, err := c.Get(t.Context(), key)
				var ce *memcache.ConnError
				if !errors.As(err, &ce) || ce.Sent != sent {
					t.Errorf("%s: error is %+v: %v; want sent: %v", key, ce, err, sent)
				}
			})
			synctest.Wait()
		}
		get("read", true)
		get(strings.Repeat("w", 200), true) // being written
		for range 10 {
			get("queued", false)
		}
		wg.Wait()
	})
}

// A request that is tried again because it was not sent has one time-out for
// both attempts.
func TestTimeoutOverTwoAttempts(t *testing.T) {
	const timeout, cut = 400 * time.Millisecond, 300 * time.Millisecond
	stuck := func(n int, s *session) {
		if n > 0 {
			mute(n, s)
			return
		}
		_, _, _ = s.request() // and reads no further
		time.Sleep(cut)
	}
	inBubble(t, memcache.Config{Conns: 1, ReadTimeout: timeout, BackoffMax: cut}, stuck, func(t *testing.T, c *memcache.Client) {
		var wg sync.WaitGroup
		for _, key := range []string{"read", strings.Repeat("w", 200), "queued"} {
			wg.Go(func() {
				start := time.Now()
				_, err := c.Get(t.Context(), key)
				if took := time.Since(start); took > timeout || err == nil {
					t.Errorf("%.10s: %v after %v of %v", key, err, took, timeout)
				}
			})
			synctest.Wait()
		}
		wg.Wait()
	})
}

// A dump waits for its consumer as long as that takes.
func TestDumpHasASlowConsumer(t *testing.T) {
	dump := func(_ int, s *session) {
		if _, _, err := s.request(); err != nil {
			return
		}
		s.say("key=a exp=-1 la=1 cas=1 fetch=no cls=1 size=60\nkey=b exp=-1 la=1 ")
		s.say("cas=2 fetch=no cls=1 size=60\nEND\r\n")
	}
	inBubble(t, memcache.Config{StallTimeout: time.Second}, dump, func(t *testing.T, c *memcache.Client) {
		n := 0
		for _, err := range c.Metadump(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			n++
			time.Sleep(time.Minute)
		}
		if n != 2 {
			t.Errorf("%d keys, want 2", n)
		}
	})
}

// A connection that has all it may waits with more, and no request is lost.
func TestMaxPending(t *testing.T) {
	release := make(chan struct{})
	most := 0
	inBubble(t, memcache.Config{Conns: 1, MaxPending: 4}, func(n int, s *session) {
		for {
			var answers []string
			for len(answers) < 4 {
				words, opaque, err := s.request()
				if err != nil {
					return
				}
				answers = append(answers, hit(words, opaque))
				most = max(most, len(answers))
			}
			<-release
			for _, a := range answers {
				s.say(a)
			}
		}
	}, func(t *testing.T, c *memcache.Client) {
		release = make(chan struct{}) // of this bubble
		var wg sync.WaitGroup
		for range 12 {
			wg.Go(func() {
				if _, err := c.Get(t.Context(), "k"); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := c.Get(ctx, "k")
		if ce := wantConnError(t, err); ce.Sent || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "too many requests") {
			t.Errorf("over the limit: %+v: %v", ce, err)
		}
		for range 3 {
			release <- struct{}{}
		}
		wg.Wait()
		if most != 4 {
			t.Errorf("at most %d requests were under way, want 4", most)
		}
	})
}
