package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/torc-dht/torc"
)

// command is one of the shell's commands.
type command struct {
	name string
	// args are its arguments as help shows them, apart by blanks: in brackets
	// those that may be left out, with dots those that may be several.
	args  string
	short string
	long  string // what else there is to say, in whole lines
	// flagsFirst ends the flags at the first argument, so that keys and values
	// behind it may begin with a hyphen.
	flagsFirst bool
	// arrange, if not nil, makes the arguments those that args names.
	arrange func([]string) []string
	// complete says what its arguments are completed with.
	complete completion
	// prepare declares the command's flags and returns what it does.
	prepare func(*pflag.FlagSet) action
}

// action does what a command is for, after its flags were read. It prints by c,
// and sets c.result.
type action func(ctx context.Context, c *call, args []string) error

type completion uint8

const (
	completeNothing completion = iota
	completeMembers
	completeDrained // members that are drained
	completeCommands
)

// commands are in the order of help.
func commands() []command {
	return []command{
		putCommand, getCommand, deleteCommand, keysCommand, fillCommand,
		locateCommand, nodesCommand, statsCommand,
		addCommand, removeCommand, rebalanceCommand,
		helpCommand(), quitCommand,
	}
}

func findCommand(name string) (command, bool) {
	all := commands()
	i := slices.IndexFunc(all, func(c command) bool { return c.name == name })
	if i < 0 {
		return command{}, false
	}
	return all[i], true
}

// usage is how the command is written.
func (d command) usage() string {
	words := []string{d.name}
	if flags := d.flags(); flags.HasAvailableFlags() && d.flagsFirst {
		words = append(words, "[FLAGS]")
	}
	if d.args != "" {
		words = append(words, d.args)
	}
	if flags := d.flags(); flags.HasAvailableFlags() && !d.flagsFirst {
		words = append(words, "[FLAGS]")
	}
	return strings.Join(words, " ")
}

func (d command) flagSet() *pflag.FlagSet {
	flags := pflag.NewFlagSet(d.name, pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.SetInterspersed(!d.flagsFirst)
	flags.SortFlags = false
	return flags
}

// flags are the command's flags, to be looked at.
func (d command) flags() *pflag.FlagSet {
	flags := d.flagSet()
	d.prepare(flags)
	return flags
}

// run runs c's command with the words behind its name.
func (c *call) run(ctx context.Context, words []string) error {
	d, ok := findCommand(c.name)
	if !ok {
		name := c.name
		c.name = ""
		return fmt.Errorf("there is no command %s%s; help lists them", torc.QuoteKey(name), didYouMean(name, commandNames()))
	}
	flags := d.flagSet()
	do := d.prepare(flags)
	if err := flags.Parse(words); err != nil {
		if errors.Is(err, pflag.ErrHelp) {
			c.print(helpText(d))
			return nil
		}
		return d.wrong(flagError(flags, err))
	}
	args := flags.Args()
	if d.arrange != nil {
		args = d.arrange(args)
	}
	if err := d.checkArgs(args); err != nil {
		return d.wrong(err)
	}
	err := do(ctx, c, args)
	var use usageError
	if errors.As(err, &use) {
		return d.wrong(err)
	}
	return err
}

// usageError is an error of how a command was written.
type usageError struct{ error }

func usageErrorf(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// wrong says what is wrong with how a command was written, and what is right.
func (d command) wrong(err error) error {
	return fmt.Errorf("%w; write: %s", err, d.usage())
}

// checkArgs says whether there are as many arguments as the command takes.
func (d command) checkArgs(args []string) error {
	names := strings.Fields(d.args)
	least, most := 0, len(names)
	for _, name := range names {
		if name[0] != '[' {
			least++
		}
		if strings.Contains(name, "...") {
			most = len(args)
		}
	}
	switch {
	case len(args) < least:
		return fmt.Errorf("%s is missing", strings.TrimRight(names[len(args)], "."))
	case len(args) > most && most == 0:
		return fmt.Errorf("%s is too much: %s takes no arguments", torc.QuoteKey(args[0]), d.name)
	case len(args) > most && strings.HasPrefix(args[most], "-"):
		return fmt.Errorf("%s is too much: flags go before %s", torc.QuoteKey(args[most]), names[0])
	case len(args) > most:
		return fmt.Errorf("%s is too much: put quotes around what holds blanks", torc.QuoteKey(args[most]))
	}
	return nil
}

// flagError says in a few words what is wrong with a command's flags.
func flagError(flags *pflag.FlagSet, err error) error {
	var invalid *pflag.InvalidValueError
	if errors.As(err, &invalid) {
		how := invalid.Unwrap().Error()
		switch invalid.GetFlag().Value.Type() {
		case "duration":
			how = "write a time, as 90s or 1h30m"
		case "int", "uint32":
			how = "write a whole number"
		}
		return fmt.Errorf("--%s %s: %s", invalid.GetFlag().Name, torc.QuoteKey(invalid.GetValue()), how)
	}
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return err
	}
	name := unknown.GetSpecifiedName()
	if short := unknown.GetSpecifiedShortnames(); short != "" {
		return fmt.Errorf("there is no flag -%s (what begins with a hyphen and is none goes behind --)", short)
	}
	var names []string
	flags.VisitAll(func(f *pflag.Flag) { names = append(names, "--"+f.Name) })
	return fmt.Errorf("there is no flag --%s%s", name, didYouMean("--"+name, names))
}

func commandNames() []string {
	var names []string
	for _, d := range commands() {
		names = append(names, d.name)
	}
	return names
}

// didYouMean names those of names that are the likest to what was written.
func didYouMean(written string, names []string) string {
	const far = 3
	var likely []string
	nearest := far
	for _, name := range names {
		switch d := distance(written, name); {
		case d < nearest:
			nearest, likely = d, []string{name}
		case d == nearest && d < far:
			likely = append(likely, name)
		}
	}
	if len(likely) == 0 {
		return ""
	}
	return ": did you mean " + strings.Join(likely, " or ") + "?"
}

// distance counts the letters to add, drop or change to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
