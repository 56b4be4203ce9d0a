package mesh

import (
	"crypto/tls"
	"strings"
	"testing"

	"github.com/torc-dht/torc/internal/selfsigned"
)

func certificate(t testing.TB) *tls.Config {
	t.Helper()
	cert, roots := selfsigned.Certificate(t)
	return &tls.Config{
		Certificates: []tls.Certificate{cert}, RootCAs: roots, ClientCAs: roots,
		ClientAuth: tls.RequireAndVerifyClientCert, NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS13,
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	config := certificate(t)
	all := openAll(t, 3, withTLS(config))
	all[0].Send(1, numbered(0, 1000, 1000))
	checkNumbered(t, all[1].events.take(t, 1000), 0, 1000)
	all[0].Send(2, numbered(0, 1, 8<<20))
	checkNumbered(t, all[2].events.take(t, 1), 0, 8<<20)
	all[2].shut()
	all[0].events.await(t, Disconnected{2, false})
	all[0].events.await(t, Disconnected{2, true})
}

// Nodes that don't trust each other, or of which one speaks TLS, don't connect, and
// none takes the other for dead.
func TestTLSMismatch(t *testing.T) {
	t.Parallel()
	ours, theirs := certificate(t), certificate(t)
	onlyClient := ours.Clone()
	onlyClient.RootCAs = theirs.RootCAs // trusts the server, and isn't trusted
	for name, pair := range map[string][2]*tls.Config{
		"other roots":       {ours, theirs},
		"one speaks TLS":    {nil, ours},
		"client not wanted": {onlyClient, theirs},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ls, addrs := listenersFor(t, 2)
			a := open(t, ls[0], 0, addrs, withTLS(pair[0]))
			b := open(t, ls[1], 1, addrs, withTLS(pair[1]))
			a.Start()
			b.Start()
			for range 2 {
				a.events.await(t, Disconnected{1, false})
				b.events.await(t, Disconnected{0, false})
			}
			for i, s := range []*station{a, b} {
				s.events.none(t, Disconnected{1 - i, true})
				s.events.none(t, Connected{1 - i})
				if log := s.log.String(); !strings.Contains(log, "can't be talked to") {
					t.Errorf("slot %d has no word of it in its log:\n%s", i, log)
				}
			}
		})
	}
}
