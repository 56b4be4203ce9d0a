package chord

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

var update = flag.Bool("update", false, "write the table in docs/metrics.md anew")

// TestMetricsAreDocumented holds the table in docs/metrics.md to the code. To put it
// there anew: go test ./chord -run TestMetricsAreDocumented -update
func TestMetricsAreDocumented(t *testing.T) {
	t.Parallel()
	const file, begin, end = "../docs/metrics.md", "<!-- chord -->\n", "<!-- /chord -->"
	want := "| metric | type | label | |\n|---|---|---|---|\n"
	want += fmt.Sprintf("| `%s` | counter | `result`: %s | %s |\n", requestsName, strings.Join(outcomeNames[:], ", "), requestsHelp)
	kinds := map[prometheus.ValueType]string{prometheus.CounterValue: "counter", prometheus.GaugeValue: "gauge"}
	for _, r := range readings {
		want += fmt.Sprintf("| `%s` | %s |  | %s |\n", r.name, kinds[r.kind], r.help)
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

// A node that serves has every metric, and one that doesn't has none.
func TestCollect(t *testing.T) {
	t.Parallel()
	s := &Server{Memory: 64 << 20}
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(s)
	if families, err := registry.Gather(); err != nil || len(families) != 0 {
		t.Errorf("a node that doesn't serve: %v, %v", families, err)
	}
	p := start(t, s).awaitJoined()
	session(t, p.addr, []string{"set 1 0 0 1\r\nx\r\n", "get 1\r\n"}, false)
	families, err := registry.Gather()
	if err != nil || len(families) != len(readings)+1 {
		t.Fatalf("%d metrics, %v", len(families), err)
	}
	for _, f := range families {
		switch f.GetName() {
		case requestsName:
			for _, m := range f.GetMetric() {
				if m.GetLabel()[0].GetValue() == "done" && m.GetCounter().GetValue() != 2 {
					t.Errorf("of 2 requests %v were done", m.GetCounter().GetValue())
				}
			}
		case "torc_chord_joined", "torc_chord_serving", "torc_chord_keys", "torc_chord_held_keys":
			if v := f.GetMetric()[0].GetGauge().GetValue(); v != 1 {
				t.Errorf("%s is %v", f.GetName(), v)
			}
		}
	}
}
