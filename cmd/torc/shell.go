package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"

	"github.com/spf13/cobra"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/fleet"
	"github.com/torc-dht/torc/internal/terminal"
	"github.com/torc-dht/torc/internal/textform"
	"github.com/torc-dht/torc/ring"
	"github.com/torc-dht/torc/shell"
)

// shellHelp is what torc shell and dht-shell have to say of themselves alike.
var shellHelp = `Its commands:

` + indented(shell.Help()) + `
On a terminal lines are edited, completed with TAB, and kept in
torc/shell_history in $XDG_STATE_HOME or ~/.local/state. Ctrl-C ends a command,
Ctrl-D the shell.

From a pipe or a file each line runs as it comes and nothing is asked. Standard
output gets data alone; what is not done is one line on standard error, with
its line number, and the rest still runs. Exit codes then: 1 if anything
failed, else 2 if a key was not there, else 0.`

func newShell(g *globals) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "shell",
		Short: "Put, get, look, add and remove members, by hand",
		Long: `shell runs commands as they are typed, on any kind of table. What a kind can't
do, it says.

` + shellHelp,
		Example: `  torc shell
  echo 'get greeting' | torc shell
  echo stats | torc shell --json`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			t, err := g.open(cmd.Context())
			if err != nil {
				return &finalError{err}
			}
			return runShell(cmd, g, t, "torc> ", asJSON)
		},
	}
	cmd.ValidArgsFunction = cobra.NoFileCompletions
	jsonFlag(cmd, &asJSON)
	return cmd
}

// newDHTShell is the program dht-shell: the shell on a ring of memcached
// servers that this process alone decides on.
func newDHTShell() *cobra.Command {
	var g globals
	var asJSON bool
	var factor, copies, vnodes int
	cmd := &cobra.Command{
		Use:   "dht-shell [flags] [HOST:PORT ...]",
		Short: "A shell on a ring of memcached servers",
		Long: `dht-shell holds a hash ring with the memcached servers at the addresses: each
has virtual nodes on it, at murmur3 hashes of its name, and a key is kept by the
first servers that follow its own hash. Servers come and go by add and remove,
and the entries follow. Without an address the ring is empty at first.

` + shellHelp,
		Example: `  dht-shell 127.0.0.1:11211 127.0.0.1:11212 127.0.0.1:11213
  dht-shell --factor 2
  echo 'get greeting' | dht-shell 127.0.0.1:11211`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := ringConfig(cmd, factor, copies, vnodes)
			if err != nil {
				return err
			}
			t, err := openRing(cmd.Context(), &g, cfg, args)
			if err != nil {
				return &finalError{err}
			}
			return runShell(cmd, &g, t, "dht> ", asJSON)
		},
	}
	cmd.ValidArgsFunction = cobra.NoFileCompletions
	prepare(cmd, &g, "")
	// It has its own table, which neither a flag nor TORC_TABLE names.
	if err := cmd.PersistentFlags().MarkHidden("table"); err != nil {
		panic(err)
	}
	f := cmd.Flags()
	f.IntVar(&factor, "factor", 3, "the replication factor `R`: R copies, and 40 x R virtual nodes a server")
	f.IntVar(&copies, "copies", 0, "the `number` of copies, apart from the factor")
	f.IntVar(&vnodes, "vnodes", 0, "the `number` of virtual nodes a server, apart from the factor")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// ringConfig is the placement of dht-shell's ring.
func ringConfig(cmd *cobra.Command, factor, copies, vnodes int) (fleet.Config, error) {
	if cmd.Flags().Changed("table") {
		return fleet.Config{}, usage(cmd, "--table: dht-shell takes the addresses of memcached servers; torc shell takes a table")
	}
	if factor < 1 || factor > fleet.MaxCopies {
		return fleet.Config{}, usage(cmd, "--factor %d: from 1 to %d", factor, fleet.MaxCopies)
	}
	if copies == 0 && !cmd.Flags().Changed("copies") {
		copies = factor
	}
	if vnodes == 0 && !cmd.Flags().Changed("vnodes") {
		vnodes = ring.DefaultVNodes * factor
	}
	if copies < 1 || copies > fleet.MaxCopies {
		return fleet.Config{}, usage(cmd, "--copies %d: from 1 to %d", copies, fleet.MaxCopies)
	}
	if vnodes < 1 || vnodes > fleet.MaxVNodes {
		return fleet.Config{}, usage(cmd, "--vnodes %d: from 1 to %d", vnodes, fleet.MaxVNodes)
	}
	return fleet.Config{Hash: ring.Murmur3, VNodes: vnodes, Copies: copies}, nil
}

func openRing(ctx context.Context, g *globals, cfg fleet.Config, addrs []string) (torc.Table, error) {
	servers := make([]fleet.Server, len(addrs))
	for i, addr := range addrs {
		servers[i] = fleet.Server{Addr: addr}
	}
	list, err := fleet.NewList(fleet.ListConfig{Config: cfg}, servers)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, g.timeout)
	defer cancel()
	t, err := fleet.New(ctx, list, fleet.Options{Config: cfg})
	if err != nil {
		return nil, err
	}
	return t, nil
}

// runShell runs a shell over t, and closes t.
func runShell(cmd *cobra.Command, g *globals, t torc.Table, prompt string, asJSON bool) (err error) {
	defer func() { err = errors.Join(err, t.Close()) }()
	out, stderr := cmd.OutOrStdout(), cmd.ErrOrStderr()
	s := &shell.Shell{Table: t, Stdout: out, Stderr: stderr, Plain: g.plain, JSON: asJSON, Timeout: g.timeout}
	if !terminal.Is(os.Stdin) || !terminal.Is(out) {
		in := shell.NewStream("standard input", cmd.InOrStdin())
		defer in.Close()
		s.Input = in
		tally, err := s.Run(cmd.Context())
		switch {
		case err != nil:
			return &finalError{err}
		case tally.Failed > 0:
			return &saidError{errors.New("some commands failed")}
		case tally.Missing > 0:
			return &saidError{torc.ErrNotFound}
		}
		return nil
	}

	// SIGINT, which ends a program elsewhere, is a key of the person here.
	signal.Reset(os.Interrupt)
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	defer signal.Stop(interrupts)
	s.Interrupts = interrupts

	if !asJSON {
		fmt.Fprint(stderr, welcome(cmd.Context(), t, terminal.StyleFor(stderr, g.plain)))
	}
	editor := shell.NewEditor(shell.EditorConfig{Prompt: prompt, History: shell.HistoryFile(os.Getenv), Table: t})
	defer func() { err = errors.Join(err, editor.Close()) }()
	s.Input = editor
	_, err = s.Run(cmd.Context())
	return err
}

// welcome says who is there, and how to go on.
func welcome(ctx context.Context, t torc.Table, style terminal.Style) string {
	const more = "; help lists the commands\n"
	v, err := viewNow(ctx, t)
	if err != nil {
		return style.Warn("the nodes are not known: "+err.Error()) + more
	}
	if len(v.Members) == 0 {
		return "an empty ring: add a node first, with add HOST:PORT" + more
	}
	text, up := "", 0
	for _, m := range v.Members {
		if m.State == torc.Up {
			up++
		} else {
			text += style.Warn(m.Addr+" "+textform.Standing(m)) + "\n"
		}
	}
	return fmt.Sprintf("%d of %d nodes up%s", up, len(v.Members), more) + text
}

// indented indents each line, as help shows lists.
func indented(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n  ") + "\n"
}
