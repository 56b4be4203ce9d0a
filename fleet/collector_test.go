package fleet

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/memcache/memcachetest"
)

var update = flag.Bool("update", false, "write the table in docs/metrics.md anew")

// TestMetricsAreDocumented holds the table in docs/metrics.md to the code. To put
// it there anew: go test ./fleet -run TestMetricsAreDocumented -update
func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	const file, begin, end = "../docs/metrics.md", "<!-- fleet -->\n", "<!-- /fleet -->"
	want := "| metric | type | label | |\n|---|---|---|---|\n"
	row := func(name, kind, label string, values []string, help string) {
		if label != "" {
			label = fmt.Sprintf("`%s`: %s", label, strings.Join(values, ", "))
		}
		want += fmt.Sprintf("| `%s` | %s | %s | %s |\n", name, kind, label, help)
	}
	for _, f := range families {
		var values []string
		for _, s := range f.of {
			values = append(values, s.value)
		}
		row(f.name, "counter", f.label, values, f.help)
	}
	for _, g := range gauges {
		row(g.name, "gauge", g.label, []string{"up", "down", "drained"}, g.help)
	}
	page, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, _ := strings.Cut(string(page), begin)
	have, after, ok := strings.Cut(rest, end)
	if !ok {
		t.Fatalf("%s has no block between its marks", file)
	}
	if *update {
		if err := os.WriteFile(file, []byte(before+begin+want+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		have = want
	}
	if have != want {
		t.Errorf("%s does not say what the code says: run this test with -update", file)
	}
}

// TestEveryCounterIsCollected: once each.
func TestEveryCounterIsCollected(t *testing.T) {
	t.Parallel()
	times := make(map[counter]int)
	for _, f := range families {
		if (f.label == "") != (len(f.of) == 1) {
			t.Errorf("%s has the label %q and %d values", f.name, f.label, len(f.of))
		}
		for _, s := range f.of {
			times[s.counter]++
		}
	}
	for c := range counters {
		if times[c] != 1 {
			t.Errorf("counter %d is collected %d times", c, times[c])
		}
	}
}

// TestCollector: what is done is counted where it belongs, and Prometheus's own
// lint has nothing to say.
func TestCollector(t *testing.T) {
	t.Parallel()
	table, _ := newTestTable(t, Options{}, memcachetest.Start(t))
	ctx := t.Context()
	must := func(err, want error) {
		t.Helper()
		if !errors.Is(err, want) {
			t.Fatalf("error is %v, want %v", err, want)
		}
	}
	must(table.Put(ctx, "k", []byte("v")), nil)
	must(table.Put(ctx, "k", []byte("v"), torc.IfAbsent()), torc.ErrExists)
	must(table.Put(ctx, "", nil), torc.ErrInvalid)
	for _, get := range []struct {
		key  string
		want error
	}{{"k", nil}, {"k", nil}, {"none", torc.ErrNotFound}, {"", torc.ErrInvalid}} {
		_, err := table.Get(ctx, get.key)
		must(err, get.want)
	}
	must(table.Delete(ctx, "k"), nil)
	must(table.Delete(ctx, "k"), torc.ErrNotFound)

	registry := prometheus.NewPedanticRegistry()
	must(registry.Register(table), nil)
	problems, err := testutil.GatherAndLint(registry)
	must(err, nil)
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	const want = `
# HELP torc_fleet_deletes_total DELETEs, by what came of them: deleted; absent, since there was nothing to delete; unknown, since they may or may not have happened; an error.
# TYPE torc_fleet_deletes_total counter
torc_fleet_deletes_total{result="absent"} 1
torc_fleet_deletes_total{result="deleted"} 1
torc_fleet_deletes_total{result="error"} 0
torc_fleet_deletes_total{result="unknown"} 0
# HELP torc_fleet_gets_total GETs, by what came of them: a hit; a miss; a miss because no server that may hold the key could be asked; an error.
# TYPE torc_fleet_gets_total counter
torc_fleet_gets_total{result="error"} 1
torc_fleet_gets_total{result="hit"} 2
torc_fleet_gets_total{result="miss"} 1
torc_fleet_gets_total{result="unreachable"} 0
# HELP torc_fleet_members Members of the fleet, by state.
# TYPE torc_fleet_members gauge
torc_fleet_members{state="down"} 0
torc_fleet_members{state="drained"} 0
torc_fleet_members{state="up"} 1
# HELP torc_fleet_puts_total PUTs, by what came of them: stored; refused, since their condition did not hold; unknown, since they may or may not have happened; an error.
# TYPE torc_fleet_puts_total counter
torc_fleet_puts_total{result="error"} 1
torc_fleet_puts_total{result="refused"} 1
torc_fleet_puts_total{result="stored"} 1
torc_fleet_puts_total{result="unknown"} 0
`
	err = testutil.GatherAndCompare(registry, strings.NewReader(want),
		"torc_fleet_gets_total", "torc_fleet_puts_total", "torc_fleet_deletes_total", "torc_fleet_members")
	if err != nil {
		t.Error(err)
	}
}

func TestContactLostGauge(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, g := range gauges {
		if g.name != "torc_fleet_contact_lost_seconds" {
			continue
		}
		for lost, want := range map[time.Time]float64{{}: 0, now.Add(-3 * time.Second): 3, now.Add(time.Second): 0} {
			if got := g.values(torc.View{LostContact: lost}, now)[""]; got != want {
				t.Errorf("contact lost at %v: %v, want %v", lost, got, want)
			}
		}
	}
}

// TestCallErrorsAreCounted: each error of a call in one counter.
func TestCallErrorsAreCounted(t *testing.T) {
	t.Parallel()
	both := func(a, b error) error { return &torc.Error{Err: fmt.Errorf("%w: %w", a, b)} }
	for _, test := range []struct {
		count func(*metrics, error)
		err   error
		want  counter
	}{
		{(*metrics).got, both(torc.ErrNotFound, torc.ErrUnavailable), getUnreachable},
		{(*metrics).got, torc.ErrUnavailable, getError},
		{(*metrics).put, both(torc.ErrUnknownOutcome, torc.ErrUnavailable), putUnknown},
		{(*metrics).put, torc.ErrConflict, putRefused},
		{(*metrics).put, torc.ErrNotFound, putRefused},
		{(*metrics).put, torc.ErrTooLarge, putError},
		{(*metrics).deleted, both(torc.ErrUnknownOutcome, torc.ErrUnavailable), deleteUnknown},
		{(*metrics).deleted, torc.ErrUnavailable, deleteError},
	} {
		var m metrics
		test.count(&m, test.err)
		for c := range counters {
			if got := m.load(c) == 1; got != (c == test.want) {
				t.Errorf("%v: counter %d is %d", test.err, c, m.load(c))
			}
		}
	}
}

// TestCountingTogether: nothing that many goroutines count is lost.
func TestCountingTogether(t *testing.T) {
	t.Parallel()
	const goroutines, each = 64, 1000
	var m metrics
	var all sync.WaitGroup
	for range goroutines {
		all.Go(func() {
			for range each {
				m.inc(getHit)
				m.add(rebalanceBytes, 3)
			}
		})
	}
	all.Wait()
	if hits, bytes := m.load(getHit), m.load(rebalanceBytes); hits != goroutines*each || bytes != 3*goroutines*each {
		t.Errorf("%d hits and %d bytes were counted", hits, bytes)
	}
}
