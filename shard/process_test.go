package shard

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/torc-dht/torc/memcache"
)

// listen returns a listener on a free port of loopback.
func listen(t testing.TB) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// startMaster runs a master until the test ends, or stop is called.
func startMaster(t testing.TB, m *Master) (addr string, stop func()) {
	l := listen(t)
	return l.Addr().String(), serving(t, func(ctx context.Context) error { return m.Serve(ctx, l) })
}

// startServer runs a server until the test ends, or stop is called.
func startServer(t testing.TB, s *Server) (addr string, stop func()) {
	l := listen(t)
	return l.Addr().String(), serving(t, func(ctx context.Context) error { return s.Serve(ctx, l) })
}

func serving(t testing.TB, serve func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func awaitJoined(t testing.TB, s *Server) {
	t.Helper()
	select {
	case <-s.Joined():
	case <-time.After(20 * time.Second):
		t.Fatal("not joined after 20 s")
	}
}

func TestThreeServers(t *testing.T) {
	var logger *slog.Logger // = quiet()
	m, _ := startMaster(t, &Master{Log: logger})
	var addrs []string
	for i := range 3 {
		s := &Server{Masters: []string{m}, Log: logger, Memory: 64 << 20}
		begun := time.Now()
		addr, _ := startServer(t, s)
		awaitJoined(t, s)
		t.Log("joined", i, addr, time.Since(begun))
		addrs = append(addrs, addr)
		c := memcache.NewClient(addr, memcache.Config{})
		defer c.Close()
		done, moved := 0, 0
		for k := range 1000 {
			if _, err := c.Set(t.Context(), memcache.Item{Key: fmt.Sprint(k), Value: []byte("v")}, memcache.ModeSet); err == nil {
				done++
			} else {
				moved++
				if moved == 1 {
					t.Log(err)
				}
			}
		}
		t.Log(done, "put,", moved, "moved")
	}
	time.Sleep(time.Second)
	for _, addr := range addrs {
		c := memcache.NewClient(addr, memcache.Config{})
		defer c.Close()
		done := 0
		for k := range 1000 {
			if _, err := c.Get(t.Context(), fmt.Sprint(k)); err == nil {
				done++
			}
		}
		t.Log(addr, "has", done)
	}
}
