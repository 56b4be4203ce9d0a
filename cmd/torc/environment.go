package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/torc-dht/torc/internal/terminal"
)

// variable returns the environment variable of a flag.
func variable(flag string) string {
	return "TORC_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// insteadOf is the annotation of a flag with the names of those that say the same
// another way: the variable of the one is no answer to the other, given.
const insteadOf = "torc_instead_of"

// bindEnvironment sets each flag of cmd that was not given from its variable,
// if that is set and not empty.
func bindEnvironment(cmd *cobra.Command) (err error) {
	given := make(map[string]bool)
	cmd.Flags().Visit(func(f *pflag.Flag) { given[f.Name] = true })
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		value := os.Getenv(variable(f.Name))
		if f.Changed || value == "" || err != nil || !hasVariable(f) ||
			slices.ContainsFunc(f.Annotations[insteadOf], func(other string) bool { return given[other] }) {
			return
		}
		e := cmd.Flags().Set(f.Name, value)
		var invalid *pflag.InvalidValueError
		switch {
		case errors.As(e, &invalid):
			err = fmt.Errorf("%s=%s in the environment: %s", variable(f.Name), value, howToWrite(invalid))
		case e != nil:
			err = fmt.Errorf("%s=%s in the environment: %w", variable(f.Name), value, e)
		}
	})
	return err
}

// noVariable is the annotation of a flag that has none, since another command has
// a flag of that name and another type.
const noVariable = "torc_no_variable"

func hasVariable(f *pflag.Flag) bool {
	return f.Name != "help" && !f.Hidden && f.Annotations[noVariable] == nil
}

// newTopic returns a help topic. Its text is written when it is asked for, so
// that it may tell of all commands.
func newTopic(name, short string, text func() string) *cobra.Command {
	topic := &cobra.Command{Use: name, Short: short}
	topic.SetHelpFunc(func(cmd *cobra.Command, _ []string) {
		fmt.Fprint(cmd.OutOrStdout(), text())
	})
	return topic
}

// environmentText is the help topic environment: the variables of root's
// commands.
func environmentText(root *cobra.Command) string {
	type row struct{ usage, commands string }
	rows := make(map[string]row)
	note := func(f *pflag.Flag, command string) {
		if !hasVariable(f) {
			return
		}
		_, usage := pflag.UnquoteUsage(f)
		usage, _, _ = strings.Cut(usage, ": ") // the details differ from command to command
		r, seen := rows[f.Name]
		if seen {
			r.commands += ", " + command
		} else {
			r = row{usage, command}
		}
		rows[f.Name] = r
	}
	root.PersistentFlags().VisitAll(func(f *pflag.Flag) { note(f, "all") })
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			if sub.Name() == "completion" || !sub.IsAvailableCommand() {
				continue
			}
			sub.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
				note(f, strings.TrimPrefix(sub.CommandPath(), root.Name()+" "))
			})
			walk(sub)
		}
	}
	walk(root)

	var names []string
	for name := range rows {
		names = append(names, name)
	}
	slices.Sort(names)
	var table terminal.Table
	table.Add("VARIABLE", "FLAG", "MEANING", "COMMANDS")
	for _, name := range names {
		table.Add(variable(name), "--"+name, rows[name].usage, rows[name].commands)
	}
	return `Each flag has a variable, which holds where the flag is not given. An empty
variable is none; a flag that is a switch takes 1 or 0, true or false. Only --value
of replica client has none.

` + table.String() + `
NO_COLOR, if not empty, and TERM=dumb do what --no-color does. TORC_RUN is the
folder in which the nodes of rings on this machine are found by their identifiers,
in place of torc-UID in /tmp.
`
}
