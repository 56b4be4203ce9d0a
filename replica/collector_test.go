package replica

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/torc-dht/torc/replica/internal/msg"
	"github.com/torc-dht/torc/replica/internal/web"
)

var update = flag.Bool("update", false, "write the table in docs/metrics.md anew")

// TestMetricsAreDocumented holds the table in docs/metrics.md to the code. To put
// it there anew: go test ./replica -run TestMetricsAreDocumented -update
func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	const file, begin, end = "../docs/metrics.md", "<!-- replica -->\n", "<!-- /replica -->"
	want := "| metric | type | label | |\n|---|---|---|---|\n"
	row := func(name string, kind prometheus.ValueType, label, help string) {
		kinds := map[prometheus.ValueType]string{prometheus.CounterValue: "counter", prometheus.GaugeValue: "gauge"}
		want += fmt.Sprintf("| `%s` | %s | %s | %s |\n", name, kinds[kind], label, help)
	}
	var ops []string
	for _, op := range counted {
		ops = append(ops, op.name)
	}
	row(requestsName, prometheus.CounterValue,
		fmt.Sprintf("`op`: %s; `result`: %s", strings.Join(ops, ", "), strings.Join(outcomeNames[:], ", ")), requestsHelp)
	for _, r := range readings {
		row(r.name, r.kind, "", r.help)
	}
	for _, r := range doorReadings {
		row(r.name, r.kind, "", r.help)
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

func TestOutcomes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status msg.Status
		err    error
		want   outcome
	}{
		{msg.OK, nil, outcomeDone},
		{msg.NotFound, nil, outcomeMissing},
		{msg.Exists, nil, outcomeRefused},
		{msg.Conflict, nil, outcomeRefused},
		{msg.Repeated, nil, outcomeRefused},
		{msg.Full, nil, outcomeFull},
		{0, web.ErrUnavailable, outcomeUnavailable},
		{0, errBusy, outcomeUnavailable},
		{0, web.ErrUnknown, outcomeUnknown},
	} {
		if got := outcomeOf(c.status, c.err); got != c.want {
			t.Errorf("status %d with %v counts as %s, want %s", c.status, c.err, outcomeNames[got], outcomeNames[c.want])
		}
	}
}
