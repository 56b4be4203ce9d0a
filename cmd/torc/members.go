package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/jsonform"
	"github.com/torc-dht/torc/internal/terminal"
)

func newMembers(g *globals) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "members",
		Short: "List the members of the table",
		Long: `members prints who the members are now: address, weight (a member's share of
the keys against the others'), state and, if a member is not up, why.`,
		Example: `  torc members
  torc members --json`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return g.with(cmd, func(ctx context.Context, t torc.Table) error {
				v, err := viewNow(ctx, t)
				if err != nil {
					return err
				}
				if asJSON {
					return jsonform.Print(cmd.OutOrStdout(), viewJSON{time.Now(), v})
				}
				_, err = fmt.Fprint(cmd.OutOrStdout(), viewText(v, g.style(cmd)))
				return err
			})
		},
	}
	cmd.ValidArgsFunction = cobra.NoFileCompletions
	jsonFlag(cmd, &asJSON)
	return cmd
}

// viewNow returns the present view of t.
func viewNow(ctx context.Context, t torc.Table) (torc.View, error) {
	for v, err := range t.Members(ctx) {
		return v, err
	}
	if err := ctx.Err(); err != nil {
		return torc.View{}, fmt.Errorf("no view of the members: %w", err)
	}
	return torc.View{}, errors.New("no view of the members")
}

func viewText(v torc.View, style terminal.Style) string {
	var b strings.Builder
	if len(v.Members) == 0 {
		b.WriteString("no members\n")
	} else {
		table := terminal.Table{Paint: paintState(style, 1, 2)}
		table.Add("ADDRESS", "WEIGHT", "STATE", "REASON")
		for _, m := range v.Members {
			table.Add(m.Addr, strconv.FormatUint(uint64(m.Weight), 10), m.State.String(), m.Reason)
		}
		b.WriteString(table.String())
	}
	if !v.LostContact.IsZero() {
		b.WriteString(style.Warn("the last view known: out of touch since "+clock(v.LostContact)) + "\n")
	}
	return b.String()
}

// clock formats a moment for a person: local time, to the millisecond.
func clock(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Local().Format("15:04:05.000")
}

// paintState paints the cells of a table's column that holds a member's state,
// and its first headers rows.
func paintState(style terminal.Style, headers, column int) func(row, column int, cell string) string {
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
