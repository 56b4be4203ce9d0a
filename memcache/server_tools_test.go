package memcache_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/torc-dht/torc/memcache"
	"github.com/torc-dht/torc/memcache/memcachetest"
)

// The tests in this file run libmemcached's own test programs on a Server.

// TestMemccapable runs libmemcached's conformance test of the text protocol.
func TestMemccapable(t *testing.T) {
	t.Parallel()
	path := memcachetest.Program(t, "memccapable", "libmemcached-tools")
	addr := startServer(t, &memcache.Server{Handler: newHandler()})
	host, port, _ := net.SplitHostPort(addr)
	out, err := exec.Command(path, "-h", host, "-p", port, "-a").CombinedOutput()
	if err != nil || !bytes.HasSuffix(bytes.TrimSpace(out), []byte("All tests passed")) {
		t.Errorf("memccapable -a: %v\n%s", err, out)
	}
}

// BenchmarkMemcaslap lets memcaslap, with 32 connections and its usual mix of
// nine gets to a set of 1024-byte values, load memcached with one thread and a
// Server in turn, three times each. It reports the medians of operations per
// second, their ratio, and the processor time that each server takes for an
// operation: that stays the same when other programs keep the machine busy.
//
//	go test -run=NONE -bench=Memcaslap -benchtime=1x ./memcache
func BenchmarkMemcaslap(b *testing.B) {
	path := memcachetest.Program(b, "memcaslap", "libmemcached-tools")
	for _, procs := range []int{1, runtime.NumCPU()} {
		b.Run(fmt.Sprintf("GOMAXPROCS=%d", procs), func(b *testing.B) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
			theirs := memcachetest.StartServer(b, "-U", "0", "-t", "1")
			ours := startServer(b, &memcache.Server{Handler: newHandler()})
			var of [2]slapped
			for b.Loop() {
				for range 3 {
					of[0].run(b, path, theirs.Addr, theirs.Process.Pid)
					of[1].run(b, path, ours, os.Getpid())
				}
			}
			them, us := of[0].median(), of[1].median()
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(them, "memcached-ops/s")
			b.ReportMetric(us, "torc-ops/s")
			b.ReportMetric(us/them, "ratio")
			b.ReportMetric(of[0].cpuPerOp(), "memcached-cpu-us/op")
			b.ReportMetric(of[1].cpuPerOp(), "torc-cpu-us/op")
		})
	}
}

// slapped is what memcaslap has found out about one server.
type slapped struct {
	perSecond []float64
	ops       float64
	cpu       time.Duration
}

var slapResult = regexp.MustCompile(`Ops: (\d+) TPS: (\d+)`)

func (s *slapped) run(b *testing.B, memcaslap, addr string, pid int) {
	before := cpuTime(b, pid)
	out, err := exec.Command(memcaslap, "-s", addr, "--threads=1", "--concurrency=32", "-t", "3s").CombinedOutput()
	m := slapResult.FindSubmatch(out)
	if err != nil || m == nil {
		b.Fatalf("memcaslap: %v\n%s", err, out)
	}
	s.cpu += cpuTime(b, pid) - before
	ops, _ := strconv.ParseFloat(string(m[1]), 64)
	tps, _ := strconv.ParseFloat(string(m[2]), 64)
	s.ops += ops
	s.perSecond = append(s.perSecond, tps)
}

func (s *slapped) median() float64 {
	slices.Sort(s.perSecond)
	return s.perSecond[len(s.perSecond)/2]
}

func (s *slapped) cpuPerOp() float64 { return float64(s.cpu.Microseconds()) / s.ops }

// cpuTime is what a process has used, its kernel time included, by Linux's count
// of hundredths of a second.
func cpuTime(b *testing.B, pid int) time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		b.Skip("the benchmark reads processor times from /proc: ", err)
	}
	_, fields, _ := strings.Cut(string(stat), ") ")
	var ticks int64
	for _, f := range strings.Fields(fields)[11:13] {
		n, _ := strconv.ParseInt(f, 10, 64)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}
