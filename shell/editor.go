package shell

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/peterh/liner"

	"github.com/torc-dht/torc"
)

// Editor is an Input on the terminal that is this process's standard input and
// output: a line can be edited, completed with TAB, and taken from the history
// of lines before. There may be one at a time.
type Editor struct {
	prompt  string
	liner   *liner.State
	history history
	members func(drained bool) []string
	typed   chan typed
	err     error // of the history, to be told once
}

// typed is what a person made of a prompt.
type typed struct {
	line string
	err  error
}

// EditorConfig is how an Editor works.
type EditorConfig struct {
	// Prompt is shown before each line. It holds no control characters.
	Prompt string
	// History is the file that keeps the lines; "" keeps none.
	History string
	// Table is asked for the members that a line is completed with.
	Table torc.Table
}

// NewEditor sets up the terminal. Close sets it back.
func NewEditor(cfg EditorConfig) *Editor {
	e := &Editor{
		prompt:  cfg.Prompt,
		liner:   liner.NewLiner(),
		history: history{path: cfg.History},
		members: func(drained bool) []string { return memberAddrs(cfg.Table, drained) },
		typed:   make(chan typed, 1),
	}
	e.liner.SetCtrlCAborts(true)
	e.liner.SetMultiLineMode(true)
	e.liner.SetTabCompletionStyle(liner.TabPrints)
	e.liner.SetBeep(false)
	var lines []string
	lines, e.err = e.history.load()
	for _, line := range lines {
		e.liner.AppendHistory(line)
	}
	return e
}

// Close sets the terminal back. If a context ended while a person was typing,
// one goroutine stays behind that waits for their next key.
func (e *Editor) Close() error { return e.liner.Close() }

// Line implements [Input].
func (e *Editor) Line(ctx context.Context) (string, error) {
	if e.err != nil {
		fmt.Fprintln(os.Stderr, e.err)
		e.err = nil
	}
	e.liner.SetWordCompleter(func(line string, pos int) (string, []string, string) {
		return complete(line, pos, e.members)
	})
	line, err := e.ask(ctx, e.prompt)
	if errors.Is(err, io.EOF) {
		fmt.Println() // what the terminal shows next begins a line
	}
	if err == nil && strings.Trim(line, blanks) != "" {
		e.liner.AppendHistory(line)
		e.err = e.history.add(line)
	}
	return line, err
}

// Ask implements [Input].
func (e *Editor) Ask(ctx context.Context, question string) (bool, error) {
	e.liner.SetWordCompleter(nil)
	// Where a prompt fills the terminal, lines are not edited, and Ctrl-C is no key.
	fmt.Println(question)
	for {
		answer, err := e.ask(ctx, "[y/N] ")
		if errors.Is(err, io.EOF) {
			fmt.Println()
			return false, nil
		}
		if err != nil {
			return false, err
		}
		switch strings.ToLower(strings.Trim(answer, blanks)) {
		case "y", "yes":
			return true, nil
		case "", "n", "no":
			return false, nil
		}
		fmt.Println("Write y or n.")
	}
}

// ask shows a prompt and waits for what a person makes of it, or for ctx.
func (e *Editor) ask(ctx context.Context, prompt string) (string, error) {
	shown := time.Now()
	go func() {
		line, err := e.liner.Prompt(prompt)
		if errors.Is(err, liner.ErrPromptAborted) {
			err = ErrInterrupted
		}
		e.typed <- typed{line, err}
	}()
	select {
	case t := <-e.typed:
		return t.line, t.err
	case <-ctx.Done():
		time.Sleep(time.Until(shown.Add(promptSetup)))
		fmt.Println()
		return "", fmt.Errorf("interrupted: %w", context.Cause(ctx))
	}
}

// promptSetup is time enough for liner to set up the terminal for a prompt, of
// which it gives no sign: if it did so after Close had set the terminal back, it
// would stay like that.
const promptSetup = 100 * time.Millisecond

// Place implements [Input]: a person knows what they typed.
func (*Editor) Place() (string, int) { return "", 0 }

// completeWithin bounds what a completion may ask a table: a person waits for it.
const completeWithin = time.Second

// memberAddrs returns the addresses of the table's members, or of those that are
// drained, as far as they are known in time.
func memberAddrs(t torc.Table, drained bool) (addrs []string) {
	ctx, cancel := context.WithTimeout(context.Background(), completeWithin)
	defer cancel()
	for v, err := range t.Members(ctx) {
		if err == nil {
			for _, m := range v.Members {
				if !drained || m.State == torc.Drained {
					addrs = append(addrs, m.Addr)
				}
			}
		}
		break
	}
	return addrs
}
