// Package chart is what the figures in docs look like: their colours, their
// fonts, their axes, and how plots are put beside one another into one file.
//
//	p := chart.New("Keys that move", "servers", "share of all keys")
//	err := chart.Save("moves.svg", 8*vg.Inch, 4*vg.Inch, [][]*plot.Plot{{p}})
package chart
