package memcache_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/torc-dht/torc/internal/selfsigned"
	"github.com/torc-dht/torc/memcache"
)

func TestTLS(t *testing.T) {
	t.Parallel()
	certFile, keyFile, pool := selfSigned(t)
	var logged syncBuffer
	s := &memcache.Server{Handler: newHandler(), ErrorLog: log.New(&logged, "", 0)}
	addr := startServerOn(t, s, func(l net.Listener) error { return s.ServeTLS(l, certFile, keyFile) })
	conn, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, conn)
	big := strings.Repeat("x", 300_000)
	c.want("set a 0 0 300000\r\n"+big+"\r\nget a\r\n", "STORED", "VALUE a 0 300000", big, "END")

	plain := dial(t, addr)
	_, _ = io.WriteString(plain, "get a\r\n")
	_, _ = io.ReadAll(plain.r) // an alert, and the end
	if !strings.Contains(logged.String(), "TLS handshake with "+plain.LocalAddr().String()) {
		t.Errorf("logged %q", logged.String())
	}
}

func TestServeTLSNeedsACertificate(t *testing.T) {
	t.Parallel()
	for _, files := range [][2]string{{"", ""}, {"/nonexistent.crt", "/nonexistent.key"}} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s := &memcache.Server{Handler: newHandler()}
		if err := s.ServeTLS(l, files[0], files[1]); err == nil {
			t.Errorf("ServeTLS took %q for a certificate", files)
		}
	}
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// selfSigned makes a certificate for 127.0.0.1.
func selfSigned(t *testing.T) (certFile, keyFile string, pool *x509.CertPool) {
	t.Helper()
	cert, pool := selfsigned.Certificate(t)
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	if err := errors.Join(
		os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}), 0o600),
		os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	return certFile, keyFile, pool
}
