package chord

import (
	"crypto/tls"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/selfsigned"
	"github.com/torc-dht/torc/memcache"
)

// Nodes, tables and plain clients speak TLS with each other where they are told to, and
// with nobody else.
func TestOverTLS(t *testing.T) {
	t.Parallel()
	cert, roots := selfsigned.Certificate(t)
	config := &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: roots, MinVersion: tls.VersionTLS12}
	first := start(t, &Server{Bits: 8, ID: "128", Memory: 64 << 20, TLS: config}).awaitJoined()
	start(t, &Server{Bits: 8, ID: "0", Memory: 64 << 20, TLS: config, Contact: first.addr}).awaitJoined()

	table, err := torc.Open(t.Context(), "chord://"+first.addr+"?tls=on&tls-ca="+certificateFile(t, cert))
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	plain := first.client(memcache.Config{TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}})
	for _, key := range []string{"100", "200"} { // of one and of the other
		if err := table.Put(t.Context(), key, []byte("v")); err != nil {
			t.Fatal(err)
		}
		if it, err := plain.Get(t.Context(), key); err != nil || string(it.Value) != "v" {
			t.Errorf("%q, %v", it.Value, err)
		}
	}
	stranger := start(t, &Server{Contact: first.addr, TLS: strangers(t)})
	plainly := start(t, &Server{Contact: first.addr})
	if err := stranger.wait(); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a node that nobody vouches for: %v", err)
	}
	if err := plainly.wait(); err == nil {
		t.Error("a node without TLS has joined")
	}
}

// strangers is a configuration that trusts itself alone.
func strangers(t *testing.T) *tls.Config {
	cert, roots := selfsigned.Certificate(t)
	return &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: roots, MinVersion: tls.VersionTLS12}
}

// certificateFile is a file with a certificate that vouches for itself.
func certificateFile(t *testing.T, cert tls.Certificate) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
