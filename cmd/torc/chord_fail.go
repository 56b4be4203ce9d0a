package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/torc-dht/torc/chord"
)

// newFail is the program fail: torc chord fail.
func newFail() *cobra.Command { return asChordProgram(newChordFail) }

func newChordFail(*globals) *cobra.Command {
	var f chordFlags
	cmd := &cobra.Command{
		Use:   "fail NODE",
		Short: "Have a node of a ring fail",
		Long: `fail sends a node the failure message: it leaves the ring and ends at once,
without handing anything over, and the ring makes its pairs whole again from
their copies. A node that is to leave politely is sent SIGTERM.

NODE is its identifier, or ID@HOST:PORT.`,
		Example:           `  torc chord fail 35`,
		Args:              exactly("NODE"),
		ValidArgsFunction: completeNode(&f),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(cmd); err != nil {
				return err
			}
			node, err := chord.ParseNodeName(args[0])
			if err != nil {
				return usage(cmd, "%w", err)
			}
			if err := f.fail(cmd.Context(), node); err != nil {
				return chordError(err)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "Node %s failed.\n", node.ID)
			return err
		},
	}
	f.add(cmd)
	return cmd
}

func (f *chordFlags) fail(ctx context.Context, node chord.NodeName) error {
	a, err := f.admin()
	if err != nil {
		return err
	}
	addr, err := f.find(ctx, a, node)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	return a.Fail(ctx, addr)
}
