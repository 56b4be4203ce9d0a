package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/jsonform"
	"github.com/torc-dht/torc/internal/terminal"
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
				_, err = fmt.Fprint(cmd.OutOrStdout(), placementText(p, g.style(cmd)))
				return err
			})
		},
	}
	flagsFirst(cmd)
	cmd.ValidArgsFunction = cobra.NoFileCompletions
	jsonFlag(cmd, &asJSON)
	return cmd
}

func placementText(p torc.Placement, style terminal.Style) string {
	table := terminal.Table{Paint: paintState(style, 0, 2)}
	for i, m := range p.Owners {
		table.Add(strconv.Itoa(i+1), m.Addr, m.State.String())
	}
	return table.String()
}
