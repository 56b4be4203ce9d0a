package script

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/torc-dht/torc"
)

// Runner runs commands against a table, one after the other.
type Runner struct {
	Table torc.Table
	// Name is what messages call the commands file.
	Name string
	// Stdout gets values and JSON objects, each command's before the next runs.
	Stdout io.Writer
	// Stderr gets one line for each failure, and what Verbose and Hint say.
	Stderr io.Writer
	// Verbose says on Stderr what each command did, at which member, and how
	// long it took.
	Verbose bool
	// JSON prints an object for each command on Stdout, in place of values.
	JSON bool
	// Hint is printed on Stderr, as a line, where a GET printed nothing because
	// there was no entry; "" prints nothing. It is meant for terminals.
	Hint string
	// Timeout bounds each command; 0 leaves that to the table.
	Timeout time.Duration
}

// Run runs s to its end, whatever fails on the way. Failed is how many commands
// failed; each has been reported on Stderr. The error says why the run ended
// early, and at which line: ctx is done, or Stdout can't be written. A SLEEP that
// ctx ends has not failed.
func (r *Runner) Run(ctx context.Context, s Script) (failed int, err error) {
	for _, line := range s {
		ok, err := r.step(ctx, line)
		if !ok {
			failed++
		}
		if err != nil {
			return failed, err
		}
	}
	return failed, nil
}

// RunStream runs each line of in as it comes. Wrong lines count as failed and
// are reported when they come. The error is as Run's, or one of reading in.
//
// If ctx is done while in is silent, RunStream returns at once, and one goroutine
// stays behind until in's Read returns.
func (r *Runner) RunStream(ctx context.Context, in io.Reader) (failed int, err error) {
	type input struct {
		number int
		text   string
		err    error
	}
	lines := make(chan input)
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		reader := newLineReader(in)
		for {
			text, err := reader.next()
			select {
			case lines <- input{reader.number, text, err}:
			case <-stop:
				return
			}
			if err != nil && err != errLineTooLong {
				return
			}
		}
	}()
	for {
		var l input
		select {
		case l = <-lines:
		case <-ctx.Done():
			return failed, fmt.Errorf("%s: interrupted: %w", r.Name, context.Cause(ctx))
		}
		if l.err == io.EOF {
			return failed, nil
		}
		if l.err != nil && l.err != errLineTooLong {
			return failed, fmt.Errorf("%s: %w", r.Name, l.err)
		}
		c, err := Command{}, l.err
		if err == nil {
			c, err = ParseLine(l.text)
		}
		line := Line{Number: l.number, Command: c}
		var ok bool
		if err != nil {
			ok, err = r.report(line, result{outcome: failedOutcome, err: err})
		} else {
			ok, err = r.step(ctx, line)
		}
		if !ok {
			failed++
		}
		if err != nil {
			return failed, err
		}
	}
}

// step runs one command and reports it, unless ctx is done.
func (r *Runner) step(ctx context.Context, line Line) (ok bool, err error) {
	interrupted := func() error {
		return fmt.Errorf("%s:%d: interrupted: %w", r.Name, line.Number, context.Cause(ctx))
	}
	if ctx.Err() != nil {
		return true, interrupted()
	}
	if line.Op == Nothing {
		return true, nil
	}
	start := time.Now()
	res := r.do(ctx, line.Command)
	res.took = time.Since(start)
	if line.Op == Sleep && res.err != nil {
		return true, interrupted()
	}
	if r.Verbose || r.JSON {
		res.owner = r.owner(ctx, line.Command, res.err)
	}
	return r.report(line, res)
}

// outcome is what became of a command, in the words of the JSON form.
type outcome string

const (
	doneOutcome    outcome = "done"
	missingOutcome outcome = "missing"
	unknownOutcome outcome = "unknown"
	failedOutcome  outcome = "failed"
)

// result is what became of one command.
type result struct {
	outcome outcome
	entry   torc.Entry // of a Get that is done
	err     error      // why it is not done
	owner   string
	took    time.Duration
}

func (r *Runner) do(ctx context.Context, c Command) (res result) {
	if r.Timeout > 0 && c.Op != Sleep {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.Timeout)
		defer cancel()
	}
	switch c.Op {
	case Get:
		res.entry, res.err = r.Table.Get(ctx, c.Key)
	case Put:
		res.err = r.Table.Put(ctx, c.Key, []byte(c.Value))
	case Delete:
		res.err = r.Table.Delete(ctx, c.Key)
	case Sleep:
		res.err = sleep(ctx, c.Sleep)
	}
	switch {
	case res.err == nil:
		res.outcome = doneOutcome
	case errors.Is(res.err, torc.ErrUnknownOutcome):
		res.outcome = unknownOutcome
	case errors.Is(res.err, torc.ErrNotFound) && (c.Op == Get || !errors.Is(res.err, torc.ErrUnavailable)):
		res.outcome = missingOutcome
	default:
		res.outcome = failedOutcome
	}
	return res
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// owner is who c's key was held by, as far as can be told without much ado.
func (r *Runner) owner(ctx context.Context, c Command, err error) string {
	var e *torc.Error
	if errors.As(err, &e) && e.Member != "" {
		return e.Member
	}
	if c.Key == "" {
		return ""
	}
	if p, err := r.Table.Locate(ctx, c.Key); err == nil && len(p.Owners) > 0 {
		return p.Owners[0].Addr
	}
	return ""
}

// report prints what line came to. The error is one of writing to Stdout.
func (r *Runner) report(line Line, res result) (ok bool, err error) {
	ok = res.outcome == doneOutcome || res.outcome == missingOutcome
	out := bufio.NewWriter(r.Stdout)
	switch {
	case r.JSON:
		err = writeJSON(out, line, res)
	case line.Op == Get && res.outcome == doneOutcome:
		_, _ = out.Write(res.entry.Value) // Flush has the error
		_ = out.WriteByte('\n')
	}
	if err = errors.Join(err, out.Flush()); err != nil {
		return ok, fmt.Errorf("%s:%d: writing what it prints: %w", r.Name, line.Number, err)
	}
	if !ok || r.Verbose {
		_, _ = fmt.Fprintf(r.Stderr, "%s:%d: %s\n", r.Name, line.Number, r.say(line.Command, res, ok))
	}
	if r.Hint != "" && !r.JSON && line.Op == Get && res.outcome == missingOutcome {
		_, _ = fmt.Fprintln(r.Stderr, r.Hint)
	}
	return ok, nil
}
