package shell

import (
	"context"
	"strings"

	"github.com/spf13/pflag"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/terminal"
)

func helpCommand() command {
	return command{
		name: "help", args: "[COMMAND]",
		short:    "list the commands, or explain one",
		complete: completeCommands,
		prepare: func(*pflag.FlagSet) action {
			return func(_ context.Context, c *call, args []string) error {
				if len(args) == 0 {
					c.print(overview(c.style()) + "More of one: help COMMAND. What holds blanks goes in quotes. Ctrl-C ends a command.\n")
					return nil
				}
				d, ok := findCommand(args[0])
				if !ok {
					return usageErrorf("there is no command %s%s", torc.QuoteKey(args[0]), didYouMean(args[0], commandNames()))
				}
				c.print(helpText(d))
				return nil
			}
		},
	}
}

var quitCommand = command{
	name:  "quit",
	short: "end the shell, as Ctrl-D does",
	prepare: func(*pflag.FlagSet) action {
		return func(_ context.Context, c *call, _ []string) error {
			c.quit = true
			return nil
		}
	},
}

// overview is a line for each command.
func overview(style terminal.Style) string {
	table := terminal.Table{Paint: func(_, column int, cell string) string {
		if column == 0 {
			return style.Bold(cell)
		}
		return cell
	}}
	for _, d := range commands() {
		table.Add(strings.TrimSpace(d.name+" "+d.args), d.short)
	}
	return table.String()
}

// helpText is all there is to say of one command.
func helpText(d command) string {
	text := d.usage() + "\n  " + d.short + "\n"
	if d.long != "" {
		text += "\n" + d.long
	}
	if flags := d.flags(); flags.HasAvailableFlags() {
		text += "\n" + flags.FlagUsages()
	}
	return text
}

// Help is a line for each command of the shell, for a reference.
func Help() string { return overview(terminal.Style{}) }
