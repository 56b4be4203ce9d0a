package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/chord"
	"github.com/torc-dht/torc/internal/jsonform"
	"github.com/torc-dht/torc/internal/terminal"
)

// chordLookupJSON is what chord lookup has to say with --json.
type chordLookupJSON struct {
	Time time.Time `json:"time"`
	jsonform.Key
	Hash    string         `json:"hash"`
	Owner   chord.NodeRef  `json:"owner"`
	Owns    chord.Span     `json:"owns"`
	Hops    []chordHopJSON `json:"hops"`
	Seconds float64        `json:"seconds"`
}

type chordHopJSON struct {
	chord.Hop
	Seconds float64 `json:"seconds"`
}

func newChordLookup(g *globals) *cobra.Command {
	var (
		f             chordFlags
		trace, asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "lookup KEY [NODE]",
		Short: "Find out where a key lies, and how",
		Long: `lookup has NODE, or else any node of this machine, look for who owns KEY. With
--trace it shows each node that was asked on the way, and for how long.

A KEY of digits only is a number, and lies at its value modulo 2^N; another one
lies at its sha-1.`,
		Example: `  torc chord lookup 291
  torc chord lookup --trace 291 136`,
		Args:              atMost(1, "KEY", "NODE"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(cmd); err != nil {
				return err
			}
			if err := torc.CheckKey(args[0]); err != nil {
				return usage(cmd, "%w", err)
			}
			found, err := f.lookup(cmd, g, args[0], args[1:])
			switch {
			case err != nil:
				return chordError(err)
			case asJSON:
				return jsonform.Print(cmd.OutOrStdout(), lookupJSON(found))
			}
			_, err = fmt.Fprint(cmd.OutOrStdout(), lookupText(found, trace, g.style(cmd)))
			return err
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&trace, "trace", false, "show each hop")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (f *chordFlags) lookup(cmd *cobra.Command, g *globals, key string, node []string) (chord.Lookup, error) {
	a, err := f.admin()
	if err != nil {
		return chord.Lookup{}, err
	}
	addr, err := f.anyNode(cmd, g, a, node)
	if err != nil {
		return chord.Lookup{}, err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), f.timeout)
	defer cancel()
	return a.Lookup(ctx, addr, key)
}

func lookupJSON(l chord.Lookup) chordLookupJSON {
	j := chordLookupJSON{
		Time: time.Now(), Key: jsonform.KeyOf(l.Key), Hash: l.Hash, Owner: l.Owner, Owns: l.Owns,
		Hops: []chordHopJSON{}, Seconds: l.Took.Seconds(),
	}
	for _, h := range l.Hops {
		j.Hops = append(j.Hops, chordHopJSON{h, h.Took.Seconds()})
	}
	return j
}

// lookupText is a lookup for a person.
func lookupText(l chord.Lookup, trace bool, style terminal.Style) string {
	text := fmt.Sprintf("key %s, hash %s: node %s at %s, which owns (%s, %s]\n", torc.QuoteKey(l.Key), l.Hash,
		style.Accent(l.Owner.ID), l.Owner.Addr, l.Owns.From, l.Owns.To)
	if !trace {
		return text
	}
	if len(l.Hops) == 0 {
		return text + "no other node had to be asked\n"
	}
	table := terminal.Table{Paint: func(row, column int, cell string) string {
		switch {
		case row == 0:
			return style.Bold(cell)
		case column == 3 && l.Hops[row-1].Silent:
			return style.Bad(cell)
		}
		return cell
	}}
	table.Add("HOP", "NODE", "ADDRESS", "ANSWER")
	asked := 0
	for i, h := range l.Hops {
		answer := "after " + terminal.Span(h.Took)
		if h.Silent {
			answer = "none, " + answer
		} else {
			asked++
		}
		table.Add(strconv.Itoa(i+1), h.ID, h.Addr, answer)
	}
	return text + table.String() + fmt.Sprintf("%s, in %s\n", plural(uint64(asked), "hop", "hops"), terminal.Span(l.Took))
}
