package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/crash"
)

// The exit codes of every program and subcommand.
const (
	exitDone      = 0
	exitFailed    = 1 // anything that is neither of the others, wrong usage and crashes too
	exitNoSuchKey = 2
)

func main() {
	crash.NeverTwo()
	os.Exit(execute(program(os.Args[0]), os.Args[1:]))
}

// execute runs a program with its arguments and returns its exit code. The
// first SIGINT or SIGTERM ends the context that commands see, a second one the
// process.
func execute(root *cobra.Command, args []string) (code int) {
	defer crash.Guard()
	ctx, stop := untilSignal()
	defer stop()
	root.SetArgs(args)
	out := &output{file: os.Stdout}
	root.SetOut(out)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		err = out.lost()
	} else if wrong := (*usageError)(nil); len(args) == 0 && !root.HasSubCommands() && errors.As(err, &wrong) {
		fmt.Fprintln(root.ErrOrStderr(), root.UsageString()) // nobody who knew it would call it so
	}
	if err != nil {
		if ctx.Err() != nil && !errors.Is(err, torc.ErrUnknownOutcome) {
			err = errors.New("interrupted") // which explains whatever came of it
		}
		if cmd.Annotations[errorsOnStdout] != "" {
			complain(out, "ERROR", err)
		} else {
			complain(root.ErrOrStderr(), root.Name(), err)
		}
	}
	return exitCode(err)
}

// untilSignal returns a context that ends with the first SIGINT or SIGTERM, by
// when these have their usual meaning again: unlike with signal.NotifyContext,
// no second one is lost. Stop lets go of the signals.
func untilSignal() (_ context.Context, stop func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer crash.Guard()
		select {
		case <-signals:
		case <-ctx.Done():
		}
		signal.Stop(signals)
		cancel()
	}()
	return ctx, cancel
}

func exitCode(err error) int {
	var final *finalError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &final):
		return exitFailed
	case errors.Is(err, torc.ErrNotFound):
		return exitNoSuchKey
	}
	return exitFailed
}

// finalError is a failure whatever it wraps: no missing key, though one may be
// the cause.
type finalError struct{ err error }

func (e *finalError) Error() string { return e.err.Error() }
func (e *finalError) Unwrap() error { return e.err }

// saidError is an error whose lines are on standard error already.
type saidError struct{ err error }

func (e *saidError) Error() string { return e.err.Error() }
func (e *saidError) Unwrap() error { return e.err }

// errorsOnStdout is the annotation of a command whose errors are part of what it
// prints on standard output, since a requirement has it so: ERROR: message.
const errorsOnStdout = "torc_errors_on_stdout"

// complain prints err as one line that begins with name.
func complain(w io.Writer, name string, err error) {
	var said *saidError
	if errors.As(err, &said) {
		return
	}
	fmt.Fprintf(w, "%s: %s\n", name, oneLine(err))
}

// oneLine is err's text in one line, without the name of the library.
func oneLine(err error) string {
	text := strings.TrimPrefix(err.Error(), "torc: ")
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}

// programs are the names that the binary acts by, besides torc itself, which is
// also what an unknown name means.
var programs = map[string]func() *cobra.Command{
	"add":          newAdd,
	"clt":          newClt,
	"dht-shell":    newDHTShell,
	"fail":         newFail,
	"fleet-client": newFleetClient,
	"get":          newGetOf,
	"kv":           newKV,
	"kv-server":    newKVServer,
	"master-svr":   newMasterSvr,
	"node":         newNode,
	"remove":       newRemove,
	"svr":          newSvr,
	"update":       newUpdate,
	"watchdog":     newWatchdogProgram,
}

// program returns the command tree that goes by the name in arg0.
func program(arg0 string) *cobra.Command {
	if build := programs[filepath.Base(arg0)]; build != nil {
		return build()
	}
	return newTorc()
}
