package textform

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/terminal"
)

// View lists the members of v, a line each under a line of headers, and says
// below whether v is but the last view known.
func View(v torc.View, style terminal.Style) string {
	text := "no members\n"
	if len(v.Members) > 0 {
		table := terminal.Table{Paint: PaintState(style, 1, 2)}
		table.Add("ADDRESS", "WEIGHT", "STATE", "REASON")
		for _, m := range v.Members {
			table.Add(m.Addr, strconv.FormatUint(uint64(m.Weight), 10), m.State.String(), m.Reason)
		}
		text = table.String()
	}
	if !v.LostContact.IsZero() {
		text += style.Warn("the last view known: out of touch since "+Clock(v.LostContact)) + "\n"
	}
	return text
}

// Standing says in parentheses how m stands, and why.
func Standing(m torc.Member) string {
	if m.Reason == "" {
		return "(" + m.State.String() + ")"
	}
	return "(" + m.State.String() + ": " + m.Reason + ")"
}

// NobodyUp says that no member of v is up, and why not; "" if one is.
func NobodyUp(v torc.View) string {
	if len(v.Members) == 0 {
		return "it has no members"
	}
	const most = 3 // a line is for a person
	var each []string
	for i, m := range v.Members {
		switch {
		case m.State == torc.Up:
			return ""
		case i == most:
			each = append(each, fmt.Sprintf("%d more", len(v.Members)-most))
		case i < most:
			each = append(each, m.Addr+" "+Standing(m))
		}
	}
	return "no member is up: " + strings.Join(each, ", ")
}

// Placement lists the owners of a key in their order.
func Placement(p torc.Placement, style terminal.Style) string {
	table := terminal.Table{Paint: PaintState(style, 0, 2)}
	for i, m := range p.Owners {
		table.Add(strconv.Itoa(i+1), m.Addr, m.State.String())
	}
	return table.String()
}

// Clock writes a moment for a person: local time, to the millisecond; nothing
// for the zero time.
func Clock(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("15:04:05.000")
}

// PaintState paints the cells of a table's column that holds a member's state,
// and its first headers rows. It is for [terminal.Table.Paint].
func PaintState(style terminal.Style, headers, column int) func(row, column int, cell string) string {
	return func(r, c int, cell string) string {
		switch {
		case r < headers:
			return style.Bold(cell)
		case c != column:
			return cell
		case cell == torc.Up.String():
			return style.Good(cell)
		case cell == torc.Down.String():
			return style.Bad(cell)
		}
		return style.Warn(cell)
	}
}
