package demux

import (
	"context"
	"net"
	"testing"

	"github.com/torc-dht/torc/memcache"
	"github.com/torc-dht/torc/store"
)

// BenchmarkData puts a memcached server behind a Demux beside one with a port of
// its own: connections made and used once, and requests over one connection.
func BenchmarkData(b *testing.B) {
	serve := func(b *testing.B, l net.Listener) {
		m := &memcache.Server{Handler: memcache.NewHandler(store.New(store.Config{}))}
		served := make(chan struct{})
		go func() {
			defer close(served)
			_ = m.Serve(l)
		}()
		b.Cleanup(func() { _ = m.Close(); <-served })
	}
	bare := listen(b)
	serve(b, bare)
	d := New(listen(b), Config{})
	start(b, d)
	serve(b, d.Data())
	addrs := map[string]string{"bare": bare.Addr().String(), "demux": d.Data().Addr().String()}
	for _, name := range []string{"bare", "demux"} {
		b.Run("connect/"+name, func(b *testing.B) {
			answer := make([]byte, 4)
			for b.Loop() {
				conn, err := net.Dial("tcp", addrs[name])
				if err != nil {
					b.Fatal(err)
				}
				_, _ = conn.Write([]byte("mn\r\n"))
				if _, err := conn.Read(answer); err != nil {
					b.Fatal(err)
				}
				_ = conn.(*net.TCPConn).SetLinger(0) // leave no port behind
				_ = conn.Close()
			}
		})
	}
	for _, size := range []struct {
		name  string
		bytes int
	}{{"100B", 100}, {"64KiB", 64 << 10}} {
		for _, name := range []string{"bare", "demux"} {
			b.Run("get="+size.name+"/"+name, func(b *testing.B) {
				c := memcache.NewClient(addrs[name], memcache.Config{})
				defer c.Close()
				ctx := context.Background()
				if _, err := c.Set(ctx, memcache.Item{Key: "k", Value: make([]byte, size.bytes)}, memcache.ModeSet); err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				for b.Loop() {
					if _, err := c.Get(ctx, "k"); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
