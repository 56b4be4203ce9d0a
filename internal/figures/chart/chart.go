package chart

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
)

// Colours that colour-blind people tell apart: Okabe and Ito's.
var (
	Orange    = color.RGBA{0xe6, 0x9f, 0x00, 0xff}
	Green     = color.RGBA{0x00, 0x9e, 0x73, 0xff}
	Blue      = color.RGBA{0x00, 0x72, 0xb2, 0xff}
	Vermilion = color.RGBA{0xd5, 0x5e, 0x00, 0xff}
	Purple    = color.RGBA{0xcc, 0x79, 0xa7, 0xff}
	Grey      = color.RGBA{0x80, 0x80, 0x80, 0xff}
)

// Font is the variant of every text's font: one that browsers have.
const Font = "Sans"

// New returns an empty plot with a grid.
func New(title, x, y string) *plot.Plot {
	p := plot.New()
	p.BackgroundColor = color.White
	p.Title.Text = title
	p.Title.TextStyle.Font.Size = vg.Points(13)
	p.Title.Padding = vg.Points(8)
	p.X.Label.Text = x
	p.Y.Label.Text = y
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.Label.TextStyle.Font.Size = vg.Points(11)
		axis.Tick.Label.Font.Size = vg.Points(10)
		axis.Padding = vg.Points(4)
	}
	for _, style := range []*vgdraw.TextStyle{&p.Title.TextStyle, &p.X.Label.TextStyle, &p.Y.Label.TextStyle, &p.X.Tick.Label, &p.Y.Tick.Label} {
		style.Font.Variant = Font
	}
	grid := plotter.NewGrid()
	grid.Vertical.Color = color.Gray{0xee}
	grid.Horizontal.Color = color.Gray{0xdd}
	p.Add(grid)
	return p
}

// Ticks marks the values, each with as few digits as it needs.
func Ticks(values ...float64) plot.ConstantTicks {
	var marks plot.ConstantTicks
	for _, v := range values {
		marks = append(marks, plot.Tick{Value: v, Label: fmt.Sprintf("%g", v)})
	}
	return marks
}

// Save draws the plots, row by row, into the file: an SVG, or a PNG if it is
// named so. All rows have the same length.
func Save(path string, width, height vg.Length, plots [][]*plot.Plot) error {
	var canvas vg.CanvasWriterTo
	var onto vg.CanvasSizer
	if filepath.Ext(path) == ".png" {
		c := vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(130))
		canvas, onto = vgimg.PngCanvas{Canvas: c}, c
	} else {
		c := vgsvg.New(width, height)
		canvas, onto = c, c
	}
	tiles := vgdraw.Tiles{
		Rows: len(plots), Cols: len(plots[0]),
		PadX: vg.Points(24), PadY: vg.Points(12),
		PadTop: vg.Points(6), PadBottom: vg.Points(6), PadLeft: vg.Points(6), PadRight: vg.Points(12),
	}
	page := vgdraw.New(onto)
	for row := range plots {
		for col, p := range plots[row] {
			p.Draw(tiles.At(page, col, row))
		}
	}
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
