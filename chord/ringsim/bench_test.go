package ringsim

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// 10,000 nodes join one after the other until everybody has the right predecessor,
// successors and fingers, and then 1,000,000 lookups are made:
//
//	go test -bench Ring10k -benchtime 1x ./chord/ringsim
//
// Peak memory is the process's.
func BenchmarkRing10k(b *testing.B) {
	const nodes, lookups = 10_000, 1_000_000
	for range b.N {
		began := time.Now()
		s, err := Grow(b.Context(), Paper(1), nodes)
		if err != nil {
			b.Fatal(err)
		}
		grown := time.Since(began)
		p, err := s.PathLengths(b.Context(), lookups)
		if err != nil || p.Wrong > 0 {
			b.Fatalf("%d lookups ended at the wrong node, %v", p.Wrong, err)
		}
		b.ReportMetric(grown.Seconds(), "s-to-settle")
		b.ReportMetric((time.Since(began) - grown).Seconds(), "s-of-lookups")
		b.ReportMetric(float64(s.Sent), "messages")
		b.ReportMetric(p.Mean(), "hops")
		b.Logf("%v", s.State())
	}
	if peak, is := peakMemory(); is {
		b.ReportMetric(float64(peak)/(1<<20), "peak-MiB")
	}
	load, _ := os.ReadFile("/proc/loadavg")
	b.Logf("load average %s", load)
}

// peakMemory is the most bytes that this process has had, as far as the system tells.
func peakMemory() (uint64, bool) {
	status, _ := os.ReadFile("/proc/self/status")
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	kB, err := strconv.ParseUint(strings.TrimSpace(strings.Split(rest, "kB")[0]), 10, 64)
	return kB << 10, err == nil
}
