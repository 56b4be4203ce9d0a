package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/terminal"
)

// defaultFleet is the table of the programs that the memcached fleet's
// requirement names; torc itself has none.
const defaultFleet = "zk://127.0.0.1:2181/torc"

// globals are the flags that every command of a program takes.
type globals struct {
	table   string
	timeout time.Duration
	plain   bool
}

const (
	groupKeys    = "keys"
	groupMembers = "members"
	groupServers = "servers"
)

func newTorc() *cobra.Command {
	var g globals
	root := &cobra.Command{
		Use:   "torc",
		Short: "A hash table that many machines hold together",
		Long: `torc stores values under keys on many machines, and goes on working while
machines come and go. Try it without anything installed: torc demo

Exit codes: 0 done, 2 no such key, 1 anything else.`,
		Example: `  torc demo
  torc --table memcached://127.0.0.1:11211,127.0.0.1:11212 put greeting hello
  TORC_TABLE=zk://127.0.0.1:2181/torc torc get greeting`,
		Args: commandsOnly,
		RunE: showUsage,
	}
	prepare(root, &g, "")
	root.AddGroup(
		&cobra.Group{ID: groupKeys, Title: "Keys and values:"},
		&cobra.Group{ID: groupMembers, Title: "Members:"},
		&cobra.Group{ID: groupServers, Title: "Servers:"},
	)
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add(groupKeys, newGet(&g), newPut(&g), newDelete(&g), newRun(&g), newShell(&g))
	add(groupMembers, newLocate(&g), newMembers(&g), newWatch(&g), newChord(&g), newFleet(&g), newReplica(&g), newShard(&g))
	add(groupServers, newServe(&g), newDemo(&g))
	add("", newVersion(), newCompletion(),
		newTopic("environment", "The variables that stand for flags", func() string { return environmentText(root) }),
		newTopic("json", "What the objects that --json prints hold", jsonText))
	root.SetHelpCommand(newHelp(root))
	return root
}

// prepare gives the root of a program that works on a table what all of those
// have: the global flags, their variables, and errors of one line.
func prepare(root *cobra.Command, g *globals, table string) {
	flags := root.PersistentFlags()
	flags.SortFlags = false
	flags.StringVar(&g.table, "table", table, "the table, by its `URL`")
	flags.DurationVar(&g.timeout, "timeout", 10*time.Second, "how long to wait for the table, and for one operation on it")
	prepareBare(root, g)
	bind := root.PersistentPreRunE
	root.PersistentPreRunE = func(cmd *cobra.Command, args []string) error {
		if err := bind(cmd, args); err != nil {
			return err
		}
		if g.timeout <= 0 {
			return usage(cmd, "--timeout %v: give a time above 0", g.timeout)
		}
		return nil
	}
}

// prepareBare gives the root of a program what those have, too, that work on no
// table.
func prepareBare(root *cobra.Command, g *globals) {
	root.SilenceErrors = true
	root.SilenceUsage = true
	flags := root.PersistentFlags()
	flags.SortFlags = false
	flags.BoolVar(&g.plain, "no-color", false, "no colour and no bars, on a terminal either")
	root.SetFlagErrorFunc(flagError)
	root.SetUsageTemplate(usageTemplate)
	root.CompletionOptions.DisableDefaultCmd = true
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error { return bindEnvironment(cmd) }
}

// commandsOnly is the check of a command whose arguments are subcommands: what
// comes here is none.
func commandsOnly(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	cmd.SuggestionsMinimumDistance = 2
	return usage(cmd, "there is no command %q%s", args[0], didYouMean(cmd.SuggestionsFor(args[0])))
}

// showUsage is what a command does that was called with nothing but has
// subcommands. It fails: a script that calls it so has lost a word.
func showUsage(cmd *cobra.Command, _ []string) error {
	cmd.SetOut(cmd.ErrOrStderr())
	if err := cmd.Help(); err != nil {
		return err
	}
	return &saidError{errors.New("no command")}
}

// url returns the table's URL, or an error that says how to name one.
func (g *globals) url() (string, error) {
	if g.table == "" {
		return "", errors.New("no table: name one with --table URL or TORC_TABLE (memcached://127.0.0.1:11211, zk://127.0.0.1:2181/torc), or see one at work with: torc demo")
	}
	return g.table, nil
}

// open opens the table that the flags or the environment name. The timeout
// bounds the opening.
func (g *globals) open(ctx context.Context) (torc.Table, error) {
	url, err := g.url()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, g.timeout)
	defer cancel()
	return torc.Open(ctx, url)
}

// with opens the table, calls do with it under a context that the timeout
// bounds, and closes the table.
func (g *globals) with(cmd *cobra.Command, do func(context.Context, torc.Table) error) error {
	t, err := g.open(cmd.Context())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), g.timeout)
	defer cancel()
	return errors.Join(do(ctx, t), t.Close())
}

func (g *globals) style(cmd *cobra.Command) terminal.Style {
	return terminal.StyleFor(cmd.OutOrStdout(), g.plain)
}

// usageError is the error of a command that was called wrongly.
type usageError struct {
	err error
	see string // the command whose help explains it
}

func (e *usageError) Error() string { return e.err.Error() + "; see: " + e.see + " --help" }
func (e *usageError) Unwrap() error { return e.err }

// usage returns a [usageError].
func usage(cmd *cobra.Command, format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...), cmd.CommandPath()}
}

// exactly is the check of a command that takes just the named arguments, behind
// its flags.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch n := len(names); {
		case len(args) == n-1:
			return usage(cmd, "%s is missing", names[n-1])
		case len(args) < n:
			return usage(cmd, "%s are missing", strings.Join(names[len(args):], " and "))
		case n == 0 && len(args) > 0:
			return usage(cmd, "%q is too much: %s takes no arguments", args[0], cmd.Name())
		case len(args) > n && strings.HasPrefix(args[n], "-"):
			return usage(cmd, "%q is too much behind %s: flags go before %s", args[n], names[n-1], names[0])
		case len(args) > n:
			return usage(cmd, "%q is too much: %s takes %s alone (quote what holds blanks)", args[n], cmd.Name(), strings.Join(names, " and "))
		}
		return nil
	}
}

// flagError makes an error of the flags one line that names the nearest flag
// there is.
func flagError(cmd *cobra.Command, err error) error {
	var invalid *pflag.InvalidValueError
	if errors.As(err, &invalid) {
		return usage(cmd, "--%s %q: %s", invalid.GetFlag().Name, invalid.GetValue(), howToWrite(invalid))
	}
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return usage(cmd, "%w", err)
	}
	name := unknown.GetSpecifiedName()
	if short := unknown.GetSpecifiedShortnames(); short != "" {
		return usage(cmd, "there is no flag -%s (a key or value that begins with a hyphen goes behind --)", name)
	}
	// cobra measures likeness among commands only, so the flags pose as some.
	flags := &cobra.Command{SuggestionsMinimumDistance: 2}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		flags.AddCommand(&cobra.Command{Use: "--" + f.Name, Run: func(*cobra.Command, []string) {}})
	})
	return usage(cmd, "there is no flag --%s%s", name, didYouMean(flags.SuggestionsFor("--"+name)))
}

// howToWrite says what the flag takes whose value was refused: in words for a
// person where the flag's type is Go's, and otherwise in those of the type.
func howToWrite(err *pflag.InvalidValueError) string {
	switch err.GetFlag().Value.Type() {
	case "duration":
		return "write a time, as 500ms or 1h30m"
	case "bool":
		return "write true or false"
	case "int", "uint32":
		return "write a whole number"
	}
	return err.Unwrap().Error()
}

func didYouMean(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return ": did you mean " + strings.Join(names, " or ") + "?"
}

// flagsFirst ends a command's flags at its first positional argument, so that
// keys and values behind it may begin with a hyphen.
func flagsFirst(cmd *cobra.Command) { cmd.Flags().SetInterspersed(false) }

// exclusive fails if more than one of the flags is in force.
func exclusive(cmd *cobra.Command, names ...string) error {
	var given []string
	for _, name := range names {
		if f := cmd.Flags().Lookup(name); f.Value.String() != f.DefValue {
			given = append(given, "--"+name)
		}
	}
	if len(given) < 2 {
		return nil
	}
	return usage(cmd, "%s exclude each other: give one", strings.Join(given, " and "))
}
