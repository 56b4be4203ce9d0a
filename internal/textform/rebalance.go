package textform

import (
	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/terminal"
)

// RebalanceStep is how far a rebalance is, as [terminal.Progress] shows it.
func RebalanceStep(p torc.Progress) terminal.Step {
	if p.Pass == 0 {
		return terminal.Step{Note: "waits until all clients know the members"}
	}
	s := terminal.Step{Done: p.Looked, Total: p.Total, Unit: "keys", Bytes: p.Bytes, Left: p.Left}
	s.Note = terminal.Count(p.Copied) + " copied, " + terminal.Count(p.Removed) + " removed"
	if p.Pass > 1 {
		s.Note += ", once more to be sure"
	}
	return s
}

// Rebalanced says what a rebalance has done, or with dry would do, and how long
// that took.
func Rebalanced(p torc.Progress, dry bool) string {
	would := ""
	if dry {
		would = "would be "
	}
	text := terminal.Count(p.Copied) + " " + would + "copied"
	if p.Bytes > 0 {
		text += " (" + terminal.Bytes(p.Bytes) + ")"
	}
	return text + ", " + terminal.Count(p.Removed) + " " + would + "removed, in " + terminal.Span(p.Elapsed)
}
