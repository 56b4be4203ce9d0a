package chord

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/torc-dht/torc"
)

func TestParseURL(t *testing.T) {
	t.Parallel()
	u, err := torc.ParseURL("chord://a:1,b:2?read-timeout=3s&write-timeout=4s&try-timeout=5ms&conns=6&tls=on")
	if err != nil {
		t.Fatal(err)
	}
	nodes, o, err := parseURL(u)
	if err != nil || len(nodes) != 2 || nodes[1] != "b:2" || o.ReadTimeout != 3*time.Second || o.WriteTimeout != 4*time.Second ||
		o.TryTimeout != 5*time.Millisecond || o.Conns != 6 || o.TLS == nil {
		t.Errorf("%v, %+v, %v", nodes, o, err)
	}
	for raw, want := range map[string]string{
		"chord:":                  "write chord://host:port",
		"chord://a:1/path":        "write chord://host:port",
		"chord://a":               "a node has no port of its own",
		"chord://a:1?conns=65":    "from 1 to 64",
		"chord://a:1?replicas=2":  "no parameter \"replicas\"",
		"chord://a:1?tls-ca=file": "goes with tls=on",
	} {
		_, err := torc.Open(t.Context(), raw)
		if !errors.Is(err, torc.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", raw, err, want)
		}
	}
}

// A table needs one of the nodes that it is told of. Why none will do is said of each.
func TestOpen(t *testing.T) {
	t.Parallel()
	_, nodes := fakeRingOf(t, 35)
	l := listen(t, "127.0.0.1:0")
	nobody := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	table, err := torc.Open(t.Context(), "chord://"+nobody+","+nodes[0].addr())
	if err != nil {
		t.Fatal(err)
	}
	if err := table.Close(); err != nil {
		t.Error(err)
	}
	fails := func(url string, want ...string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		_, err := torc.Open(ctx, url)
		if !errors.Is(err, torc.ErrUnavailable) || strings.Contains(err.Error(), "\n") {
			t.Fatalf("%s: %v", url, err)
		}
		for _, text := range want {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("%s: %v, want %q", url, err, text)
			}
		}
	}
	fails("chord://"+nobody, nobody, "nobody listens there", "does it run?")
	nodes[0].mu.Lock()
	nodes[0].mu.joining = true
	nodes[0].mu.Unlock()
	fails("chord://"+nodes[0].addr()+","+nobody, nobody, nodes[0].addr(), "it has not joined a ring yet")
}
