package main

import (
	"strings"

	"github.com/spf13/cobra"
)

// usageTemplate is cobra's, without the lines that say what the others say.
const usageTemplate = `Usage:
  {{if .HasAvailableSubCommands}}{{.CommandPath}} COMMAND [flags]{{else}}{{.UseLine}}{{end}}
{{- if .HasExample}}

Examples:
{{.Example}}{{end}}
{{- if .HasAvailableSubCommands}}{{$commands := .Commands}}
{{- range $group := .Groups}}

{{.Title}}
{{- range $commands}}{{if (and (eq .GroupID $group.ID) .IsAvailableCommand)}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}

{{if .Groups}}Other commands:{{else}}Commands:{{end}}
{{- range $commands}}{{if (and (eq .GroupID "") (or .IsAvailableCommand (eq .Name "help")))}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}
{{- if .HasAvailableLocalFlags}}

Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}
{{- if .HasAvailableInheritedFlags}}

Flags of every command:
{{.InheritedFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}
{{- if .HasAvailableSubCommands}}

Help on a command: {{.CommandPath}} COMMAND --help{{if not .HasParent}}
Variables that stand for flags: torc help environment
What --json prints: torc help json{{end}}{{end}}
`

// newHelp is the command help. Unlike cobra's own it fails when it has no help.
func newHelp(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]",
		Short:   "Explain a command, or a topic: environment, json",
		Example: "  torc help put\n  torc help environment",
		ValidArgsFunction: func(_ *cobra.Command, args []string, toComplete string) (names []string, _ cobra.ShellCompDirective) {
			if at, _, err := root.Find(args); err == nil {
				for _, c := range at.Commands() {
					if strings.HasPrefix(c.Name(), toComplete) && !c.Hidden {
						names = append(names, c.Name())
					}
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return usage(cmd, "there is no command %q%s", strings.Join(args, " "), didYouMean(root.SuggestionsFor(args[0])))
			}
			about.InitDefaultHelpFlag()
			return about.Help()
		},
	}
}
