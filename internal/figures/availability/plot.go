package main

import (
	"fmt"
	"image/color"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"github.com/torc-dht/torc/internal/figures/chart"
)

const (
	columns     = 4
	panelWidth  = 230
	panelHeight = 120
)

// draw draws a panel for each of the timelines into the file.
func draw(lines []timeline, path string) error {
	var rows [][]*plot.Plot
	for i, t := range lines {
		if i%columns == 0 {
			rows = append(rows, nil)
		}
		p, err := panel(t)
		if err != nil {
			return err
		}
		last := len(rows) - 1
		rows[last] = append(rows[last], p)
	}
	width := min(columns, len(lines))
	for last := len(rows) - 1; len(rows[last]) < width; { // all rows have the same length
		empty := plot.New()
		empty.HideAxes()
		rows[last] = append(rows[last], empty)
	}
	return chart.Save(path, vg.Points(float64(width*panelWidth)), vg.Points(float64(len(rows)*panelHeight)), rows)
}

// panel draws one timeline: answers without a label, upon them those with one, and a
// line where something is done.
func panel(t timeline) (*plot.Plot, error) {
	p := chart.New(t.Steps[0].What, "", "")
	p.Title.TextStyle.Font.Size = vg.Points(9)
	p.Title.Padding = vg.Points(3)
	p.X.Tick.Label.Font.Size, p.Y.Tick.Label.Font.Size = vg.Points(7), vg.Points(7)
	ps := points(t)
	top := 0.0
	for _, q := range ps {
		top = max(top, q.plain+q.labelled)
	}
	for _, layer := range []struct {
		color color.Color
		upTo  func(point) float64
	}{
		{chart.Orange, func(q point) float64 { return q.plain + q.labelled }},
		{chart.Blue, func(q point) float64 { return q.plain }},
	} {
		area, err := plotter.NewPolygon(outline(ps, layer.upTo))
		if err != nil {
			return nil, err
		}
		area.Color, area.LineStyle.Width = layer.color, 0
		p.Add(area)
	}
	for _, s := range t.Steps {
		line, err := plotter.NewLine(plotter.XYs{{X: s.AtMS / 1000}, {X: s.AtMS / 1000, Y: top}})
		if err != nil {
			return nil, err
		}
		line.Color, line.Width = chart.Vermilion, vg.Points(0.7)
		p.Add(line)
	}
	p.Y.Min, p.Y.Max = 0, top*1.05
	p.X.Min = 0
	p.X.Tick.Marker = seconds{}
	p.Y.Tick.Marker = thousands{}
	return p, nil
}

// outline goes along the points and back on the ground.
func outline(ps []point, upTo func(point) float64) plotter.XYs {
	var line plotter.XYs
	for _, q := range ps {
		line = append(line, plotter.XY{X: q.at, Y: upTo(q)}, plotter.XY{X: q.at + shownMS/1000.0, Y: upTo(q)})
	}
	if len(line) == 0 {
		return plotter.XYs{{}, {}}
	}
	return append(line, plotter.XY{X: line[len(line)-1].X}, plotter.XY{X: line[0].X})
}

// seconds and thousands mark axes with their units, a few marks each.
type (
	seconds   struct{}
	thousands struct{}
)

func (seconds) Ticks(least, most float64) []plot.Tick { return few(least, most, " s") }

func (thousands) Ticks(least, most float64) []plot.Tick {
	ticks := few(least/1000, most/1000, "k/s")
	for i := range ticks {
		ticks[i].Value *= 1000
	}
	return ticks
}

func few(least, most float64, unit string) (ticks []plot.Tick) {
	for _, t := range (plot.DefaultTicks{}).Ticks(least, most) {
		if t.Label != "" {
			t.Label = fmt.Sprintf("%.3g", t.Value) + unit
			ticks = append(ticks, t)
		}
	}
	return ticks
}
