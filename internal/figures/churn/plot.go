package main

import (
	"fmt"
	"image/color"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"github.com/torc-dht/torc/internal/figures/chart"
	"github.com/torc-dht/torc/ring"
)

// style is how a placement is drawn: a colour, dashes for those that lie upon
// one another, and a label in the line's colour with its left end at a place of
// the plot.
type style struct {
	placement string
	color     color.RGBA
	dashes    []vg.Length
	label     string
	x, y      float64
}

var (
	dash = []vg.Length{vg.Points(7), vg.Points(4)}
	dot  = []vg.Length{vg.Points(2), vg.Points(4)}
)

var churnStyles = []style{
	{"modulo", chart.Grey, nil, "modulo", 36, 46},
	{jumpAny, chart.Purple, nil, "jump, any server leaves", 55, 22},
	{"ketama", chart.Vermilion, nil, "ketama, where its points round", 48, 4},
	{"murmur3", chart.Blue, nil, "murmur3", 10, 0.76},
	{"rendezvous", chart.Orange, dash, "rendezvous", 27, 0.76},
	{jumpLast, chart.Green, dot, "jump, the last leaves", 48, 0.76},
}

var evenStyles = []style{
	{"murmur3", chart.Blue, nil, fmt.Sprintf("murmur3, %d virtual nodes", ring.DefaultVNodes), 47, 1.41},
	{"ketama", chart.Vermilion, nil, "ketama, 160 points", 45, 1.155},
	{"rendezvous", chart.Orange, dash, "rendezvous", 45, 1.04},
	{jumpLast, chart.Green, dot, "jump", 75, 0.998},
}

// draw draws the figures into the file, an SVG or a PNG by its name.
func draw(f figures, path string) error {
	churnPlot := newPlot("Keys that move when one of N servers leaves", "share of all keys, × 1/N")
	churnPlot.Y.Scale = plot.LogScale{}
	churnPlot.Y.Tick.Marker = chart.Ticks(1, 1.5, 2, 3, 5, 10, 20, 50, 100)
	churnPlot.Y.Min, churnPlot.Y.Max = 0.7, 110
	err := addLines(churnPlot, churnStyles, f.churnSizes, func(name string, i int) float64 { return f.churn[name][i].moved })
	if err != nil {
		return err
	}

	evenPlot := newPlot("Keys on the fullest of N servers", "multiple of the mean")
	evenPlot.Y.Tick.Marker = chart.Ticks(1, 1.1, 1.2, 1.3, 1.4, 1.5)
	evenPlot.Y.Min, evenPlot.Y.Max = 0.96, 1.55
	err = addLines(evenPlot, evenStyles, f.evenSizes, func(name string, i int) float64 { return f.even[name][i] })
	if err != nil {
		return err
	}
	return chart.Save(path, 11*vg.Inch, 4.6*vg.Inch, [][]*plot.Plot{{churnPlot, evenPlot}})
}

func newPlot(title, y string) *plot.Plot {
	p := chart.New(title, "servers, N", y)
	p.X.Tick.Marker = chart.Ticks(2, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100)
	p.X.Min, p.X.Max = 2, 100
	return p
}

func addLines(p *plot.Plot, styles []style, sizes []int, figure func(name string, i int) float64) error {
	for _, s := range styles {
		points := make(plotter.XYs, len(sizes))
		for i, n := range sizes {
			points[i].X, points[i].Y = float64(n), figure(s.placement, i)
		}
		line, err := plotter.NewLine(points)
		if err != nil {
			return fmt.Errorf("%s: %w", s.placement, err)
		}
		line.Color, line.Width, line.Dashes = s.color, vg.Points(1.8), s.dashes
		label, err := plotter.NewLabels(plotter.XYLabels{XYs: plotter.XYs{{X: s.x, Y: s.y}}, Labels: []string{s.label}})
		if err != nil {
			return fmt.Errorf("%s: %w", s.placement, err)
		}
		text := &label.TextStyle[0]
		text.Color, text.Font.Variant, text.Font.Size = s.color, chart.Font, vg.Points(10)
		p.Add(line, label)
	}
	return nil
}
