package shard

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
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

// Three servers join one after the other, while keys are there: each key is at one
// of them, each has its share, and the others say where.
func TestThreeServers(t *testing.T) {
	const keys = 1000
	m, _ := startMaster(t, &Master{Log: quiet()})
	var clients []*memcache.Client
	for range 3 {
		s := &Server{Masters: []string{m}, Log: quiet(), Memory: 64 << 20}
		addr, _ := startServer(t, s)
		awaitJoined(t, s)
		c := memcache.NewClient(addr, memcache.Config{})
		defer c.Close()
		clients = append(clients, c)
		share := keys / len(clients)
		put := here(t, keys, func(key string) error {
			_, err := c.Set(t.Context(), memcache.Item{Key: key, Value: []byte("v")}, memcache.ModeSet)
			return err
		})
		if put < share*9/10 || put > share*11/10 {
			t.Errorf("of %d servers the last took %d of %d keys", len(clients), put, keys)
		}
	}
	found := 0
	for _, c := range clients {
		found += here(t, keys, func(key string) error {
			_, err := c.Get(t.Context(), key)
			return err
		})
	}
	if found != keys {
		t.Errorf("%d of %d keys were found", found, keys)
	}
}

// here counts the keys for which do is done, all others being elsewhere.
func here(t *testing.T, keys int, do func(key string) error) (done int) {
	t.Helper()
	for k := range keys {
		var moved *memcache.ServerError
		switch err := do(fmt.Sprint(k)); {
		case err == nil:
			done++
		case !errors.As(err, &moved) || !strings.HasPrefix(moved.Line, "SERVER_ERROR moved "):
			t.Fatalf("key %d: %v", k, err)
		}
	}
	return done
}
