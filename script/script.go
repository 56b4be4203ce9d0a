package script

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Script is a commands file that has no wrong line: its commands in order.
type Script []Line

// Line is a command and where it stands.
type Line struct {
	Number int // from 1
	Command
}

// LineError is what is wrong with one line.
type LineError struct {
	Name   string // of the file
	Number int
	Err    error
}

func (e *LineError) Error() string {
	return fmt.Sprintf("%s:%d: %s", e.Name, e.Number, oneLine(e.Err))
}

// Unwrap returns e.Err.
func (e *LineError) Unwrap() error { return e.Err }

// maxLineErrors is how many wrong lines Parse tells of: a file that is something
// else altogether would bury its first line, which says so best.
const maxLineErrors = 20

// Parse reads a whole commands file. Name is what its errors call it. If lines
// are wrong, the error joins a [LineError] for each of the first 20, and its
// text has one line for each. The file is held in memory as long as the Script.
func Parse(name string, r io.Reader) (Script, error) {
	var s Script
	var errs []error
	in := newLineReader(r)
	for {
		line, err := in.next()
		if err == io.EOF {
			return s, errors.Join(errs...)
		}
		if err != nil && err != errLineTooLong {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		var c Command
		if err == nil {
			c, err = ParseLine(line)
		}
		switch {
		case err != nil && len(errs) == maxLineErrors:
			return nil, errors.Join(append(errs, fmt.Errorf("%s: and more: only the first %d wrong lines are listed", name, maxLineErrors))...)
		case err != nil:
			s = nil
			errs = append(errs, &LineError{Name: name, Number: in.number, Err: err})
		case c.Op != Nothing && errs == nil:
			s = append(s, Line{Number: in.number, Command: c})
		}
	}
}

// lineReader splits its input into lines of bounded length.
type lineReader struct {
	r      *bufio.Reader
	number int // of the line that next returned
}

func newLineReader(r io.Reader) *lineReader {
	return &lineReader{r: bufio.NewReaderSize(r, 64<<10)}
}

// next returns the next line. After errLineTooLong there may be more to read,
// after io.EOF or another error there is nothing.
func (l *lineReader) next() (string, error) {
	var line []byte
	tooLong := false
	for {
		part, err := l.r.ReadSlice('\n')
		if len(line)+len(part) > MaxLineLen+len("\r\n") {
			line, tooLong = nil, true
		} else if !tooLong {
			line = append(line, part...)
		}
		if err == bufio.ErrBufferFull {
			continue
		}
		if err == io.EOF && (len(line) > 0 || tooLong) {
			err = nil
		}
		if err != nil {
			return "", err
		}
		break
	}
	l.number++
	if tooLong {
		return "", errLineTooLong
	}
	text := string(line)
	if l.number == 1 {
		if strings.HasPrefix(text, "\xff\xfe") || strings.HasPrefix(text, "\xfe\xff") {
			return "", errors.New("the file is UTF-16: save it as UTF-8")
		}
		text = strings.TrimPrefix(text, "\ufeff")
	}
	return text, nil
}

// oneLine is err's text on one line.
func oneLine(err error) string {
	return strings.ReplaceAll(err.Error(), "\n", "; ")
}
