package shard

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/selfsigned"
)

// certificate makes one for 127.0.0.1 that vouches for itself, and a file of it.
func certificate(t *testing.T) (cert tls.Certificate, roots *x509.CertPool, file string) {
	t.Helper()
	cert, roots = selfsigned.Certificate(t)
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})
	file = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return cert, roots, file
}

// A table speaks TLS to master and servers where its URL says so, and to no others.
func TestTableOverTLS(t *testing.T) {
	cert, roots, file := certificate(t)
	config := &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: roots, MinVersion: tls.VersionTLS12}
	master, _ := startMaster(t, &Master{Log: quiet(), TLS: config})
	s := &Server{Masters: []string{master}, Log: quiet(), Memory: 64 << 20, TLS: config}
	startServer(t, s)
	awaitJoined(t, s)
	table, err := torc.Open(t.Context(), "shard://"+master+"?tls=on&tls-ca="+file)
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	if err := table.Put(t.Context(), "k", []byte("v")); err != nil {
		t.Fatal(err)
	}
	if e, err := table.Get(t.Context(), "k"); err != nil || string(e.Value) != "v" {
		t.Errorf("Get = %q, %v", e.Value, err)
	}
	if s, err := table.(torc.Surveyor).Survey(t.Context()); err != nil || s.Members[0].Err != nil || s.Members[0].Entries != 1 {
		t.Errorf("Survey = %+v, %v", s, err)
	}
	for query, want := range map[string]string{"": master, "?tls=on": "certificate"} {
		if _, err := torc.Open(t.Context(), "shard://"+master+query); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("with %q: %v, want %q", query, err, want)
		}
	}
}
