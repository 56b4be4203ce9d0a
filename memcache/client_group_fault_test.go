//go:build unix

package memcache_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/torc-dht/torc/memcache"
	"github.com/torc-dht/torc/memcache/memcachetest"
)

// wantGroupHit says whether the get at index i has the key as its value.
func wantGroupHit(t *testing.T, g *memcache.Group, i int) {
	t.Helper()
	if item, err := g.Item(i); err != nil || string(item.Value) != item.Key {
		t.Errorf("request %d: %+v, %v", i, item, err)
	}
}

// watched are the connections that a client has dialled.
type watched struct {
	mu    sync.Mutex
	conns []*net.TCPConn
}

func (w *watched) dial(ctx context.Context, addr string) (net.Conn, error) {
	var d net.Dialer
	nc, err := d.DialContext(ctx, "tcp", addr)
	if err == nil {
		w.mu.Lock()
		w.conns = append(w.conns, nc.(*net.TCPConn))
		w.mu.Unlock()
	}
	return nc, err
}

// awaitEnd waits until the client's kernel knows that the server has closed the
// n-th connection.
func (w *watched) awaitEnd(t *testing.T, n int) {
	t.Helper()
	w.mu.Lock()
	raw, err := w.conns[n].SyscallConn()
	w.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		ended := false
		err := raw.Control(func(fd uintptr) {
			n, _, err := syscall.Recvfrom(int(fd), make([]byte, 1), syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
			ended = n == 0 && err == nil
		})
		if ended || err != nil { // the client may have closed it, too
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the server has not closed the connection")
		}
	}
}

// Servers may close connections that are idle: what a group asks next goes out
// on new ones.
func TestGroupServersCloseIdle(t *testing.T) {
	t.Parallel()
	const servers, rounds = 3, 10
	var clients []*memcache.Client
	var dialled [servers]watched
	for i := range servers {
		addr := fakeServer(t, func(_ int, s *session) {
			for range 2 {
				words, opaque, err := s.request()
				if err != nil {
					return
				}
				s.say(hit(words, opaque))
			}
		})
		clients = append(clients, openClient(t, addr, memcache.Config{Conns: 1, Dialer: dialled[i].dial}))
	}
	var g memcache.Group
	for round := range rounds {
		g.Reset()
		for i, c := range clients {
			g.Get(c, fmt.Sprint("a", i))
			g.Get(c, fmt.Sprint("b", i))
		}
		g.Wait(t.Context())
		for i := range g.Len() {
			wantGroupHit(t, &g, i)
		}
		for i := range clients {
			dialled[i].awaitEnd(t, round)
			if since, err := clients[i].Failing(); !since.IsZero() {
				t.Errorf("failing since %v: %v", since, err)
			}
		}
		time.Sleep(2 * time.Millisecond) // until the client looks before it writes
	}
	for i := range dialled {
		if n := len(dialled[i].conns); n != rounds {
			t.Errorf("%d connections were made, want %d", n, rounds)
		}
	}
}

// holding answers gets, those of "held" only once release is closed. It tells
// asked of each.
func holding(asked chan<- string, release <-chan struct{}) script {
	return func(_ int, s *session) {
		for {
			words, opaque, err := s.request()
			if err != nil {
				return
			}
			asked <- words[1]
			if words[1] == "held" {
				<-release
			}
			s.say(hit(words, opaque))
		}
	}
}

// A group that waits for one server holds up nobody's answers from another, and
// no second attempt of its own.
func TestGroupWaitsForOneServer(t *testing.T) {
	t.Parallel()
	for _, first := range []string{"held", "free"} {
		asked, release := make(chan string, 100), make(chan struct{})
		conns := map[string]*atomic.Int64{"held": new(atomic.Int64), "free": new(atomic.Int64)}
		clients := map[string]*memcache.Client{}
		kick := make(chan struct{})
		var dialled watched
		for name := range conns {
			play := holding(asked, release)
			clients[name] = openClient(t, fakeServer(t, func(n int, s *session) {
				conns[name].Add(1)
				if name == "free" && n == 0 {
					words, opaque, err := s.request()
					if err != nil {
						return
					}
					s.say(hit(words, opaque))
					<-kick
					return // it is closed, idle
				}
				play(n, s)
			}), memcache.Config{Conns: 1, Dialer: map[string]func(context.Context, string) (net.Conn, error){"free": dialled.dial}[name]})
			wantHit(t, clients[name], "k")
		}
		close(kick)
		dialled.awaitEnd(t, 0)
		time.Sleep(2 * time.Millisecond) // until the client looks before it writes
		var g memcache.Group
		waited := make(chan struct{})
		order := []string{"held", "free"}
		if first == "free" {
			order = []string{"free", "held"}
		}
		for _, name := range order {
			g.Get(clients[name], name)
		}
		for len(asked) > 0 {
			<-asked
		}
		go func() {
			g.Wait(t.Context())
			close(waited)
		}()
		for seen := map[string]bool{}; !seen["held"] || !seen["free"]; {
			seen[<-asked] = true // the second attempt too, though the other server is silent
		}
		wantHit(t, clients["free"], "k2")
		select {
		case <-waited:
			t.Error("Wait returned before all had ended")
		default:
		}
		close(release)
		<-waited
		wantGroupHit(t, &g, 0)
		wantGroupHit(t, &g, 1)
		if n := conns["free"].Load(); n != 2 {
			t.Errorf("%d connections, want 2", n)
		}
	}
}

// Each request of a group has its own time-out, and none takes that of another.
func TestGroupTimeouts(t *testing.T) {
	const read, write = 400 * time.Millisecond, 4 * time.Second
	half := func(n int, s *session) { // answers gets of fast
		for {
			words, opaque, err := s.request()
			if err != nil {
				return
			}
			if words[1] != "fast" {
				mute(n, s)
				return
			}
			s.say(hit(words, opaque))
		}
	}
	cfg := memcache.Config{ReadTimeout: read, WriteTimeout: write, Conns: 1}
	inBubble(t, cfg, half, func(t *testing.T, c *memcache.Client) {
		var wg sync.WaitGroup
		other := cfg
		other.Dialer = pipeDialer(&wg, func(_ int, s *session) { s.serveHits() })
		quick := memcache.NewClient("quick:11211", other)
		defer wg.Wait()
		defer quick.Close()
		for _, withSet := range []bool{true, false} {
			var g memcache.Group
			fast := g.Get(quick, "fast")
			slow := g.Get(c, "slow")
			limit := read
			if withSet {
				g.Set(c, memcache.Item{Key: "slow"}, memcache.ModeSet)
				limit = write
			}
			slow2 := g.Head(c, "slow")
			start := time.Now()
			g.Wait(t.Context())
			if took := time.Since(start); took > limit || took < limit*7/8 {
				t.Errorf("it took %v of %v", took, limit)
			}
			wantGroupHit(t, &g, fast)
			for i := slow; i <= slow2; i++ {
				if err := g.Err(i); !errors.Is(err, os.ErrDeadlineExceeded) {
					t.Errorf("request %d: %v", i, err)
				}
				wantSent(t, g.Err(i))
			}
			// The group can be used again, whatever comes late.
			g.Reset()
			for range 10 {
				g.Get(quick, "again")
			}
			g.Wait(t.Context())
			for i := range g.Len() {
				wantGroupHit(t, &g, i)
			}
		}
	})
}

// Who gives up a group keeps what had been answered.
func TestGroupGivenUp(t *testing.T) {
	t.Parallel()
	asked, release := make(chan string, 100), make(chan struct{})
	free := openClient(t, fakeServer(t, holding(asked, nil)), memcache.Config{Conns: 1})
	held := openClient(t, fakeServer(t, holding(asked, release)), memcache.Config{Conns: 1})
	wantHit(t, free, "k")
	wantHit(t, held, "k")
	for len(asked) > 0 {
		<-asked
	}
	var g memcache.Group
	for round := range 3 {
		g.Reset()
		ctx, cancel := context.WithCancel(t.Context())
		a, b, c := g.Get(free, "k"), g.Get(held, "held"), g.Get(free, "k")
		go func() {
			<-asked
			<-asked
			if round == 0 { // later, the server that holds one does not even read
				<-asked
			}
			cancel()
		}()
		g.Wait(ctx)
		for _, i := range []int{a, c} {
			if g.Err(i) != nil && !errors.Is(g.Err(i), context.Canceled) {
				t.Errorf("request %d: %v", i, g.Err(i))
			}
		}
		wantSent(t, g.Err(b))
		if !errors.Is(g.Err(b), context.Canceled) {
			t.Errorf("given up: %v", g.Err(b))
		}
		g.Reset()
		a = g.Get(free, "k")
		g.Wait(t.Context())
		wantGroupHit(t, &g, a)
		<-asked
		g.Reset()
		g.Get(free, "k")
		g.Wait(ctx)
		if ce := wantConnError(t, g.Err(0)); ce.Sent || !errors.Is(ce, context.Canceled) {
			t.Errorf("a context that has ended: %+v", ce)
		}
		if _, err := g.Item(0); err == nil {
			t.Error("an item without an answer")
		}
	}
	close(release)
	wantHit(t, held, "k")
}

// A connection never has more than it may, and what does not fit follows.
func TestGroupMaxPending(t *testing.T) {
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
			time.Sleep(time.Millisecond)
			for _, a := range answers {
				s.say(a)
			}
		}
	}, func(t *testing.T, c *memcache.Client) {
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				var g memcache.Group
				for i := range 40 {
					g.Get(c, fmt.Sprint(i))
				}
				g.Wait(t.Context())
				for i := range g.Len() {
					wantGroupHit(t, &g, i)
				}
			})
		}
		wg.Wait()
		if most != 4 {
			t.Errorf("at most %d under way, want 4", most)
		}
	})
}

// What a full connection never took was not sent, and fails in time.
func TestGroupHasNoRoom(t *testing.T) {
	const read, write = 400 * time.Millisecond, 800 * time.Millisecond
	cfg := memcache.Config{Conns: 1, MaxPending: 4, ReadTimeout: read, WriteTimeout: write}
	inBubble(t, cfg, mute, func(t *testing.T, c *memcache.Client) {
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { _ = c.Delete(t.Context(), "k", 0) })
		}
		synctest.Wait()
		var g memcache.Group
		g.Get(c, "k")
		g.Get(c, "k")
		g.Delete(c, "k", 0)
		start := time.Now()
		g.Wait(t.Context())
		if took := time.Since(start); took > write {
			t.Errorf("it took %v", took)
		}
		for i := range g.Len() {
			if ce := wantConnError(t, g.Err(i)); ce.Sent || !errors.Is(ce, os.ErrDeadlineExceeded) || !strings.Contains(ce.Error(), "too many requests") {
				t.Errorf("request %d: %+v: %v", i, ce, ce)
			}
		}
		wg.Wait()
	})
}

// A server that can't be reached costs its own requests their time, not others.
func TestGroupWhileDialling(t *testing.T) {
	t.Parallel()
	const read, write = 100 * time.Millisecond, 300 * time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		cfg := memcache.Config{
			ReadTimeout: read, WriteTimeout: write,
			Dialer: func(ctx context.Context, _ string) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() },
		}
		frozen, frozen2 := memcache.NewClient("frozen:11211", cfg), memcache.NewClient("frozen:11212", cfg)
		defer frozen.Close()
		defer frozen2.Close()
		var g memcache.Group
		g.Get(frozen, "k")
		g.Get(frozen2, "k")
		g.Delete(frozen, "k", 0)
		start := time.Now()
		g.Wait(t.Context())
		if took := time.Since(start); took != write {
			t.Errorf("it took %v", took)
		}
		for i := range g.Len() {
			if ce := wantConnError(t, g.Err(i)); ce.Sent || !errors.Is(ce, os.ErrDeadlineExceeded) {
				t.Errorf("request %d: %+v: %v", i, ce, ce)
			}
		}
		g.Reset()
		g.Get(frozen, "k")
		g.Get(frozen2, "k")
		ctx, cancel := context.WithTimeout(t.Context(), read/2)
		defer cancel()
		start = time.Now()
		g.Wait(ctx)
		if took := time.Since(start); took != read/2 || !errors.Is(g.Err(0), context.DeadlineExceeded) || !errors.Is(g.Err(1), context.DeadlineExceeded) {
			t.Errorf("%v, %v after %v", g.Err(0), g.Err(1), took)
		}
	})
}

// Real servers that die, freeze and go on while groups of many sizes are asked.
func TestGroupServersComeAndGo(t *testing.T) {
	t.Parallel()
	const timeout = 300 * time.Millisecond
	cfg := memcache.Config{ReadTimeout: timeout, WriteTimeout: timeout, BackoffMax: 10 * time.Millisecond}
	servers := []*memcachetest.Server{memcachetest.StartServer(t), memcachetest.StartServer(t), memcachetest.StartServer(t)}
	var clients []*memcache.Client
	for _, s := range servers {
		clients = append(clients, openClient(t, s.Addr, cfg))
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var good, bad atomic.Int64
	for caller := range 8 {
		wg.Go(func() {
			var g memcache.Group
			for round := 0; ; round++ {
				select {
				case <-stop:
					return
				default:
				}
				g.Reset()
				size := 1 + round%50
				for i := range size {
					for _, c := range clients {
						key := fmt.Sprintf("k %d %d", caller, i)
						g.Set(c, memcache.Item{Key: key, Value: []byte(key)}, memcache.ModeSet)
						g.Get(c, key)
					}
				}
				start := time.Now()
				g.Wait(t.Context())
				if took := time.Since(start); took > 10*time.Second {
					t.Errorf("a Wait of %v", took)
				}
				for i := range g.Len() {
					err := g.Err(i)
					if err == nil {
						good.Add(1)
						if i%2 == 1 {
							wantGroupHit(t, &g, i)
						}
						continue
					}
					bad.Add(1)
					if i%6 < 2 {
						t.Errorf("a request to the server that was left alone: %v", err)
					}
					if i%2 == 0 || !errors.Is(err, memcache.ErrNotFound) {
						wantConnErrorOnly(t, err)
					}
				}
			}
		})
	}
	until := func(what string, is func() bool) {
		for deadline := time.Now().Add(10 * time.Second); !is(); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatal("not after 10s: ", what)
			}
		}
	}
	more := func(n *atomic.Int64) func() bool {
		old := n.Load()
		return func() bool { return n.Load() > old+1000 }
	}
	until("good requests", more(&good))
	for range 3 {
		_ = servers[1].Process.Signal(syscall.SIGSTOP)
		until("failures of the frozen server", more(&bad))
		_ = servers[1].Process.Signal(syscall.SIGCONT)
		until("good requests", more(&good))
	}
	_ = servers[2].Process.Kill()
	until("failures of the dead server", more(&bad))
	until("good requests beside a dead server", more(&good))
	close(stop)
	wg.Wait()
}

// wantConnErrorOnly is wantConnError for another goroutine than the test's.
func wantConnErrorOnly(t *testing.T, err error) {
	var ce *memcache.ConnError
	if !errors.As(err, &ce) {
		t.Errorf("error is %v, want a *ConnError", err)
	}
}
