package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/torc-dht/torc/internal/terminal"
	"github.com/torc-dht/torc/script"
)

func newRun(g *globals) *cobra.Command {
	var asJSON, verbose bool
	cmd := &cobra.Command{
		Use:   "run [flags] FILE",
		Short: "Run a commands file",
		Long: `run runs the commands in FILE one after the other; - is standard input, where
each line runs as it comes.

  GET key               prints the value and a newline, or nothing at all
  PUT key, value        the first comma ends the key
  DELETE key
  SLEEP milliseconds

Blank lines and lines that begin with # are skipped. A line that is no command
is found before anything runs. What fails is one line on standard error, and the
rest still runs; the exit code is 1 then, else 0.`,
		Example: `  torc run examples/commands.txt
  printf 'PUT greeting, hello\nGET greeting\n' | torc run -`,
		Args: exactly("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runFile(cmd, g, args[0], verbose, asJSON)
		},
	}
	flagsFirst(cmd)
	cmd.Flags().BoolVar(&verbose, "verbose", false, "say on standard error what each command did, where, and how long it took")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// newFleetClient is the program fleet-client: run on the memcached fleet.
func newFleetClient() *cobra.Command {
	var g globals
	cmd := newRun(&g)
	cmd.Use = "fleet-client [flags] FILE"
	cmd.Example = `  fleet-client examples/commands.txt
  fleet-client --table zk://zk1:2181,zk2:2181/torc examples/commands.txt`
	prepare(cmd, &g, defaultFleet)
	return cmd
}

func runFile(cmd *cobra.Command, g *globals, file string, verbose, asJSON bool) error {
	name, stream := file, file == "-"
	var commands script.Script
	if stream {
		name = "standard input"
	} else {
		f, err := os.Open(file)
		if err != nil {
			return fmt.Errorf("the commands file: %w", err)
		}
		defer f.Close()
		commands, err = script.Parse(name, f)
		var wrong *script.LineError
		if errors.As(err, &wrong) {
			// A person goes through them one by one, each with its place.
			fmt.Fprintln(cmd.ErrOrStderr(), err)
			return fmt.Errorf("nothing of %s was run: mend the lines above", file)
		}
		if err != nil {
			return err
		}
	}
	t, err := g.open(cmd.Context())
	if err != nil {
		return &finalError{err: err}
	}
	defer t.Close()
	r := &script.Runner{
		Table: t, Name: name,
		Stdout: cmd.OutOrStdout(), Stderr: cmd.ErrOrStderr(),
		Verbose: verbose, JSON: asJSON, Timeout: g.timeout,
	}
	if terminal.Is(cmd.OutOrStdout()) {
		r.Hint = terminal.StyleFor(cmd.ErrOrStderr(), g.plain).Dim("(no value)")
	}
	var failed int
	if stream {
		failed, err = r.RunStream(cmd.Context(), cmd.InOrStdin())
	} else {
		failed, err = r.Run(cmd.Context(), commands)
	}
	switch {
	case err != nil:
		return &finalError{err: err}
	case failed > 0:
		return &saidError{errors.New("some commands failed")}
	}
	return nil
}
