package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/jsonform"
	"github.com/torc-dht/torc/internal/terminal"
	"github.com/torc-dht/torc/internal/textform"
)

func newWatch(g *globals) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "watch",
		Short: "Print each change of the members as it is seen",
		Long: `watch prints one line for the members there are, and one for each later view,
until it is interrupted: when, the view's version, how many members are up, and
what has changed.

  +  came up
  -  went down, or is no member any more
  ~  changed otherwise: drained, or another weight
  !  out of touch with whoever knows the members: the last view stands`,
		Example: `  torc watch
  torc watch --json | jq -r '.members[] | select(.state == "up") | .addr'`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			t, err := g.open(cmd.Context())
			if err != nil {
				return err
			}
			defer t.Close()
			out, style := cmd.OutOrStdout(), g.style(cmd)
			var last torc.View
			for v, err := range t.Members(cmd.Context()) {
				if err != nil {
					return err
				}
				now := time.Now()
				if asJSON {
					err = jsonform.Print(out, viewJSON{now, v})
				} else {
					_, err = fmt.Fprintln(out, changeText(now, last, v, style))
				}
				if err != nil {
					return err
				}
				last = v
			}
			return nil
		},
	}
	cmd.ValidArgsFunction = cobra.NoFileCompletions
	jsonFlag(cmd, &asJSON)
	return cmd
}

// changeText is the line that says how the view came from the last one.
func changeText(now time.Time, last, v torc.View, style terminal.Style) string {
	was := make(map[string]torc.Member)
	for _, m := range last.Members {
		was[m.Addr] = m
	}
	up := 0
	var changes []string
	for _, m := range v.Members {
		if m.State == torc.Up {
			up++
		}
		old, known := was[m.Addr]
		delete(was, m.Addr)
		switch {
		case m.State == torc.Up && (!known || old.State != torc.Up):
			changes = append(changes, style.Good("+ "+m.Addr))
		case m.State == torc.Down && (!known || old.State != torc.Down):
			changes = append(changes, style.Bad("- "+m.Addr+" "+textform.Standing(m)))
		case !known || old.State != m.State:
			changes = append(changes, style.Warn("~ "+m.Addr+" "+textform.Standing(m)))
		case old.Weight != m.Weight:
			changes = append(changes, style.Warn(fmt.Sprintf("~ %s weight %d, was %d", m.Addr, m.Weight, old.Weight)))
		}
	}
	for _, m := range last.Members {
		if _, gone := was[m.Addr]; gone {
			changes = append(changes, style.Bad("- "+m.Addr))
		}
	}
	switch {
	case !v.LostContact.IsZero() && last.LostContact.IsZero():
		changes = append(changes, style.Warn("! out of touch since "+textform.Clock(v.LostContact)))
	case v.LostContact.IsZero() && !last.LostContact.IsZero():
		changes = append(changes, style.Good("in touch again"))
	case last.Generation != 0 && v.Generation != last.Generation:
		changes = append(changes, style.Warn("! another generation: the directory was begun anew"))
	}
	if len(changes) == 0 {
		changes = []string{"no change"}
	}
	return fmt.Sprintf("%s  view %-4d %2d up  %s", style.Dim(textform.Clock(now)), v.Version, up, strings.Join(changes, "  "))
}
