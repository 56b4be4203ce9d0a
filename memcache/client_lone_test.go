package memcache_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/torc-dht/torc/memcache"
)

// What can go wrong for a caller that is alone on its connection and so reads
// its own answer.

// A connection that breaks between the look whether the server has closed it and
// the write: the request was not sent, so it goes out on another.
func TestWriteFailsAfterTheLook(t *testing.T) {
	t.Parallel()
	done := make(chan struct{})
	addr := fakeServer(t, func(n int, s *session) {
		s.serveHits()
		<-done // so that reading tells the client nothing
	})
	defer close(done)
	var dialled []*net.TCPConn
	c := openClient(t, addr, memcache.Config{Conns: 1, Dialer: func(ctx context.Context, addr string) (net.Conn, error) {
		var d net.Dialer
		nc, err := d.DialContext(ctx, "tcp", addr)
		if err == nil {
			dialled = append(dialled, nc.(*net.TCPConn))
		}
		return nc, err
	}})
	wantHit(t, c, "k")
	time.Sleep(5 * time.Millisecond) // until the client looks again before it writes
	if err := dialled[0].CloseWrite(); err != nil {
		t.Fatal(err)
	}
	item, err := c.Get(t.Context(), "k")
	if err != nil || string(item.Value) != "k" {
		t.Errorf("got %q, %v", item.Value, err)
	}
	if len(dialled) != 2 {
		t.Errorf("%d connections were made, want 2", len(dialled))
	}
}

// After one wrong answer nothing that the server sent counts any more, not even
// what had come already and looks right.
func TestNothingCountsAfterRubbish(t *testing.T) {
	t.Parallel()
	addr := fakeServer(t, func(n int, s *session) {
		for {
			words, opaque, err := s.request()
			if err != nil {
				return
			}
			s.say("rubbish\r\n" + hit(words, opaque))
		}
	})
	c := openClient(t, addr, memcache.Config{Conns: 1, BackoffMax: time.Millisecond})
	for range 20 {
		time.Sleep(2 * time.Millisecond) // out of the pause between dials
		item, err := c.Get(t.Context(), "k")
		if err == nil {
			t.Fatalf("got %q", item.Value)
		}
	}
}

// Nor does what a server says behind its greeting answer the first request.
func TestServerTalksBehindItsGreeting(t *testing.T) {
	t.Parallel()
	addr := fakeServer(t, func(n int, s *session) {
		for range greeting {
			if _, err := s.r.ReadString('\n'); err != nil {
				return
			}
		}
		s.say("VERSION 1.6.18\r\nMN\r\nEN\r\n")
		s.serveHits()
	})
	c := openClient(t, addr, memcache.Config{Conns: 1})
	_, err := c.Get(t.Context(), "k")
	if errors.Is(err, memcache.ErrNotFound) {
		t.Fatal("what nobody asked for is taken for a miss")
	}
	if ce := wantConnError(t, err); ce.Sent {
		t.Errorf("error is %+v: %v", ce, err)
	}
}
