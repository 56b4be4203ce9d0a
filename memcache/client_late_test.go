package memcache_test

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/torc-dht/torc/memcache"
)

// slowHits answers gets of slow after a while, and others at once.
func slowHits(after time.Duration) script {
	return func(_ int, s *session) {
		for {
			words, opaque, err := s.request()
			if err != nil {
				return
			}
			if words[1] == "slow" {
				time.Sleep(after)
			}
			s.say(hit(words, opaque))
		}
	}
}

func TestGetHedged(t *testing.T) {
	const after, answer, timeout = 30 * time.Millisecond, 100 * time.Millisecond, 500 * time.Millisecond
	for _, cfg := range []memcache.Config{{Conns: 1}, {Conns: 1, ReadTimeout: timeout}, {Conns: 1, ReadTimeout: time.Minute}} {
		t.Run("ReadTimeout="+cfg.ReadTimeout.String(), func(t *testing.T) {
			inBubble(t, cfg, slowHits(answer), func(t *testing.T, c *memcache.Client) {
				for range 10 {
					item, late, err := c.GetHedged(t.Context(), "fast", after)
					if err != nil || late != nil || string(item.Value) != "fast" {
						t.Fatalf("a fast answer: %+v, %v, %v", item, late, err)
					}
					time.Sleep(7 * time.Millisecond) // another place between two sweeps
					start := time.Now()
					_, late, err = c.GetHedged(t.Context(), "slow", after)
					if took := time.Since(start); err != nil || late == nil || took != after {
						t.Fatalf("%v, %v, after %v", late, err, took)
					}
					for range 2 {
						item, err = late.Wait(t.Context())
						if took := time.Since(start); err != nil || string(item.Value) != "slow" || took != answer {
							t.Fatalf("%+v, %v, after %v", item, err, took)
						}
					}
					if item, late, err := c.GetHedged(t.Context(), "slow", 0); late != nil || err != nil || string(item.Value) != "slow" {
						t.Fatalf("without notice: %+v, %v, %v", item, late, err)
					}
				}
			})
		})
	}
}

// Many wait for one slow connection, each with its own patience.
func TestGetHedgedInACrowd(t *testing.T) {
	inBubble(t, memcache.Config{Conns: 1, ReadTimeout: time.Second}, slowHits(400*time.Millisecond), func(t *testing.T, c *memcache.Client) {
		var wg sync.WaitGroup
		for i := range 20 {
			after := time.Duration(10+i*7) * time.Millisecond
			wg.Go(func() {
				start := time.Now()
				_, late, err := c.GetHedged(t.Context(), "slow", after)
				if took := time.Since(start); late == nil || err != nil || took != after {
					t.Errorf("%v, %v, after %v instead of %v", late, err, took, after)
					return
				}
				if i%2 == 0 {
					ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
					defer cancel()
					_, err := late.Wait(ctx)
					if !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("given up: %v", err)
					}
					wantSent(t, err)
					return
				}
				_, err = late.Wait(t.Context())
				if took := time.Since(start); took > time.Second {
					t.Errorf("%v after %v", err, took)
				}
				if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Error(err)
				}
			})
			synctest.Wait()
		}
		wg.Wait()
	})
}

func TestGetHedgedTimesOut(t *testing.T) {
	const after, timeout = 30 * time.Millisecond, 400 * time.Millisecond
	inBubble(t, memcache.Config{Conns: 1, ReadTimeout: timeout}, mute, func(t *testing.T, c *memcache.Client) {
		start := time.Now()
		_, late, err := c.GetHedged(t.Context(), "k", after)
		if late == nil || err != nil {
			t.Fatal(late, err)
		}
		_, err = late.Wait(t.Context())
		if took := time.Since(start); took > timeout || took < timeout*7/8 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%v after %v", err, took)
		}
		wantSent(t, err)
	})
}

// Notice is given while there is no connection, too, and the time until Wait
// counts.
func TestGetHedgedWhileDialling(t *testing.T) {
	t.Parallel()
	const after, dial, timeout = 30 * time.Millisecond, 100 * time.Millisecond, 300 * time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		var wg sync.WaitGroup
		soon := pipeDialer(&wg, slowHits(0))
		c := memcache.NewClient("server:11211", memcache.Config{
			Conns: 1, ReadTimeout: timeout,
			Dialer: func(ctx context.Context, addr string) (net.Conn, error) {
				time.Sleep(dial)
				return soon(ctx, addr)
			},
		})
		defer wg.Wait()
		defer c.Close()
		start := time.Now()
		_, late, err := c.GetHedged(t.Context(), "k", after)
		if took := time.Since(start); late == nil || err != nil || took != after {
			t.Fatalf("%v, %v, after %v", late, err, took)
		}
		item, err := late.Wait(t.Context())
		if took := time.Since(start); err != nil || string(item.Value) != "k" || took != dial {
			t.Errorf("%+v, %v, after %v", item, err, took)
		}

		c2 := memcache.NewClient("server:11211", memcache.Config{
			ReadTimeout: timeout,
			Dialer:      func(ctx context.Context, _ string) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() },
		})
		defer c2.Close()
		start = time.Now()
		if _, late, err = c2.GetHedged(t.Context(), "k", after); late == nil || err != nil {
			t.Fatal(late, err)
		}
		time.Sleep(70 * time.Millisecond)
		_, err = late.Wait(t.Context())
		if took := time.Since(start); took != timeout || wantConnError(t, err).Sent {
			t.Errorf("%v after %v", err, took)
		}
	})
}

func TestGetHedgedRefuses(t *testing.T) {
	t.Parallel()
	c := openClient(t, "127.0.0.1:1", memcache.Config{})
	if _, late, err := c.GetHedged(t.Context(), "", time.Second); late != nil || !errors.Is(err, memcache.ErrKey) {
		t.Errorf("an empty key: %v, %v", late, err)
	}
	if _, late, err := c.GetHedged(t.Context(), "k", time.Minute); late != nil || wantConnError(t, err).Sent {
		t.Errorf("nobody listens: %v, %v", late, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, late, err := c.GetHedged(ctx, "k", time.Second); late != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("an ended context: %v, %v", late, err)
	}
}
