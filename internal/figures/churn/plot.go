package main

import (
	"fmt"
	"image/color"
	"os"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	vgdraw "gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/torc-dht/torc/ring"
)

// style is how a placement is drawn: colours that colour-blind people tell
// apart (Okabe and Ito's), dashes for those that lie upon one another, and a
// label in the line's colour with its left end at a place of the plot.
type style struct {
	placement string
	color     color.RGBA
	dashes    []vg.Length
	label     string
	x, y      float64
}

var (
	orange    = color.RGBA{0xe6, 0x9f, 0x00, 0xff}
	green     = color.RGBA{0x00, 0x9e, 0x73, 0xff}
	blue      = color.RGBA{0x00, 0x72, 0xb2, 0xff}
	vermilion = color.RGBA{0xd5, 0x5e, 0x00, 0xff}
	purple    = color.RGBA{0xcc, 0x79, 0xa7, 0xff}
	grey      = color.RGBA{0x80, 0x80, 0x80, 0xff}

	dash = []vg.Length{vg.Points(7), vg.Points(4)}
	dot  = []vg.Length{vg.Points(2), vg.Points(4)}
)

var churnStyles = []style{
	{"modulo", grey, nil, "modulo", 36, 46},
	{jumpAny, purple, nil, "jump, any server leaves", 55, 22},
	{"ketama", vermilion, nil, "ketama, where its points round", 48, 4},
	{"murmur3", blue, nil, "murmur3", 10, 0.76},
	{"rendezvous", orange, dash, "rendezvous", 27, 0.76},
	{jumpLast, green, dot, "jump, the last leaves", 48, 0.76},
}

var evenStyles = []style{
	{"murmur3", blue, nil, fmt.Sprintf("murmur3, %d virtual nodes", ring.DefaultVNodes), 47, 1.41},
	{"ketama", vermilion, nil, "ketama, 160 points", 45, 1.155},
	{"rendezvous", orange, dash, "rendezvous", 45, 1.04},
	{jumpLast, green, dot, "jump", 75, 0.998},
}

// draw draws the figures into the file, an SVG or a PNG by its name.
func draw(f figures, path string) error {
	churnPlot := newPlot("Keys that move when one of N servers leaves", "share of all keys, × 1/N")
	churnPlot.Y.Scale = plot.LogScale{}
	churnPlot.Y.Tick.Marker = ticks(1, 1.5, 2, 3, 5, 10, 20, 50, 100)
	churnPlot.Y.Min, churnPlot.Y.Max = 0.7, 110
	err := addLines(churnPlot, churnStyles, f.churnSizes, func(name string, i int) float64 { return f.churn[name][i].moved })
	if err != nil {
		return err
	}

	evenPlot := newPlot("Keys on the fullest of N servers", "multiple of the mean")
	evenPlot.Y.Tick.Marker = ticks(1, 1.1, 1.2, 1.3, 1.4, 1.5)
	evenPlot.Y.Min, evenPlot.Y.Max = 0.96, 1.55
	err = addLines(evenPlot, evenStyles, f.evenSizes, func(name string, i int) float64 { return f.even[name][i] })
	if err != nil {
		return err
	}

	const width, height = 11 * vg.Inch, 4.6 * vg.Inch
	var canvas vg.CanvasWriterTo
	var onto vg.CanvasSizer
	if filepath.Ext(path) == ".png" {
		c := vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(130))
		canvas, onto = vgimg.PngCanvas{Canvas: c}, c
	} else {
		c := vgsvg.New(width, height)
		canvas, onto = c, c
	}
	tiles := vgdraw.Tiles{Rows: 1, Cols: 2, PadX: vg.Points(24), PadTop: vg.Points(6), PadBottom: vg.Points(6), PadLeft: vg.Points(6), PadRight: vg.Points(12)}
	page := vgdraw.New(onto)
	churnPlot.Draw(tiles.At(page, 0, 0))
	evenPlot.Draw(tiles.At(page, 1, 0))

	file, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := canvas.WriteTo(file); err != nil {
		file.Close()
		return err
	}
	return file.Close()
}

func newPlot(title, y string) *plot.Plot {
	p := plot.New()
	p.BackgroundColor = color.White
	p.Title.Text = title
	p.Title.TextStyle.Font.Size = vg.Points(13)
	p.Title.Padding = vg.Points(8)
	p.X.Label.Text = "servers, N"
	p.Y.Label.Text = y
	p.X.Tick.Marker = ticks(2, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100)
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Label.TextStyle.Font.Size = vg.Points(11)
		axis.Tick.Label.Font.Size = vg.Points(10)
		axis.Padding = vg.Points(4)
	}
	p.X.Min, p.X.Max = 2, 100
	for _, style := range []*vgdraw.TextStyle{&p.Title.TextStyle, &p.X.Label.TextStyle, &p.Y.Label.TextStyle, &p.X.Tick.Label, &p.Y.Tick.Label} {
		style.Font.Variant = "Sans"
	}
	grid := plotter.NewGrid()
	grid.Vertical.Color = color.Gray{0xee}
	grid.Horizontal.Color = color.Gray{0xdd}
	p.Add(grid)
	return p
}

// ticks labels the values with the fewest digits.
func ticks(values ...float64) plot.ConstantTicks {
	var marks plot.ConstantTicks
	for _, v := range values {
		marks = append(marks, plot.Tick{Value: v, Label: fmt.Sprintf("%g", v)})
	}
	return marks
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
		text.Color, text.Font.Variant, text.Font.Size = s.color, "Sans", vg.Points(10)
		p.Add(line, label)
	}
	return nil
}
