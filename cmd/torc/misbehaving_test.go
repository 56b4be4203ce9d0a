package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

// panicking is a program that crashes.
func panicking() *cobra.Command {
	return misbehaving("torc-that-panics", func(*cobra.Command) { panic("planted") })
}

// lingering is a program that doesn't end when it is told to.
func lingering() *cobra.Command {
	return misbehaving("torc-that-lingers", func(cmd *cobra.Command) {
		fmt.Fprintln(cmd.ErrOrStderr(), "running")
		<-cmd.Context().Done()
		fmt.Fprintln(cmd.ErrOrStderr(), "was told to end")
		<-make(chan struct{})
	})
}

func misbehaving(name string, run func(*cobra.Command)) *cobra.Command {
	var g globals
	cmd := &cobra.Command{Use: name, Run: func(cmd *cobra.Command, _ []string) { run(cmd) }}
	prepare(cmd, &g, "")
	return cmd
}
