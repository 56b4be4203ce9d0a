package chord

import (
	"image/color"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/torc-dht/torc/internal/figures/chart"
)

// Who is who in all plots.
var (
	theirColor = chart.Vermilion
	ourColor   = chart.Blue
	wholeColor = chart.Green // ours with the whole list
)

// points is a line of a plot, or with dots points that nothing joins.
type points struct {
	name  string // in the legend; "": not there
	color color.Color
	xys   plotter.XYs
	// Low and high are the ends of the bars through the points, if there are any.
	low, high []float64
	dots      bool
	thin      bool // a line without dots
	dashed    bool
}

func (p *points) add(x, y float64) { p.xys = append(p.xys, plotter.XY{X: x, Y: y}) }

func (p *points) bar(x, y, low, high float64) {
	p.add(x, y)
	p.low, p.high = append(p.low, y-low), append(p.high, high-y)
}

// XY, Len and YError are what gonum's bars are made from.
func (p *points) Len() int                         { return len(p.xys) }
func (p *points) XY(i int) (x, y float64)          { return p.xys.XY(i) }
func (p *points) YError(i int) (low, high float64) { return p.low[i], p.high[i] }

// drawn puts all of them into a plot, from 0 upwards.
func drawn(p *plot.Plot, all ...*points) (*plot.Plot, error) {
	p.Legend.Top, p.Legend.Left = true, true
	p.Legend.TextStyle.Font.Size = vg.Points(9)
	p.Legend.TextStyle.Font.Variant = chart.Font
	p.Legend.XOffs, p.Legend.YOffs = vg.Points(6), vg.Points(-4)
	for _, one := range all {
		if err := one.onto(p); err != nil {
			return nil, err
		}
	}
	p.Y.Min = min(p.Y.Min, 0)
	p.Y.Max *= 1.02
	return p, nil
}

func (p *points) onto(onto *plot.Plot) error {
	if len(p.low) > 0 {
		bars, err := plotter.NewYErrorBars(p)
		if err != nil {
			return err
		}
		bars.Color, bars.CapWidth = p.color, vg.Points(5)
		onto.Add(bars)
	}
	line, dots, err := plotter.NewLinePoints(p.xys)
	if err != nil {
		return err
	}
	line.Color, line.Width = p.color, vg.Points(1.3)
	dots.Color, dots.Shape, dots.Radius = p.color, draw.CircleGlyph{}, vg.Points(2.2)
	if p.dashed {
		line.Dashes = []vg.Length{vg.Points(4), vg.Points(3)}
	}
	shown := []plot.Thumbnailer{line, dots}
	if p.dots {
		dots.Shape, dots.Radius = draw.CrossGlyph{}, vg.Points(3.2)
		shown = shown[1:]
	} else {
		onto.Add(line)
	}
	if p.thin {
		shown = shown[:1]
	} else {
		onto.Add(dots)
	}
	if p.name != "" {
		onto.Legend.Add(p.name, shown...)
	}
	return nil
}

const (
	panelWidth  = 5.4 * vg.Inch
	panelHeight = 3.9 * vg.Inch
)

// save draws plots beside one another.
func save(dir, name string, plots ...*plot.Plot) error {
	return chart.Save(filepath.Join(dir, name+".svg"), panelWidth*vg.Length(len(plots)), panelHeight, [][]*plot.Plot{plots})
}

// labelled marks an axis at whole steps with names.
func labelled(from, to int, name func(int) string) plot.ConstantTicks {
	var ticks plot.ConstantTicks
	for i := from; i <= to; i++ {
		ticks = append(ticks, plot.Tick{Value: float64(i), Label: name(i)})
	}
	return ticks
}
