package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	figures "github.com/torc-dht/torc/internal/figures/chord"
)

// What --only takes.
const (
	figuresOfPaper    = "paper"
	figuresOfRequired = "required"
)

func newChordFigures(*globals) *cobra.Command {
	var dir, only string
	cmd := &cobra.Command{
		Use:   "figures -o DIR",
		Short: "Measure how rings do, as the Chord papers did",
		Long: `figures makes plots, as SVG, and their numbers, as CSV, in DIR.

First those of the Chord papers, by a simulation of up to 16,384 nodes in
virtual time, with the papers' numbers beside ours: path lengths, keys a node,
lookups after failures and while nodes come and go.

Then the time of a lookup, of an addition, and of the recovery from a failure
over the number of replicas, in rings of 10 and of 100 nodes, a process each, on
this machine: what else it does shows in those.`,
		Example: `  torc chord figures -o docs/chord
  torc chord figures -o /tmp/figures --only paper`,
		Args:              exactly(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case dir == "":
				return usage(cmd, "-o is missing: the folder to write to")
			case only != "" && only != figuresOfPaper && only != figuresOfRequired:
				return usage(cmd, "--only %q: paper or required", only)
			}
			return runChordFigures(cmd.Context(), dir, only, func(line string) { fmt.Fprintln(cmd.ErrOrStderr(), line) })
		},
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().StringVarP(&dir, "output", "o", "", "the `folder` to write to")
	cmd.Flags().StringVar(&only, "only", "", "make those of the `paper` alone, or the required ones")
	completeFlag(cmd, "only", figuresOfPaper, figuresOfRequired)
	return cmd
}

// runChordFigures makes figures, and tells how far it is.
func runChordFigures(ctx context.Context, dir, only string, progress func(string)) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if only != figuresOfRequired {
		if err := figures.Paper(ctx, dir, progress); err != nil {
			return err
		}
	}
	if only == figuresOfPaper {
		return nil
	}
	torc, err := os.Executable()
	if err != nil {
		return err
	}
	nodes, err := figures.Programs(torc)
	if err != nil {
		return err
	}
	return errors.Join(figures.Required(ctx, dir, nodes, progress), nodes.Close())
}
