package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/tabletest"
)

// movingTable is a table whose views and rebalances a test makes.
type movingTable struct {
	*tabletest.Memory
	views      chan torc.View
	ended      chan error
	rebalanced func(context.Context, torc.RebalanceOptions) (torc.Progress, error)
}

func newMovingTable() *movingTable {
	return &movingTable{Memory: tabletest.NewMemory(), views: make(chan torc.View), ended: make(chan error)}
}

func (m *movingTable) Members(ctx context.Context) iter.Seq2[torc.View, error] {
	return func(yield func(torc.View, error) bool) {
		for {
			select {
			case v := <-m.views:
				if !yield(v, nil) {
					return
				}
			case err := <-m.ended:
				yield(torc.View{}, err)
				return
			case <-ctx.Done():
				return
			}
		}
	}
}

func (m *movingTable) Rebalance(ctx context.Context, o torc.RebalanceOptions) (torc.Progress, error) {
	return m.rebalanced(ctx, o)
}

// view is a view of that version.
func view(version uint64) torc.View { return torc.View{Generation: 1, Version: version} }

// followed runs a follower over a table in virtual time: script plays the fleet,
// and has when each rebalance began, and the context that a signal ends. It
// returns what was printed and how the following ended.
func followed(t *testing.T, m *movingTable, script func(began <-chan time.Duration, interrupt func())) (out, stderr string, err error) {
	t.Helper()
	var o, e bytes.Buffer
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	start, began := time.Now(), make(chan time.Duration, 100)
	rebalanced := m.rebalanced
	m.rebalanced = func(ctx context.Context, o torc.RebalanceOptions) (torc.Progress, error) {
		began <- time.Since(start)
		return rebalanced(ctx, o)
	}
	r := &rebalancing{table: m, rebalancer: m, out: &o, stderr: &e}
	ended := make(chan error, 1)
	go func() { ended <- r.follow(ctx) }()
	script(began, interrupt)
	interrupt()
	err = <-ended
	return o.String(), e.String(), err
}

func wantBegan(t *testing.T, began <-chan time.Duration, want ...time.Duration) {
	t.Helper()
	time.Sleep(10 * time.Minute) // of virtual time: longer than anything is put off
	for _, w := range want {
		select {
		case got := <-began:
			if got != w {
				t.Errorf("a rebalance began after %v, want %v", got, w)
			}
		default:
			t.Errorf("no rebalance began after %v", w)
		}
	}
	for range len(began) {
		t.Errorf("a rebalance began after %v, which none should", <-began)
	}
}

// TestFollow: members that come within a moment of each other are one change,
// and a view that is known already is none.
func TestFollow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMovingTable()
		m.rebalanced = func(_ context.Context, o torc.RebalanceOptions) (torc.Progress, error) {
			return torc.Progress{Copied: 2513, Bytes: 251_300, Elapsed: time.Second}, nil
		}
		out, stderr, err := followed(t, m, func(began <-chan time.Duration, _ func()) {
			m.views <- view(1)
			time.Sleep(settleTime / 2)
			m.views <- view(2)
			time.Sleep(settleTime / 2)
			m.views <- view(3)
			wantBegan(t, began, 2*settleTime)
			lost := view(3)
			lost.LostContact = time.Now()
			m.views <- lost
			m.views <- view(3)
			wantBegan(t, began)
			lost.Version = 4
			m.views <- lost
			wantBegan(t, began)
			m.views <- view(4)
			wantBegan(t, began, 2*settleTime+30*time.Minute)
		})
		if err != nil || stderr != "" {
			t.Errorf("it ended with %v and printed %q", err, stderr)
		}
		lines := strings.SplitAfter(out, "\n")
		if len(lines) != 3 || !strings.HasSuffix(lines[0], "  view 3: 2,513 copied (251.3 kB), 0 removed, in 1.0 s\n") || !strings.Contains(lines[1], "  view 4: ") {
			t.Errorf("it printed\n%s", out)
		}
	})
}

// TestFollowTriesAgain: ever later, but at once after a change.
func TestFollowTriesAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMovingTable()
		var failures atomic.Int32 // still to come
		failures.Store(2)
		m.rebalanced = func(context.Context, torc.RebalanceOptions) (torc.Progress, error) {
			if failures.Add(-1) >= 0 {
				return torc.Progress{Copied: 7}, torc.ErrUnavailable
			}
			return torc.Progress{}, nil
		}
		out, stderr, err := followed(t, m, func(began <-chan time.Duration, _ func()) {
			m.views <- view(1)
			wantBegan(t, began, time.Second, 3*time.Second, 7*time.Second)
			failures.Store(2)
			m.views <- view(2)
			time.Sleep(time.Second + time.Millisecond) // it has failed once
			m.views <- view(3)
			wantBegan(t, began, 10*time.Minute+time.Second, 10*time.Minute+2*time.Second+time.Millisecond, 10*time.Minute+4*time.Second+time.Millisecond)
		})
		if err != nil || strings.Count(out, "7 copied, 0 removed, in 0 µs, and more is to be done\n") != 4 || strings.Count(out, "\n") != 6 {
			t.Errorf("it ended with %v and printed\n%s", err, out)
		}
		if want := "rebalance failed, and is tried again in 2s: " + torc.ErrUnavailable.Error() + "\n"; strings.Count(stderr, want) != 3 {
			t.Errorf("standard error is\n%s", stderr)
		}
	})
}

// TestFollowInterrupted: what was done is said, and it counts as not done.
func TestFollowInterrupted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMovingTable()
		m.rebalanced = func(ctx context.Context, _ torc.RebalanceOptions) (torc.Progress, error) {
			<-ctx.Done()
			return torc.Progress{Copied: 7}, &torc.Error{Op: "rebalance", Err: ctx.Err()}
		}
		out, stderr, err := followed(t, m, func(began <-chan time.Duration, interrupt func()) {
			m.views <- view(1)
			<-began
			interrupt()
		})
		if !errors.Is(err, context.Canceled) || stderr != "" || !strings.Contains(out, "7 copied") {
			t.Errorf("it ended with %v and printed %q and %q", err, out, stderr)
		}
	})
}

func TestFollowEndsWithTheTable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMovingTable()
		m.rebalanced = func(context.Context, torc.RebalanceOptions) (torc.Progress, error) { return torc.Progress{}, nil }
		_, _, err := followed(t, m, func(<-chan time.Duration, func()) { m.ended <- torc.ErrClosed })
		if !errors.Is(err, torc.ErrClosed) {
			t.Errorf("it ended with %v", err)
		}
	})
}

func TestRebalanceTold(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	done := torc.Progress{Pass: 2, Looked: 10, Copied: 3, Removed: 1, Bytes: 300, Elapsed: 1500 * time.Millisecond}
	r := &rebalancing{out: &out, json: true, dryRun: true}
	if err := r.tell(done, torc.ErrUnavailable, "", rebalanceJSON{Version: 9}); !errors.Is(err, torc.ErrUnavailable) {
		t.Errorf("tell returns %v", err)
	}
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	for field, want := range map[string]any{
		"version": 9.0, "dry_run": true, "pass": 2.0, "looked": 10.0, "copied": 3.0, "removed": 1.0, "bytes": 300.0, "seconds": 1.5,
		"error": torc.ErrUnavailable.Error(),
	} {
		if got[field] != want {
			t.Errorf("%s is %v, want %v", field, got[field], want)
		}
	}
	r = &rebalancing{out: failingWriter{}}
	if err := r.tell(done, nil, "", rebalanceJSON{}); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("a line that got lost is %v", err)
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

// TestMonitor: what is served, and that docs/metrics.md has each metric of ours.
func TestMonitor(t *testing.T) {
	t.Parallel()
	table := tabletest.NewMemory()
	var counts rebalanceCounts
	counts.leads.Store(true)
	counts.ended(nil, time.Unix(1_800_000_000, 0))
	counts.ended(torc.ErrUnavailable, time.Time{})
	registry := registryOf(table, &counts)
	served := httptest.NewServer(monitored(table, registry))
	defer served.Close()
	defer served.Client().CloseIdleConnections()
	get := func(path string) (int, string) {
		t.Helper()
		a, err := served.Client().Get(served.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Body.Close()
		body, err := io.ReadAll(a.Body)
		if err != nil {
			t.Fatal(err)
		}
		return a.StatusCode, string(body)
	}
	for _, path := range []string{"/livez", "/readyz"} {
		if code, body := get(path); code != http.StatusOK || body != "ok\n" {
			t.Errorf("%s: %d %q", path, code, body)
		}
	}
	_, metrics := get("/metrics")
	for _, want := range []string{
		"torc_fleet_rebalance_leader 1\n",
		`torc_fleet_rebalance_runs_total{result="done"} 1` + "\n",
		`torc_fleet_rebalance_runs_total{result="failed"} 1` + "\n",
		"torc_fleet_rebalance_last_success_timestamp_seconds 1.8e+09\n",
		"go_goroutines ", "process_start_time_seconds ",
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("there is no %q in /metrics", want)
		}
	}
	if problems, err := testutil.CollectAndLint(&counts); err != nil || len(problems) > 0 {
		t.Errorf("%v, %v", problems, err)
	}
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(metrics) {
		name, ok := strings.CutPrefix(line, "# TYPE torc_")
		if !ok {
			continue
		}
		name, kind, _ := strings.Cut(strings.TrimSuffix(name, "\n"), " ")
		if want := "| `torc_" + name + "` | " + kind + " |"; !strings.Contains(string(page), want) {
			t.Errorf("docs/metrics.md has no %s", want)
		}
	}
	if err := table.Close(); err != nil {
		t.Fatal(err)
	}
	if code, body := get("/readyz"); code != http.StatusServiceUnavailable || !strings.Contains(body, torc.ErrClosed.Error()) {
		t.Errorf("/readyz of a table that was closed: %d %q", code, body)
	}
	if code, _ := get("/livez"); code != http.StatusOK {
		t.Errorf("/livez: %d", code)
	}
}
