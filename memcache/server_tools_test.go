package memcache_test

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"testing"

	"github.com/torc-dht/torc/memcache"
	"github.com/torc-dht/torc/memcache/memcachetest"
)

// The tests in this file run libmemcached's own test programs on a Server.

// TestMemccapable runs libmemcached's conformance test of the text protocol.
func TestMemccapable(t *testing.T) {
	t.Parallel()
	path := needTool(t, "memccapable")
	addr := startServer(t, &memcache.Server{Handler: newHandler()})
	host, port, _ := net.SplitHostPort(addr)
	out, err := exec.Command(path, "-h", host, "-p", port, "-a").CombinedOutput()
	if err != nil || !bytes.HasSuffix(bytes.TrimSpace(out), []byte("All tests passed")) {
		t.Errorf("memccapable -a: %v\n%s", err, out)
	}
}

// needTool finds a program of libmemcached-tools or skips the test; with CI=true
// it fails instead.
func needTool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		missing := name + " is not installed: apt-get install libmemcached-tools"
		if os.Getenv("CI") == "true" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	return path
}

// BenchmarkMemcaslap lets memcaslap, with 32 connections and its usual mix of
// nine gets to a set of 1024-byte values, load memcached with one thread and a
// Server in turn, and reports the operations per second of both and the ratio of
// their medians. It takes slapRounds times 2 times slapTime.
//
//	go test -run=NONE -bench=Memcaslap ./memcache
func BenchmarkMemcaslap(b *testing.B) {
	const (
		slapRounds = 3
		slapTime   = "3s"
	)
	path := needTool(b, "memcaslap")
	real := memcachetest.Start(b, "-U", "0", "-t", "1")
	ours := startServer(b, &memcache.Server{Handler: newHandler()})
	tps := regexp.MustCompile(`TPS: (\d+)`)
	slap := func(addr string) float64 {
		out, err := exec.Command(path, "-s", addr, "--threads=1", "--concurrency=32", "-t", slapTime).CombinedOutput()
		m := tps.FindSubmatch(out)
		if err != nil || m == nil {
			b.Fatalf("memcaslap: %v\n%s", err, out)
		}
		n, _ := strconv.ParseFloat(string(m[1]), 64)
		return n
	}
	for b.Loop() {
		var a, o []float64
		for range slapRounds {
			a, o = append(a, slap(real)), append(o, slap(ours))
		}
		slices.Sort(a)
		slices.Sort(o)
		am, om := a[slapRounds/2], o[slapRounds/2]
		b.ReportMetric(am, "memcached-ops/s")
		b.ReportMetric(om, "torc-ops/s")
		b.ReportMetric(om/am, "ratio")
	}
	b.ReportMetric(0, "ns/op")
}
