package terminal

import (
	"strings"
	"unicode/utf8"
)

// Table formats rows in columns that line up, two spaces between them. Widths
// are counted in runes before paint is applied, so that colour does not move
// what stands behind it.
type Table struct {
	// Paint, if set, decorates a cell once its width is known; row 0 is the
	// first row added.
	Paint func(row, column int, cell string) string

	rows [][]string
}

// Add adds a row.
func (t *Table) Add(cells ...string) { t.rows = append(t.rows, cells) }

// String returns the rows, each ended by a newline and without blanks before it.
func (t *Table) String() string {
	var widths []int
	for _, row := range t.rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for r, row := range t.rows {
		last := len(row) - 1
		for last > 0 && row[last] == "" {
			last--
		}
		for i, cell := range row[:last+1] {
			pad := widths[i] - utf8.RuneCountInString(cell)
			if t.Paint != nil {
				cell = t.Paint(r, i, cell)
			}
			b.WriteString(cell)
			if i < last {
				b.WriteString(strings.Repeat(" ", pad+2))
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}
