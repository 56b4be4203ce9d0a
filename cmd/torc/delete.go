package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/jsonform"
)

func newDelete(g *globals) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "delete [flags] KEY",
		Short: "Remove a key and its value",
		Long: `delete removes the entry at KEY.

Exit codes: 0 removed, 2 if there was none, 1 if anything else went wrong.`,
		Example: `  torc delete greeting`,
		Args:    exactly("KEY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return g.with(cmd, func(ctx context.Context, t torc.Table) error {
				if err := t.Delete(ctx, args[0]); err != nil {
					return err
				}
				if asJSON {
					return jsonform.Print(cmd.OutOrStdout(), deleteJSON{jsonform.KeyOf(args[0]), true})
				}
				return nil
			})
		},
	}
	flagsFirst(cmd)
	cmd.ValidArgsFunction = cobra.NoFileCompletions
	jsonFlag(cmd, &asJSON)
	return cmd
}
