package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/torc-dht/torc/chord"
	"github.com/torc-dht/torc/internal/jsonform"
	"github.com/torc-dht/torc/internal/terminal"
)

// chordStatusJSON is what chord status has to say with --json.
type chordStatusJSON struct {
	Time time.Time `json:"time"`
	chord.Status
}

func newChordStatus(g *globals) *cobra.Command {
	var (
		f      chordFlags
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "status [NODE]",
		Short: "Show what one node of a ring knows, owns and holds",
		Long: `status asks NODE, or else any node of this machine, how it is: who is before and
after it, its fingers, what it owns and who has copies of that, what it has
copies of, whom it suspects, and what it has done since it started.`,
		Example: `  torc chord status 35
  torc chord status 35@10.0.0.7:7100 --json`,
		Args:              atMost(0, "NODE"),
		ValidArgsFunction: completeNode(&f),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(cmd); err != nil {
				return err
			}
			st, err := f.status(cmd, g, args)
			switch {
			case err != nil:
				return chordError(err)
			case asJSON:
				return jsonform.Print(cmd.OutOrStdout(), chordStatusJSON{time.Now(), st})
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), chordStatusText(st, g.style(cmd)))
			return err
		},
	}
	f.add(cmd)
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (f *chordFlags) status(cmd *cobra.Command, g *globals, args []string) (chord.Status, error) {
	a, err := f.admin()
	if err != nil {
		return chord.Status{}, err
	}
	addr, err := f.anyNode(cmd, g, a, args)
	if err != nil {
		return chord.Status{}, err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), f.timeout)
	defer cancel()
	return a.Status(ctx, addr)
}

// chordStatusText is a node's status for a person.
func chordStatusText(st chord.Status, style terminal.Style) string {
	table := terminal.Table{Paint: func(_, column int, cell string) string {
		if column == 0 {
			return style.Bold(cell)
		}
		return cell
	}}
	table.Add("node", st.String()+", "+standingText(st))
	table.Add("ring", fmt.Sprintf("%s, 2^%d places, %s", st.Ring, st.Bits, plural(uint64(st.Replicas), "replica", "replicas")))
	predecessor := "not known"
	if st.Predecessor != nil {
		predecessor = st.Predecessor.String()
	}
	table.Add("predecessor", predecessor)
	table.Add("successors", refsText(st.Successors))
	owns := "nothing"
	if st.Owns != nil {
		owns = fmt.Sprintf("(%s, %s], term %d: %s", st.Owns.From, st.Owns.To, st.Term, plural(st.Keys, "key", "keys"))
	}
	table.Add("owns", owns)
	table.Add("copies at", holdersText(st))
	table.Add("backs up", backsText(st.Backs))
	holds := fmt.Sprintf("%s, %s", plural(st.Held, "key", "keys"), terminal.Bytes(st.Bytes))
	if st.Limit > 0 {
		holds += " of " + terminal.Bytes(st.Limit)
	}
	table.Add("holds", holds)
	table.Add("fingers", fingersText(st))
	table.Add("suspects", refsText(st.Suspects))
	table.Add("lost", refsText(st.Lost))
	table.Add("so far", fmt.Sprintf("%s, %s, %d taken over empty, %s overwritten by later ones when rings met",
		plural(st.TakeOvers, "take-over", "take-overs"), plural(st.HandOffs, "hand-off", "hand-offs"), st.TakenEmpty, plural(st.Overwritten, "entry", "entries")))
	return table.String()
}

func standingText(st chord.Status) string {
	switch {
	case !st.Joined:
		return "joining"
	case !st.Serving:
		return "not serving"
	}
	return "up"
}

func refsText(refs []chord.NodeRef) string {
	var names []string
	for _, ref := range refs {
		names = append(names, ref.String())
	}
	return orNone(names)
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, " ")
}

func holdersText(st chord.Status) string {
	var names []string
	for _, h := range st.Holders {
		if name := h.String(); h.Complete {
			names = append(names, name)
		} else {
			names = append(names, name+" (filling)")
		}
	}
	text := orNone(names)
	if !st.Whole {
		text += ", more to come"
	}
	return text
}

func backsText(all []chord.Backed) string {
	var names []string
	for _, b := range all {
		name := fmt.Sprintf("(%s, %s] of %s", b.From, b.To, b.Owner.ID)
		if !b.Complete {
			name += " (filling)"
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, ", ")
}

// fingersText lists each node that is a finger with the k for which it is.
func fingersText(st chord.Status) string {
	var names []string
	for i, f := range st.Fingers {
		last := st.Bits - 1
		if i+1 < len(st.Fingers) {
			last = st.Fingers[i+1].K - 1
		}
		k := fmt.Sprintf("%d", f.K)
		if last > f.K {
			k = fmt.Sprintf("%d-%d", f.K, last)
		}
		names = append(names, k+": "+f.Node.ID)
	}
	if len(names) == 0 {
		return "none known"
	}
	return fmt.Sprintf("%d, of which differ %d: ", st.Bits, len(names)) + strings.Join(names, ", ")
}
