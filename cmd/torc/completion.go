package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func newCompletion() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "completion SHELL",
		Short: "Print a script that completes commands, flags and members in a shell",
		Long: `completion prints the script that makes SHELL complete torc's commands and
flags, and members' addresses where a command takes one. SHELL is bash, zsh or
fish.`,
		Example: `  source <(torc completion bash)
  torc completion zsh > "${fpath[1]}/_torc"
  torc completion fish > ~/.config/fish/completions/torc.fish`,
		ValidArgs: []string{"bash", "zsh", "fish"},
		Args:      exactly("SHELL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			root, out := cmd.Root(), cmd.OutOrStdout()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(out, true)
			case "zsh":
				return root.GenZshCompletion(out)
			case "fish":
				return root.GenFishCompletion(out, true)
			}
			return usage(cmd, "%q is not a shell that there is a script for: bash, zsh, fish", args[0])
		},
	}
	return cmd
}

// completeWithin bounds what a completion may ask a table: a person waits for it
// at a prompt.
const completeWithin = time.Second

// completeMember completes the address of a member, as a command's one argument.
func completeMember(g *globals) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, toComplete string) (addrs []string, _ cobra.ShellCompDirective) {
		const directive = cobra.ShellCompDirectiveNoFileComp
		if len(args) > 0 || bindEnvironment(cmd) != nil || g.table == "" {
			return nil, directive
		}
		g.timeout = min(g.timeout, completeWithin)
		ctx, cancel := context.WithTimeout(context.Background(), completeWithin)
		defer cancel()
		t, err := g.open(ctx)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		defer t.Close()
		v, err := viewNow(ctx, t)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		for _, m := range v.Members {
			if strings.HasPrefix(m.Addr, toComplete) {
				addrs = append(addrs, m.Addr+"\t"+m.State.String())
			}
		}
		return addrs, directive
	}
}
