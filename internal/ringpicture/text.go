package ringpicture

import (
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/torc-dht/torc/chord"
	"github.com/torc-dht/torc/internal/terminal"
)

// The circle in a terminal, in cells, each of which has 2 x 4 dots of Braille.
const (
	rows, columns    = 23, 78
	radiusY, radiusX = 9.45, 18.9
	dotsX, dotsY     = 2, 4
)

// Text is the ring for a person: in a rich style the circle, and in any the nodes, a
// line each with what it owns, how many entries that are, where their copies are, who
// follows it, and who it is suspected by. It ends with a newline.
func Text(r chord.Ring, style terminal.Style) string {
	text := fmt.Sprintf("ring %s: 2^%d places, %s, %s, %s\n", style.Accent(r.Ring), r.Bits,
		plural(uint64(r.Replicas), "replica", "replicas"), plural(uint64(len(r.Nodes)), "node", "nodes"), plural(keys(r), "key", "keys"))
	if style.Rich() {
		text += circle(r, style)
	}
	return text + table(r, style)
}

// table lists the nodes.
func table(r chord.Ring, style terminal.Style) string {
	const stateColumn = 7
	t := terminal.Table{Paint: func(row, column int, cell string) string {
		switch {
		case row == 0:
			return style.Bold(cell)
		case column != stateColumn:
			return cell
		case cell == "up":
			return style.Good(cell)
		case row > len(r.Nodes):
			return style.Bad(cell)
		}
		return style.Warn(cell)
	}}
	t.Add("NODE", "ADDRESS", "OWNS", "SHARE", "KEYS", "COPIES AT", "SUCCESSORS", "STATE")
	for _, n := range r.Nodes {
		of := share(n.Owns, r.Bits)
		part := fmt.Sprintf("%4.1f %%", 100*of)
		if style.Rich() {
			part += " " + style.Bar(of, 8)
		}
		t.Add(n.ID, n.Addr, span(n.Owns), part, count(n.Keys), list(holders(n), 4), list(ids(n.Successors), 3), state(n))
	}
	for _, m := range r.Missing {
		t.Add(m.ID, m.Addr, "", "", "", "", "", missing(m))
	}
	return t.String()
}

func holders(n chord.Status) (names []string) {
	for _, h := range n.Holders {
		name := short(h.ID)
		if !h.Complete {
			name += " (filling)"
		}
		names = append(names, name)
	}
	return names
}

func ids(refs []chord.NodeRef) (names []string) {
	for _, ref := range refs {
		names = append(names, short(ref.ID))
	}
	return names
}

// state says how a node stands.
func state(n chord.Status) string {
	switch {
	case !n.Joined:
		return "joining"
	case !n.Serving:
		return "not serving"
	case !n.Whole:
		return "up, copies on their way"
	}
	return "up"
}

// missing says why a node is missing, and who knows.
func missing(m chord.Missing) string {
	text := "missing: " + m.Reason
	switch {
	case len(m.SuspectedBy) > 0:
		text += "; suspected by " + list(m.SuspectedBy, 4)
	case len(m.ListedBy) > 0:
		text += "; listed by " + list(m.ListedBy, 4)
	}
	return text
}

// canvas is cells of characters, and how each is painted.
type canvas struct {
	cells [rows][columns]rune
	paint [rows][columns]func(string) string
}

// circle draws the ring: each node's arc in the colour that the next one hasn't, the
// nodes on it, their identifiers and how many keys they own around it.
func circle(r chord.Ring, style terminal.Style) string {
	var c canvas
	all := marks(r)
	colours := []func(string) string{style.Accent, style.Dim}
	const steps = 720
	for i := range steps {
		at := float64(i) / steps
		c.dot(at, colours[owner(all, at)%len(colours)])
	}
	for _, m := range all {
		x, y := cell(m.at)
		c.cells[y][x], c.paint[y][x] = '●', style.Good
		switch {
		case m.missing:
			c.cells[y][x], c.paint[y][x] = '○', style.Bad
		case m.joining:
			c.cells[y][x], c.paint[y][x] = '○', style.Warn
		}
	}
	for _, m := range all {
		c.label(m)
	}
	middle := []string{"2^" + count(uint64(r.Bits)) + " places", plural(uint64(len(r.Nodes)), "node", "nodes"), plural(keys(r), "key", "keys")}
	for i, line := range middle {
		c.write((columns-utf8.RuneCountInString(line))/2, rows/2-1+i, line)
	}
	return c.String()
}

// owner is the number of who comes next clockwise: whose the place is. A missing
// node's arc is the next one's.
func owner(all []mark, at float64) int {
	number, first := 0, -1
	for _, m := range all {
		if m.missing || m.joining {
			continue
		}
		if m.at >= at {
			return number
		}
		if first < 0 {
			first = number
		}
		number++
	}
	return max(first, 0)
}

// point is where a turn is, in cells.
func point(at float64) (x, y float64) {
	sin, cos := math.Sincos(2 * math.Pi * at)
	return float64(columns)/2 + radiusX*sin, float64(rows)/2 - radiusY*cos
}

func cell(at float64) (x, y int) {
	fx, fy := point(at)
	return int(fx), int(fy)
}

// dot sets the dot of a turn.
func (c *canvas) dot(at float64, paint func(string) string) {
	// The dots of a Braille character, by column and row.
	bits := [dotsX][dotsY]rune{{0x01, 0x02, 0x04, 0x40}, {0x08, 0x10, 0x20, 0x80}}
	fx, fy := point(at)
	x, y := int(fx), int(fy)
	if c.cells[y][x] == 0 {
		c.cells[y][x] = 0x2800
	}
	c.cells[y][x] |= bits[int((fx-float64(x))*dotsX)][int((fy-float64(y))*dotsY)]
	c.paint[y][x] = paint
}

// label writes a node's label beside it, outside the circle, if there is room.
func (c *canvas) label(m mark) {
	x, y := cell(m.at)
	width := utf8.RuneCountInString(m.label)
	sin, cos := math.Sincos(2 * math.Pi * m.at)
	switch {
	case math.Abs(sin) < 0.2 && cos > 0:
		x, y = x-width/2, y-1
	case math.Abs(sin) < 0.2:
		x, y = x-width/2, y+1
	case sin > 0:
		x += 2
	default:
		x -= width + 1
	}
	for _, dy := range []int{0, -1, 1} {
		if c.free(x, y+dy, width) {
			c.write(x, y+dy, m.label)
			return
		}
	}
}

// free tells whether a text and a blank on each side of it fit in.
func (c *canvas) free(x, y, width int) bool {
	if y < 0 || y >= rows || x < 0 || x+width > columns {
		return false
	}
	for i := max(x-1, 0); i < min(x+width+1, columns); i++ {
		if r := c.cells[y][i]; r != 0 && (r < 0x2800 || r > 0x28ff) || r != 0 && i >= x && i < x+width {
			return false
		}
	}
	return true
}

func (c *canvas) write(x, y int, text string) {
	for _, r := range text {
		c.cells[y][x] = r
		x++
	}
}

// String is the canvas, its lines without blanks at their ends.
func (c *canvas) String() string {
	var b strings.Builder
	for y := range c.cells {
		last := columns - 1
		for last >= 0 && (c.cells[y][last] == 0 || c.cells[y][last] == ' ') {
			last--
		}
		for x := 0; x <= last; x++ {
			switch r, paint := c.cells[y][x], c.paint[y][x]; {
			case r == 0:
				b.WriteByte(' ')
			case paint == nil:
				b.WriteRune(r)
			default:
				b.WriteString(paint(string(r)))
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}
