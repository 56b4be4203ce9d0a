package main

import (
	"fmt"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"github.com/torc-dht/torc/internal/figures/chart"
)

// draw draws the curves into the file, an SVG or a PNG by its name: a panel for
// each contender, all alike.
func draw(p plan, curves []curve, path string) error {
	lowest := 1.0
	for _, c := range curves {
		lowest = min(lowest, summarize(p, c).lowest)
	}
	var panels []*plot.Plot
	for _, c := range curves {
		panel, err := newPanel(p, c, lowest)
		if err != nil {
			return err
		}
		panels = append(panels, panel)
	}
	rows := slices.Collect(slices.Chunk(panels, 2))
	return chart.Save(path, 11*vg.Inch, vg.Length(len(rows))*2.4*vg.Inch, rows)
}

func newPanel(p plan, c curve, lowest float64) (*plot.Plot, error) {
	panel := chart.New(c.name, "seconds after the kill", "hit rate, %")
	panel.X.Min, panel.X.Max = -p.before.Seconds(), (p.dead + p.after).Seconds()
	panel.Y.Min, panel.Y.Max = 100*lowest-2, 101
	var ticks []float64
	for y := 100.0; y > panel.Y.Min; y -= 5 {
		ticks = append(ticks, y)
	}
	panel.Y.Tick.Marker = chart.Ticks(ticks...)

	for _, at := range []float64{0, p.dead.Seconds()} {
		mark, err := plotter.NewLine(plotter.XYs{{X: at, Y: panel.Y.Min}, {X: at, Y: panel.Y.Max}})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		mark.Color, mark.Dashes = chart.Grey, []vg.Length{vg.Points(3), vg.Points(3)}
		panel.Add(mark)
	}
	words, err := plotter.NewLabels(plotter.XYLabels{
		XYs:    plotter.XYs{{X: 0.2, Y: panel.Y.Min + 0.5}, {X: p.dead.Seconds() + 0.2, Y: panel.Y.Min + 0.5}},
		Labels: []string{"killed", "back, empty"},
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.name, err)
	}
	for i := range words.TextStyle {
		text := &words.TextStyle[i]
		text.Color, text.Font.Variant, text.Font.Size = chart.Grey, chart.Font, vg.Points(9)
	}
	var points plotter.XYs
	for i, w := range c.windows {
		if w.reads > 0 {
			points = append(points, plotter.XY{X: p.secondsAfterKill(i) + window.Seconds()/2, Y: 100 * w.hitRate()})
		}
	}
	line, err := plotter.NewLine(points)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.name, err)
	}
	line.Color, line.Width = chart.Blue, vg.Points(1.5)
	panel.Add(words, line)
	return panel, nil
}
