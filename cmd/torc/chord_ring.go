package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/torc-dht/torc/chord"
	"github.com/torc-dht/torc/internal/jsonform"
	"github.com/torc-dht/torc/internal/ringpicture"
)

// chordRingJSON is what chord ring has to say with --json.
type chordRingJSON struct {
	Time time.Time `json:"time"`
	chord.Ring
}

func newChordRing(g *globals) *cobra.Command {
	var (
		f            chordFlags
		svg, fingers string
		asJSON       bool
	)
	cmd := &cobra.Command{
		Use:   "ring [NODE]",
		Short: "Draw a ring: its nodes, what they own, who is missing",
		Long: `ring asks every node of a ring how it is, beginning with NODE, or else with any
node of this machine. It lists them with what each owns, as (FROM, TO], how many
keys that are, where the copies are, and who follows; then those that don't
answer, and by whom they are suspected. On a terminal it draws the circle, too,
with the number of keys behind each node.

--svg draws the circle into a file, with the fingers of NODE or of the one that
--fingers names: finger k is the first node at or after its place + 2^k.`,
		Example: `  torc chord ring
  torc chord ring 35 --svg ring.svg
  torc chord ring --svg ring.svg --fingers 136
  torc chord ring --json | jq '.nodes[] | {id, keys}'`,
		Args:              atMost(0, "NODE"),
		ValidArgsFunction: completeNode(&f),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(cmd); err != nil {
				return err
			}
			r, asked, err := f.survey(cmd, g, args)
			if err != nil {
				return chordError(err)
			}
			if svg != "" {
				if fingers == "" {
					fingers = asked.ID
				}
				picture, err := ringpicture.SVG(r, fingers)
				if err != nil {
					return err
				}
				if err := writeWhole(svg, string(picture)); err != nil {
					return fmt.Errorf("--svg: %w", err)
				}
				return nil
			}
			if asJSON {
				return jsonform.Print(cmd.OutOrStdout(), chordRingJSON{time.Now(), r})
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), ringpicture.Text(r, g.style(cmd)))
			return err
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&svg, "svg", "", "draw into this `file`, and print nothing")
	cmd.Flags().StringVar(&fingers, "fingers", "", "the `node` whose fingers --svg draws")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// survey asks all nodes. It returns who was asked first, too.
func (f *chordFlags) survey(cmd *cobra.Command, g *globals, args []string) (r chord.Ring, asked chord.Info, err error) {
	a, err := f.admin()
	if err != nil {
		return r, asked, err
	}
	addr, err := f.anyNode(cmd, g, a, args)
	if err != nil {
		return r, asked, err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), f.timeout)
	defer cancel()
	if asked, err = a.Info(ctx, addr); err != nil {
		return r, asked, err
	}
	r, err = a.Ring(ctx, addr)
	return r, asked, err
}
