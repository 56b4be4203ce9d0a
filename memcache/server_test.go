package memcache_test

import (
	"net"
	"slices"
	"testing"

	"github.com/torc-dht/torc/memcache"
)

func sorted(s []string) []string {
	slices.Sort(s)
	return s
}

// startServer serves s on a free port until the test ends.
func startServer(t testing.TB, s *memcache.Server) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		_ = s.Close()
		if err := <-served; err != memcache.ErrServerClosed {
			t.Errorf("Serve returned %v, want ErrServerClosed", err)
		}
	})
	return l.Addr().String()
}
