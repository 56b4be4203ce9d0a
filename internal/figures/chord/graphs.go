package chord

import (
	"fmt"
	"image/color"
	"strings"
	"time"

	"gonum.org/v1/plot"

	"github.com/torc-dht/torc/internal/figures/chart"
)

// curve is what is drawn in one of the requirement's graphs.
type curve struct {
	name   string
	sample func(*measured) []time.Duration
}

// writeRequired writes the three graphs.
func writeRequired(dir string, all []*measured) error {
	for _, g := range []struct {
		file, title string
		curves      []curve
	}{
		{"lookup_time", "Lookup", []curve{
			{"lookup", func(m *measured) []time.Duration { return m.lookup }},
			{"get", func(m *measured) []time.Duration { return m.read }},
		}},
		{"addition_time", "Addition", []curve{{"add", func(m *measured) []time.Duration { return m.add }}}},
		{"recovery_time", "Recovery from a killed node", []curve{
			{"answered", func(m *measured) []time.Duration { return m.answered }},
			{"all_copies", func(m *measured) []time.Duration { return m.whole }},
		}},
	} {
		if err := writeGraph(dir, g.file, g.title, g.curves, all); err != nil {
			return err
		}
	}
	return nil
}

func writeGraph(dir, file, title string, curves []curve, all []*measured) error {
	header := []string{"nodes", "n_bits", "r"}
	for _, c := range curves {
		header = append(header, c.name+"_median_ms", c.name+"_p90_ms", c.name+"_repeats")
	}
	t := newTable(append(header, "hops", "mib_a_node", "start_s", "load_average", "process_ids")...)
	var plots []*plot.Plot
	for _, c := range curves {
		var lines []*points
		for _, m := range all {
			name := fmt.Sprintf("%d nodes, n = %d", m.nodes, m.bits)
			if len(lines) == 0 || lines[len(lines)-1].name != name {
				lines = append(lines, &points{name: name, color: colorOf(m), dashed: m.bits > 10})
			}
			sample := c.sample(m)
			y := milliseconds(median(sample))
			lines[len(lines)-1].bar(float64(m.replicas)+shiftOf(m), y, y, milliseconds(percentile(sample, 90)))
		}
		p, err := drawn(chart.New(title+": "+strings.ReplaceAll(c.name, "_", " "), "replicas r", "ms, median and 90th percentile"), lines...)
		if err != nil {
			return err
		}
		p.Y.Max *= 1.3 // room for the legend
		p.X.Tick.Marker = labelled(all[0].replicas, all[len(all)-1].replicas, func(r int) string { return fmt.Sprint(r) })
		plots = append(plots, p)
	}
	for _, m := range all {
		row := []any{m.nodes, m.bits, m.replicas}
		for _, c := range curves {
			sample := c.sample(m)
			row = append(row, milliseconds(median(sample)), milliseconds(percentile(sample, 90)), len(sample))
		}
		t.add(append(row, m.hops, m.memory, m.started.Seconds(), m.load, strings.Trim(fmt.Sprint(m.pids), "[]"))...)
	}
	if err := t.save(dir, file); err != nil {
		return err
	}
	return save(dir, file, plots...)
}

func milliseconds(d time.Duration) float64 { return 1000 * d.Seconds() }

func colorOf(m *measured) color.Color {
	if m.nodes <= 10 {
		return chart.Blue
	}
	return chart.Vermilion
}

// shiftOf keeps bars apart.
func shiftOf(m *measured) float64 {
	shift := -.06
	if m.nodes > 10 {
		shift = .02
	}
	if m.bits > 10 {
		shift += .04
	}
	return shift
}
