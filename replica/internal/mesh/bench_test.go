package mesh

import (
	"crypto/tls"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/torc-dht/torc/replica/internal/msg"
)

// BenchmarkMessages sends messages of 100 bytes from one node to another, some at a
// time, as a loop under load does, with up to 4096 on the way; and as many bytes
// over a bare connection, in writes of as many messages.
func BenchmarkMessages(b *testing.B) {
	const size, some, ahead = 100, 8, 4096
	b.Run("mesh", func(b *testing.B) {
		all := openAll(b, 2)
		free := make(chan struct{}, ahead/some) // places on the way, some messages each
		for range cap(free) {
			free <- struct{}{}
		}
		done := make(chan struct{})
		var came int // in sink alone
		goal := b.N / some * some
		all[1].events.to(func(ms []*msg.Message) {
			for range (came+len(ms))/some - came/some {
				free <- struct{}{}
			}
			if came += len(ms); came == goal {
				close(done)
			}
		})
		ms := numbered(0, some, size)
		b.ReportAllocs()
		b.ResetTimer()
		for range goal / some {
			<-free
			all[0].Send(1, ms)
		}
		if goal > 0 {
			<-done
		}
		b.StopTimer()
		b.ReportMetric(float64(goal)/b.Elapsed().Seconds(), "messages/s")
		b.ReportMetric(float64(goal)/float64(max(1, all[1].events.batches)), "messages/event")
	})
	b.Run("bare", func(b *testing.B) {
		c, serving := bareTCP(b, io.Discard)
		buf := make([]byte, some*(frameHead+size))
		b.ResetTimer()
		for range b.N / some {
			if _, err := c.Write(buf); err != nil {
				b.Fatal(err)
			}
		}
		_ = c.Close()
		serving.Wait()
		b.StopTimer()
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
	})
}

// BenchmarkPingPong is 100 bytes there and back, beside the same over one bare
// connection.
func BenchmarkPingPong(b *testing.B) {
	for name, c := range map[string]*tls.Config{"mesh": nil, "tls": certificate(b)} {
		b.Run(name, func(b *testing.B) {
			all := openAll(b, 2, withTLS(c))
			back := make(chan struct{}, 1)
			all[0].events.to(func([]*msg.Message) { back <- struct{}{} })
			all[1].events.to(func(ms []*msg.Message) { all[1].Send(0, ms) })
			ms := numbered(0, 1, 100)
			b.ReportAllocs()
			for b.Loop() {
				all[0].Send(1, ms)
				<-back
			}
		})
	}
	b.Run("bare", func(b *testing.B) {
		c, serving := bareTCP(b, nil)
		buf := make([]byte, 100)
		for b.Loop() {
			if _, err := c.Write(buf); err != nil {
				b.Fatal(err)
			}
			if _, err := io.ReadFull(c, buf); err != nil {
				b.Fatal(err)
			}
		}
		_ = c.Close()
		serving.Wait()
	})
}

// bareTCP is a connection whose other end writes all that it reads to w, or back if
// that is nil.
func bareTCP(b *testing.B, w io.Writer) (net.Conn, *sync.WaitGroup) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Close() })
	var serving sync.WaitGroup
	serving.Go(func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		to := w
		if to == nil {
			to = c
		}
		buf := make([]byte, smallBuffer)
		for {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
	})
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Close() })
	return c, &serving
}
