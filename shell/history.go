package shell

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

// historyLines is how many lines of history a shell remembers. The file may
// hold twice as many before the older ones go.
const historyLines = 1000

// HistoryFile returns where the history of shells is kept, by the environment
// that getenv reads: in torc's folder of $XDG_STATE_HOME or, without that, of
// ~/.local/state. Without a home there is none: "".
func HistoryFile(getenv func(string) string) string {
	state := getenv("XDG_STATE_HOME")
	if !filepath.IsAbs(state) { // as its specification has it
		home := getenv("HOME")
		if !filepath.IsAbs(home) {
			return ""
		}
		state = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(state, "torc", "shell_history")
}

// history is a file of lines, the oldest first, that several shells add to at
// the same time. It is for its owner's eyes: a line may hold a secret.
type history struct {
	path string // "" keeps nothing
	bad  bool   // it couldn't be written once
}

// load returns the newest lines, and shortens the file where it is long.
func (h *history) load() ([]string, error) {
	if h.path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(h.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("the history: %w", err)
	}
	var lines []string
	for line := range bytes.Lines(text) {
		if line = bytes.TrimRight(line, "\r\n"); len(line) > 0 && utf8.Valid(line) {
			lines = append(lines, string(line))
		}
	}
	if len(lines) <= historyLines {
		return lines, nil
	}
	recent := lines[len(lines)-historyLines:]
	if len(lines) > 2*historyLines {
		return recent, h.replace(recent)
	}
	return recent, nil
}

// replace makes lines the whole of the file. What another shell adds in just
// this moment may be lost.
func (h *history) replace(lines []string) error {
	f, err := os.CreateTemp(filepath.Dir(h.path), ".shell_history-*") // 0600, as CreateTemp has it
	if err != nil {
		return fmt.Errorf("the history: %w", err)
	}
	_, err = f.WriteString(strings.Join(lines, "\n") + "\n")
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), h.path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("the history: %w", err)
	}
	return nil
}

// add adds a line. It fails once at most: nobody wants to hear it again.
func (h *history) add(line string) error {
	if h.path == "" || h.bad {
		return nil
	}
	err := os.MkdirAll(filepath.Dir(h.path), 0o700)
	if err == nil {
		var f *os.File
		if f, err = os.OpenFile(h.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600); err == nil {
			_, err = f.WriteString(line + "\n")
			err = errors.Join(err, f.Close())
		}
	}
	if err != nil {
		h.bad = true
		return fmt.Errorf("the history is not kept: %w", err)
	}
	return nil
}
