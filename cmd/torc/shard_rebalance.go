package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/torc-dht/torc/internal/jsonform"
	"github.com/torc-dht/torc/internal/terminal"
	"github.com/torc-dht/torc/shard"
)

// shardRebalanceJSON is what shard rebalance has to say with --json.
type shardRebalanceJSON struct {
	Time    time.Time `json:"time"`
	Slots   int       `json:"slots"`
	Keys    uint64    `json:"keys"`
	Bytes   uint64    `json:"bytes"`
	Seconds float64   `json:"seconds"`
}

func newShardRebalance(g *globals) *cobra.Command {
	var (
		master masterFlags
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "rebalance",
		Short: "Spread a sharded table's keys evenly, and wait until it is done",
		Long: `rebalance has the master spread the slots anew over the servers that are there,
and shows how far it is until everything is where it shall be. Servers that come
and go are seen to without it. Interrupted, the moves go on all the same.`,
		Example: `  torc shard rebalance
  torc shard rebalance --master 127.0.0.1:1025 --json`,
		Args:              exactly(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			admin, err := master.admin(cmd, g)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), g.timeout)
			defer cancel()
			start := time.Now()
			if err := admin.Rebalance(ctx); err != nil {
				return err
			}
			style := terminal.StyleFor(cmd.ErrOrStderr(), g.plain)
			moved, err := watchMoves(cmd.Context(), admin, cmd.ErrOrStderr(), style)
			if err != nil {
				return err
			}
			return tellMoved(cmd.OutOrStdout(), moved, time.Since(start), asJSON)
		},
	}
	cmd.Flags().SortFlags = false
	jsonFlag(cmd, &asJSON)
	addMasterFlags(cmd, &master)
	return cmd
}

// watchMoves shows with a bar what moves, until a table is settled.
func watchMoves(ctx context.Context, admin *shard.Admin, stderr io.Writer, style terminal.Style) (*shard.Moved, error) {
	bar := terminal.NewProgress(stderr, style, "rebalance")
	defer bar.End()
	total := new(shard.Moved)
	for st, err := range admin.Status(ctx, statusEvery) {
		if err != nil {
			return total, err
		}
		total.Note(st.Moves)
		if st.Settled {
			return total, nil
		}
		bar.Show(moveStep(total, st))
	}
	return total, fmt.Errorf("the master tells no more: %w", context.Cause(ctx))
}

// moveStep is how far moves are, for a bar.
func moveStep(moved *shard.Moved, st shard.Status) terminal.Step {
	sum := moved.Sum()
	s := terminal.Step{
		Done: uint64(sum.Slots - sum.Left), Total: uint64(sum.Slots), Unit: "slots", Bytes: sum.Bytes,
		Note: plural(sum.Keys, "key", "keys"),
	}
	if len(st.Moves) == 0 {
		s.Note = "slots change hands"
	}
	return s
}

// tellMoved says what was moved.
func tellMoved(out io.Writer, moved *shard.Moved, took time.Duration, asJSON bool) error {
	sum := moved.Sum()
	if asJSON {
		return jsonform.Print(out, shardRebalanceJSON{time.Now(), sum.Slots, sum.Keys, sum.Bytes, took.Seconds()})
	}
	_, err := fmt.Fprintf(out, "everything is where it shall be: %s moved, with %s and %s, in %s\n",
		plural(uint64(sum.Slots), "slot", "slots"), plural(sum.Keys, "key", "keys"), terminal.Bytes(sum.Bytes), terminal.Span(took))
	return err
}
