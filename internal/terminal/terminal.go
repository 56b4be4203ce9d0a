package terminal

import (
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// Is says whether w is a terminal: a file, or what has the Fd of one.
func Is(w io.Writer) bool {
	f, ok := w.(interface{ Fd() uintptr })
	return ok && term.IsTerminal(int(f.Fd()))
}

// Style decorates text, or leaves it as it is. The zero Style is plain.
type Style struct{ rich bool }

// StyleFor returns the style that suits w: rich if w is a terminal and neither
// plain, NO_COLOR nor TERM=dumb speaks against it.
func StyleFor(w io.Writer, plain bool) Style {
	return Style{rich: !plain && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && Is(w)}
}

// Rich returns the style that decorates wherever its text may go.
func Rich() Style { return Style{rich: true} }

// Rich says whether s decorates.
func (s Style) Rich() bool { return s.rich }

func (s Style) sgr(code, text string) string {
	if !s.rich || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// Bold returns text in bold.
func (s Style) Bold(text string) string { return s.sgr("1", text) }

// Dim returns text in a faint colour: what may be passed over.
func (s Style) Dim(text string) string { return s.sgr("2", text) }

// Good returns text in green.
func (s Style) Good(text string) string { return s.sgr("32", text) }

// Bad returns text in red.
func (s Style) Bad(text string) string { return s.sgr("31", text) }

// Warn returns text in yellow.
func (s Style) Warn(text string) string { return s.sgr("33", text) }

// Accent returns text in cyan: names and figures that a reader looks for.
func (s Style) Accent(text string) string { return s.sgr("36", text) }

var eighths = []rune(" ▏▎▍▌▋▊▉█")

// Bar draws fraction (0 to 1; beyond is cut) of width cells, padded with
// spaces to width. A plain style draws nothing: "".
func (s Style) Bar(fraction float64, width int) string {
	if !s.rich {
		return ""
	}
	n := int(clamp(fraction)*float64(width*8) + 0.5)
	var b strings.Builder
	b.WriteString(strings.Repeat("█", n/8))
	if n%8 > 0 {
		b.WriteRune(eighths[n%8])
		n += 8
	}
	b.WriteString(strings.Repeat(" ", width-n/8))
	return b.String()
}

var levels = []rune("▁▂▃▄▅▆▇█")

// Spark draws one cell for each value (0 to 1; beyond is cut). A plain style
// draws nothing: "".
func (s Style) Spark(values []float64) string {
	if !s.rich {
		return ""
	}
	var b strings.Builder
	for _, v := range values {
		b.WriteRune(levels[int(clamp(v)*float64(len(levels)-1)+0.5)])
	}
	return b.String()
}

func clamp(v float64) float64 { return max(0, min(1, v)) }
