package shell

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/internal/terminal"
)

// Shell runs lines over a table, one after the other.
type Shell struct {
	Table torc.Table
	Input Input
	// Stdout gets what commands have to say, each command's before the next runs.
	Stdout io.Writer
	// Stderr gets one line for each command that is not done, and bars.
	Stderr io.Writer
	// Plain leaves out colour and bars on a terminal too.
	Plain bool
	// JSON prints one object for each command on Stdout, in place of text.
	JSON bool
	// Timeout bounds each operation on the table that takes a moment; 0 leaves
	// that to the table. What takes long (fill, keys, rebalance) it does not
	// bound.
	Timeout time.Duration
	// Interrupts end the command that runs, and nothing else; nil is none.
	Interrupts <-chan os.Signal
}

// Tally is what became of a shell's commands.
type Tally struct {
	// Failed counts those that failed, and lines that were no command.
	Failed int
	// Missing counts those that did not find their key.
	Missing int
}

// Run runs every line until there are no more, or one says quit. What a command
// that is not done has to say for itself is on Stderr by then. The error is why
// Run ended early: ctx is done, Input failed, or Stdout can't be written.
func (s *Shell) Run(ctx context.Context) (t Tally, err error) {
	for {
		if ctx.Err() != nil {
			return t, fmt.Errorf("%w: %w", ErrInterrupted, context.Cause(ctx))
		}
		line, err := s.Input.Line(ctx)
		switch {
		case err == io.EOF:
			return t, nil
		case errors.Is(err, ErrInterrupted):
			continue
		case err != nil:
			return t, err
		}
		c, err := s.step(ctx, line)
		if err != nil {
			return t, err
		}
		switch c.outcome {
		case failedOutcome, unknownOutcome:
			t.Failed++
		case missingOutcome:
			t.Missing++
		}
		if c.quit {
			return t, nil
		}
	}
}

// outcome is what became of a command, in the words of the JSON form.
type outcome string

const (
	nothingOutcome outcome = "" // of a line without a command
	doneOutcome    outcome = "done"
	missingOutcome outcome = "missing"
	unknownOutcome outcome = "unknown"
	failedOutcome  outcome = "failed"
)

// call is one command under way.
type call struct {
	*Shell
	name   string
	life   context.Context // the shell's, which Ctrl-C does not end
	out    *bufio.Writer
	result any  // what --json shows of it, a struct; nil is nothing
	begun  bool // its JSON object is begun already
	quit   bool

	outcome outcome
	err     error
	took    time.Duration
}

// step runs one line and reports what came of it. The error is one of writing
// to Stdout.
func (s *Shell) step(ctx context.Context, line string) (*call, error) {
	c := &call{Shell: s, life: ctx, out: bufio.NewWriter(s.Stdout)}
	words, err := Split(line)
	if err == nil && len(words) == 0 {
		return c, nil
	}
	start := time.Now()
	if err == nil {
		c.name = strings.ToLower(words[0])
		ctx, stop := s.interruptible(ctx)
		err = c.run(ctx, words[1:])
		if ctx.Err() != nil && err != nil {
			err = interrupted(err)
		}
		stop()
	}
	c.took, c.err = time.Since(start), err
	switch {
	case err == nil:
		c.outcome = doneOutcome
	case errors.Is(err, torc.ErrUnknownOutcome):
		c.outcome = unknownOutcome
	case errors.Is(err, torc.ErrNotFound):
		c.outcome = missingOutcome
	default:
		c.outcome = failedOutcome
	}
	return c, c.report()
}

// interruptible returns a context that also ends, for the cause ErrInterrupted,
// with the next of s.Interrupts.
func (s *Shell) interruptible(ctx context.Context) (_ context.Context, stop func()) {
	for waiting := true; waiting; { // those from before are over
		select {
		case <-s.Interrupts:
		default:
			waiting = false
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-s.Interrupts:
			cancel(ErrInterrupted)
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		cancel(nil)
		<-ended
	}
}

// partial is an error that says what was done before it happened.
type partial struct {
	done string
	err  error
}

func (p *partial) Error() string { return p.done + ": " + reason(p.err) }
func (p *partial) Unwrap() error { return p.err }

// interrupted is what an interrupted command says: that, and what of its error
// is worth knowing all the same.
func interrupted(err error) error {
	var p *partial
	switch {
	case errors.As(err, &p):
		return fmt.Errorf("%w: %s", ErrInterrupted, p.done)
	case errors.Is(err, torc.ErrUnknownOutcome):
		return fmt.Errorf("%w: %w", ErrInterrupted, torc.ErrUnknownOutcome)
	}
	return ErrInterrupted
}

// report prints what became of c. The error is one of writing to Stdout.
func (c *call) report() error {
	if c.JSON {
		c.writeJSON()
	}
	place, number := c.Input.Place()
	if err := c.out.Flush(); err != nil {
		if place != "" {
			return fmt.Errorf("%s:%d: writing what it prints: %w", place, number, err)
		}
		return fmt.Errorf("writing what it prints: %w", err)
	}
	style := c.errStyle()
	switch {
	case c.outcome == doneOutcome:
	case place != "":
		_, _ = fmt.Fprintf(c.Stderr, "%s:%d: %s\n", place, number, reason(c.err))
	case c.outcome == missingOutcome && !errors.Is(c.err, torc.ErrUnavailable):
		_, _ = fmt.Fprintln(c.Stderr, style.Dim("(no such key)"))
	default:
		_, _ = fmt.Fprintln(c.Stderr, style.Bad(reason(c.err)))
	}
	return nil
}

// reason is err's text in one line, without the name of the library.
func reason(err error) string {
	return strings.ReplaceAll(strings.TrimPrefix(err.Error(), "torc: "), "\n", "; ")
}

// print prints text for a person, which is nothing with JSON.
func (c *call) print(text string) {
	if !c.JSON {
		c.write(text)
	}
}

// write writes to what Stdout gets next. If that fails, so does its Flush.
func (c *call) write(text string) { _, _ = c.out.WriteString(text) }

// note tells a person at a terminal what a script would not want to read.
func (c *call) note(text string) {
	if place, _ := c.Input.Place(); place == "" && !c.JSON {
		_, _ = fmt.Fprintln(c.Stderr, c.errStyle().Dim(text))
	}
}

func (c *call) style() terminal.Style    { return terminal.StyleFor(c.Stdout, c.Plain) }
func (c *call) errStyle() terminal.Style { return terminal.StyleFor(c.Stderr, c.Plain) }

// progress returns what shows how far c is, if anybody is to see it.
func (c *call) progress(job string) *terminal.Progress {
	if c.JSON {
		return terminal.NewProgress(io.Discard, terminal.Style{}, job)
	}
	return terminal.NewProgress(c.Stderr, c.errStyle(), job)
}

// ask puts a question. Ctrl-C is an answer to it, so it does not end with the
// command.
func (c *call) ask(question string) (yes bool, err error) { return c.Input.Ask(c.life, question) }

// moment bounds an operation that takes a moment.
func (c *call) moment(ctx context.Context) (context.Context, context.CancelFunc) {
	if c.Timeout > 0 {
		return context.WithTimeout(ctx, c.Timeout)
	}
	return context.WithCancel(ctx)
}

// view returns the present view.
func (c *call) view(ctx context.Context) (torc.View, error) {
	ctx, cancel := c.moment(ctx)
	defer cancel()
	for v, err := range c.Table.Members(ctx) {
		return v, err
	}
	return torc.View{}, fmt.Errorf("%w: no view of the members: %w", torc.ErrUnavailable, context.Cause(ctx))
}
