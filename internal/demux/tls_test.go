package demux

import (
	"crypto/tls"
	"testing"

	"github.com/torc-dht/torc/internal/selfsigned"
)

// certificate makes a certificate for 127.0.0.1, and configs for both ends.
func certificate(t testing.TB) (server, client *tls.Config) {
	t.Helper()
	cert, roots := selfsigned.Certificate(t)
	return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12},
		&tls.Config{RootCAs: roots, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12}
}
