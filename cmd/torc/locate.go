package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/jsonform"
	"github.com/torc-dht/torc/internal/textform"
)

func newLocate(g *globals) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "locate [flags] KEY",
		Short: "Say which members hold a key, or would",
		Long: `locate prints the members that hold KEY, in the order in which they are asked.
It does not say whether the key is there.`,
		Example: `  torc locate greeting
  torc locate --json greeting`,
		Args: exactly("KEY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.with(cmd, func(ctx context.Context, t torc.Table) error {
				p, err := t.Locate(ctx, args[0])
				if err != nil {
					return err
				}
				if asJSON {
					return jsonform.Print(cmd.OutOrStdout(), locateJSON{jsonform.KeyOf(args[0]), p})
				}
				_, err = fmt.Fprint(cmd.OutOrStdout(), textform.Placement(p, g.style(cmd)))
				return err
			})
		},
	}
	flagsFirst(cmd)
	cmd.ValidArgsFunction = cobra.NoFileCompletions
	jsonFlag(cmd, &asJSON)
	return cmd
}
