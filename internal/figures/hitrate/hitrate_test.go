package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/torc-dht/torc/internal/cluster"
)

// small is over soon, and too short for figures that mean anything.
func small() plan {
	return plan{
		servers: 3, keys: 60, rate: 400,
		before: 300 * time.Millisecond, dead: 700 * time.Millisecond, after: time.Second,
	}
}

func TestRun(t *testing.T) {
	t.Parallel()
	cluster.Need(t, "memcached", "zookeeper", "nutcracker")
	dir := t.TempDir()
	if err := run(t.Context(), dir, small(), true); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"hitrate.md":  "| twemproxy, ketama, auto_eject_hosts |",
		"hitrate.csv": "contender,seconds_after_kill,reads,hits,errors\n",
		"hitrate.svg": "</svg>",
		"hitrate.png": "PNG",
	} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(b), want) {
			t.Errorf("%s has no %q in it", name, want)
		}
	}
	if left := cluster.Children(); len(left) > 0 {
		t.Errorf("processes are left behind: %v", left)
	}
}

// TestSummarize: what was before the kill does not count, nor do windows in
// which nothing was read.
func TestSummarize(t *testing.T) {
	t.Parallel()
	p := plan{before: 2 * window, dead: 3 * window, after: 2 * window}
	got := summarize(p, curve{windows: []tally{
		{reads: 10, hits: 1, errors: 5, slowest: time.Hour},
		{reads: 10, hits: 10},
		{reads: 10, hits: 8, errors: 1, slowest: time.Second},
		{reads: 10, hits: 9, errors: 2},
		{errors: 1},
		{reads: 100, hits: 99},
		{reads: 10, hits: 10, slowest: time.Minute},
	}})
	if want := (summary{lowest: 0.8, below: 2 * window, errors: 4, slowest: time.Minute}); got != want {
		t.Errorf("summarize = %+v, want %+v", got, want)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	hit := tally{reads: 1, hits: 1}
	for _, test := range []struct {
		name    string
		windows []tally
		calm    bool
		want    string
	}{
		{"well", []tally{hit, hit, {reads: 1}}, true, ""},
		{"wrong value", []tally{hit, hit, {reads: 1, wrong: 1}}, false, "never put"},
		{"busy", []tally{{reads: 1}, hit, {}}, false, ""},
		{"too busy for any read", []tally{hit, hit, {}}, true, "no read began in the 100ms from 0s on"},
		{"too busy for hits", []tally{hit, {reads: 1}, hit}, true, "100ms before the kill"},
	} {
		err := check(plan{before: 2 * window, calm: test.calm}, []curve{{name: "c", windows: test.windows}})
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: check = %v, want %q", test.name, err, test.want)
		}
	}
}

// stubCache answers as it is told.
type stubCache struct {
	value       string
	getErr, err error
	puts        int
}

func (s *stubCache) get(context.Context, string) ([]byte, error) { return []byte(s.value), s.getErr }
func (s *stubCache) put(context.Context, string, []byte) error   { s.puts++; return s.err }
func (s *stubCache) close() error                                { return nil }

func TestRead(t *testing.T) {
	t.Parallel()
	failed := errors.New("it failed")
	for _, test := range []struct {
		name  string
		cache stubCache
		want  tally
		puts  int
	}{
		{"hit", stubCache{value: valueAt("k")}, tally{reads: 1, hits: 1}, 0},
		{"wrong", stubCache{value: valueAt("l")}, tally{reads: 1, wrong: 1}, 0},
		{"miss", stubCache{getErr: errMiss}, tally{reads: 1}, 1},
		{"miss, and not put", stubCache{getErr: errMiss, err: failed}, tally{reads: 1, errors: 1}, 1},
		{"failure", stubCache{getErr: failed}, tally{reads: 1, errors: 1}, 1},
		{"failures", stubCache{getErr: failed, err: failed}, tally{reads: 1, errors: 2}, 1},
	} {
		got := read(t.Context(), &test.cache, "k")
		got.slowest = 0
		if got != test.want || test.cache.puts != test.puts {
			t.Errorf("%s: %+v and %d puts, want %+v and %d", test.name, got, test.cache.puts, test.want, test.puts)
		}
	}
}
