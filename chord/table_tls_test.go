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
)

// A table speaks TLS to nodes where its URL says so, in requests and in questions, and
// nodes speak it to each other.
func TestTableOverTLS(t *testing.T) {
	t.Parallel()
	cert, roots := selfsigned.Certificate(t)
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}), 0o600); err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: roots, MinVersion: tls.VersionTLS12}
	first := start(t, &Server{Memory: 64 << 20, TLS: config}).awaitJoined()
	start(t, &Server{Contact: first.addr, Memory: 64 << 20, TLS: config}).awaitJoined()
	table, err := torc.Open(t.Context(), "chord://"+first.addr+"?tls=on&tls-ca="+file)
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	for _, k := range integers(50) {
		put(t, table.(*Table), "key "+k, k)
		if e, err := table.Get(t.Context(), "key "+k); err != nil || string(e.Value) != k {
			t.Errorf("Get = %q, %v", e.Value, err)
		}
	}
	s, err := table.(torc.Surveyor).Survey(t.Context())
	if err != nil || len(s.Members) != 2 || s.Members[0].Err != nil || s.Members[0].Entries != 50 {
		t.Errorf("Survey = %+v, %v", s, err)
	}
	for query, want := range map[string]string{"": first.addr, "?tls=on": "certificate"} {
		if _, err := torc.Open(t.Context(), "chord://"+first.addr+query); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("with %q: %v, want %q", query, err, want)
		}
	}
}
