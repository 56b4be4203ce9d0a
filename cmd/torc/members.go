package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/jsonform"
	"github.com/torc-dht/torc/internal/textform"
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
				_, err = fmt.Fprint(cmd.OutOrStdout(), textform.View(v, g.style(cmd)))
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
