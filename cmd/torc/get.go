package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/jsonform"
)

func newGet(g *globals) *cobra.Command {
	var asJSON, raw bool
	cmd := &cobra.Command{
		Use:   "get [flags] KEY",
		Short: "Print the value at a key",
		Long: `get prints the value at KEY and a newline on standard output.

Exit codes: 0 with the value, 2 if there is none, 1 if anything else went wrong.
On a fleet, which is a cache, a key whose servers can't be asked counts as not
there; standard error says so.`,
		Example: `  torc get greeting
  torc get --raw picture > picture.png
  torc get --json greeting
  torc get -- -key-with-a-hyphen`,
		Args: exactly("KEY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := exclusive(cmd, "raw", "json"); err != nil {
				return err
			}
			key := args[0]
			return g.with(cmd, func(ctx context.Context, t torc.Table) error {
				e, err := t.Get(ctx, key)
				if err != nil {
					return err
				}
				if asJSON {
					return jsonform.Print(cmd.OutOrStdout(), getJSON{jsonform.KeyOf(key), jsonform.ValueOf(e.Value), e.Version.String()})
				}
				if !raw {
					e.Value = append(e.Value, '\n')
				}
				_, err = cmd.OutOrStdout().Write(e.Value)
				return err
			})
		},
	}
	flagsFirst(cmd)
	cmd.ValidArgsFunction = cobra.NoFileCompletions
	cmd.Flags().BoolVar(&raw, "raw", false, "print the value alone, without a newline")
	jsonFlag(cmd, &asJSON)
	return cmd
}
