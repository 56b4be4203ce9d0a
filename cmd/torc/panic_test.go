package main

import "github.com/spf13/cobra"

// panicking is a program whose command crashes.
func panicking() *cobra.Command {
	var g globals
	cmd := &cobra.Command{
		Use: "torc-that-panics",
		Run: func(*cobra.Command, []string) { panic("planted") },
	}
	prepare(cmd, &g, "")
	return cmd
}
