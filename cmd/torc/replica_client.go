package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/replica"
)

type replicaClientFlags struct {
	hostsFlags
	value   bool
	timeout time.Duration
}

// newKV is the program kv: torc replica client.
func newKV() *cobra.Command {
	var g globals
	return asReplicaProgram(newReplicaClient(&g), &g, "kv [flags] KEY [VALUE] | KEY=VALUE", `  kv -h 192.168.2.2:8081,192.168.2.3:8081 foo bar
  kv -h 192.168.2.2:8081 foo=bar
  kv --value foo`)
}

func newReplicaClient(g *globals) *cobra.Command {
	var f replicaClientFlags
	cmd := &cobra.Command{
		Use:   "client [flags] KEY [VALUE] | KEY=VALUE",
		Short: "Read or set one key of a replica table",
		Long: `It prints KEY=VALUE on standard output: the value that is there or, where one is
given, the one that was there before it was set; NIL stands for none. It prints
the value alone, or NULL, with --value.

It asks one of the servers, and another when that one is gone or silent; a value
is set once all the same. Without -h the servers are those of servers.txt, or of
server.txt, in the current folder.

What fails is told on standard output, too: ERROR: message. Exit codes: 0 done;
2 reading found no such key (which tells that from a value NIL); 1 anything else.`,
		Example: `  torc replica client -h 127.0.0.1:8081,127.0.0.1:8082 foo bar
  torc replica client -h 127.0.0.1:8081 foo=bar
  torc replica client --value foo`,
		Annotations:       map[string]string{errorsOnStdout: "true"},
		Args:              keyAndValue,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE:              func(cmd *cobra.Command, args []string) error { return runReplicaClient(cmd, g, f, args) },
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	f.add(cmd, "h")
	flags.Bool("help", false, "this text")
	flags.BoolVar(&f.value, "value", false, "print the value alone, or NULL")
	flags.Lookup("value").Annotations = map[string][]string{noVariable: {"true"}}
	flags.DurationVar(&f.timeout, "timeout", 10*time.Second, "how long to go on trying")
	flagsFirst(cmd)
	return cmd
}

// keyAndValue is the check of a command that takes KEY, KEY VALUE or KEY=VALUE.
func keyAndValue(cmd *cobra.Command, args []string) error {
	switch late := lateFlag(cmd, args); {
	case len(args) == 0:
		return usage(cmd, "KEY is missing")
	case late != "":
		return usage(cmd, "%s is behind the key: flags go before it; a key and value that look like flags go behind --", late)
	case len(args) > 2:
		return usage(cmd, "%q is too much behind the value: quote what holds blanks", args[2])
	case len(args) == 2 && strings.Contains(args[0], "="):
		return usage(cmd, "%q and %q: is the value behind the = or behind the blank? write KEY=VALUE as one word, in quotes where it holds blanks", args[0], args[1])
	}
	return nil
}

// lateFlag returns what of args is a flag's name behind the key; "" if nothing is, or
// if -- says that none of them is one. To store it as a value would be no favour.
func lateFlag(cmd *cobra.Command, args []string) string {
	if cmd.ArgsLenAtDash() >= 0 || len(args) == 0 {
		return ""
	}
	for _, arg := range args[1:] {
		long, isLong := strings.CutPrefix(arg, "--")
		long, _, _ = strings.Cut(long, "=")
		short, isShort := strings.CutPrefix(arg, "-")
		if isLong && cmd.Flags().Lookup(long) != nil || isShort && len(short) == 1 && cmd.Flags().ShorthandLookup(short) != nil {
			return arg
		}
	}
	return ""
}

func runReplicaClient(cmd *cobra.Command, g *globals, f replicaClientFlags, args []string) error {
	if f.timeout <= 0 {
		return usage(cmd, "--timeout %v: give a time above 0", f.timeout)
	}
	hosts, config, err := f.reach(cmd, g)
	if err != nil {
		return err
	}
	key, value, set := strings.Cut(args[0], "=")
	if len(args) == 2 {
		value, set = args[1], true
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), f.timeout)
	defer cancel()
	once := &replica.Once{Hosts: hosts, TLS: config}
	var reply replica.Reply
	if set {
		reply, err = once.Swap(ctx, key, []byte(value))
	} else {
		reply, err = once.Get(ctx, key)
	}
	if err != nil {
		return err
	}
	text := reply.String()
	if f.value {
		if text = "NULL"; reply.Found {
			text = string(reply.Value)
		}
	}
	fmt.Fprintln(cmd.OutOrStdout(), text)
	if !set && !reply.Found {
		return &saidError{torc.ErrNotFound}
	}
	return nil
}
