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
			return moved.tell(cmd.OutOrStdout(), time.Since(start), asJSON)
		},
	}
	cmd.Flags().SortFlags = false
	jsonFlag(cmd, &asJSON)
	addMasterFlags(cmd, &master)
	return cmd
}

// watchMoves shows with a bar what moves, until a table is settled.
func watchMoves(ctx context.Context, admin *shard.Admin, stderr io.Writer, style terminal.Style) (*moved, error) {
	bar := terminal.NewProgress(stderr, style, "rebalance")
	defer bar.End()
	total := newMoved()
	for st, err := range admin.Status(ctx, statusEvery) {
		if err != nil {
			return total, err
		}
		if st.Settled {
			return total, nil
		}
		total.note(st.Moves)
		bar.Show(total.step(st))
	}
	return total, fmt.Errorf("the master tells no more: %w", context.Cause(ctx))
}

// moved adds up what was seen of moves: each pair of servers counts on its own,
// and a pair that is gone has had all it should.
type moved struct{ pairs map[pair]shard.Move }

type pair struct{ from, to string }

func newMoved() *moved { return &moved{pairs: make(map[pair]shard.Move)} }

func (m *moved) note(moves []shard.Move) {
	for key, move := range m.pairs {
		move.Left = 0
		m.pairs[key] = move
	}
	for _, move := range moves {
		m.pairs[pair{move.From, move.To}] = move
	}
}

func (m *moved) sum() (sum shard.Move) {
	for _, move := range m.pairs {
		sum.Slots += move.Slots
		sum.Left += move.Left
		sum.Keys += move.Keys
		sum.Bytes += move.Bytes
		sum.Rate += move.Rate
	}
	return sum
}

func (m *moved) step(st shard.Status) terminal.Step {
	sum := m.sum()
	s := terminal.Step{
		Done: uint64(sum.Slots - sum.Left), Total: uint64(sum.Slots), Unit: "slots", Bytes: sum.Bytes,
		Note: plural(sum.Keys, "key", "keys"),
	}
	if len(st.Moves) == 0 {
		s.Note = "slots change hands"
	}
	return s
}

// tell says what was moved.
func (m *moved) tell(out io.Writer, took time.Duration, asJSON bool) error {
	sum := m.sum()
	if asJSON {
		return jsonform.Print(out, shardRebalanceJSON{time.Now(), sum.Slots, sum.Keys, sum.Bytes, took.Seconds()})
	}
	_, err := fmt.Fprintf(out, "everything is where it shall be: %s moved, with %s and %s, in %s\n",
		plural(uint64(sum.Slots), "slot", "slots"), plural(sum.Keys, "key", "keys"), terminal.Bytes(sum.Bytes), terminal.Span(took))
	return err
}
