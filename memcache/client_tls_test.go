package memcache_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/torc-dht/torc/memcache"
	"github.com/torc-dht/torc/memcache/memcachetest"
)

// tlsFront speaks TLS before the server at addr, as stunnel would; Debian's
// memcached has no TLS of its own.
func tlsFront(t *testing.T, addr string) (front string, roots *x509.CertPool) {
	t.Helper()
	certs := httptest.NewTLSServer(nil)
	defer certs.Close()
	roots = x509.NewCertPool()
	roots.AddCert(certs.Certificate())
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: certs.TLS.Certificates})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(func() {
		ln.Close()
		wg.Wait()
	})
	wg.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer nc.Close()
				back, err := net.Dial("tcp", addr)
				if err != nil {
					return
				}
				wg.Go(func() {
					_, _ = io.Copy(back, nc)
					back.Close()
				})
				_, _ = io.Copy(nc, back)
			})
		}
	})
	return ln.Addr().String(), roots
}

func TestClientTLS(t *testing.T) {
	t.Parallel()
	front, roots := tlsFront(t, memcachetest.Start(t))
	c := openClient(t, front, memcache.Config{TLS: &tls.Config{RootCAs: roots}})
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Go(func() {
			for i := range 50 {
				key, value := fmt.Sprint("k", g), strings.Repeat(fmt.Sprint(g), i*100)
				if _, err := c.Set(t.Context(), memcache.Item{Key: key, Value: []byte(value)}, memcache.ModeSet); err != nil {
					t.Error(err)
					return
				}
				item, err := c.Get(t.Context(), key)
				if err != nil || string(item.Value) != value {
					t.Errorf("%s: %.20q, %v", key, item.Value, err)
				}
			}
		})
	}
	wg.Wait()

	stranger := openClient(t, front, memcache.Config{TLS: &tls.Config{}})
	if _, err := stranger.Get(t.Context(), "k"); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("an unknown certificate: %v", err)
	}
}

func TestTLSServerIsSilent(t *testing.T) {
	t.Parallel()
	addr := fakeServer(t, func(n int, s *session) { s.drain() })
	c := openClient(t, addr, memcache.Config{TLS: &tls.Config{}, DialTimeout: 20 * time.Millisecond})
	_, err := c.Get(t.Context(), "k")
	if ce := wantConnError(t, err); ce.Sent || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("error is %+v: %v", ce, err)
	}
}
