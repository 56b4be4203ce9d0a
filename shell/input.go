package shell

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Input is where a shell's lines come from. Its methods are called by one
// goroutine at a time.
type Input interface {
	// Line returns the next line, without its end; io.EOF when there is none, and
	// ErrInterrupted when a person gave up the line that they were typing. With
	// another error the shell ends.
	Line(ctx context.Context) (string, error)
	// Ask puts a question that is answered with yes or no. ErrNobody says that
	// there is nobody to answer, ErrInterrupted that they would not.
	Ask(ctx context.Context, question string) (yes bool, err error)
	// Place names the line that Line returned last: the input's name and a number
	// from 1. A person who has just typed it needs no name, which is "" then.
	Place() (name string, line int)
}

// Errors of an Input.
var (
	// ErrInterrupted: a person pressed Ctrl-C.
	ErrInterrupted = errors.New("interrupted")
	// ErrNobody: the lines come from no person.
	ErrNobody = errors.New("there is nobody to ask")
)

// MaxLineLen is the longest line of a Stream, in bytes: a value of 1 MiB, the
// most that a memcached takes by default, and room to double it.
const MaxLineLen = 2 << 20

// Stream is an Input that reads a pipe or a file.
type Stream struct {
	name  string
	lines <-chan streamLine
	stop  chan struct{}
	last  int
}

type streamLine struct {
	text string
	err  error
}

// NewStream returns an Input that reads r, which messages call name. Close it
// when done.
func NewStream(name string, r io.Reader) *Stream {
	lines := make(chan streamLine)
	s := &Stream{name: name, lines: lines, stop: make(chan struct{})}
	go func() {
		defer close(lines)
		in := bufio.NewScanner(r)
		in.Buffer(nil, MaxLineLen)
		put := func(l streamLine) bool {
			select {
			case lines <- l:
				return true
			case <-s.stop:
				return false
			}
		}
		for first := true; in.Scan(); first = false {
			text := in.Text()
			if first {
				text = strings.TrimPrefix(text, "\ufeff")
			}
			if !put(streamLine{text: text}) {
				return
			}
		}
		if err := in.Err(); err != nil {
			if errors.Is(err, bufio.ErrTooLong) {
				err = fmt.Errorf("the line has more than %d bytes", MaxLineLen)
			}
			put(streamLine{err: err})
		}
	}()
	return s
}

// Close lets go of the reader. If that is silent, one goroutine stays behind
// until its Read returns.
func (s *Stream) Close() { close(s.stop) }

// Line implements [Input].
func (s *Stream) Line(ctx context.Context) (string, error) {
	select {
	case l, ok := <-s.lines:
		if !ok {
			return "", io.EOF
		}
		s.last++
		if l.err != nil {
			return "", fmt.Errorf("%s:%d: %w", s.name, s.last, l.err)
		}
		return l.text, nil
	case <-ctx.Done():
		return "", fmt.Errorf("%s: interrupted: %w", s.name, context.Cause(ctx))
	}
}

// Ask implements [Input]: there is nobody.
func (*Stream) Ask(context.Context, string) (bool, error) { return false, ErrNobody }

// Place implements [Input].
func (s *Stream) Place() (string, int) { return s.name, s.last }
