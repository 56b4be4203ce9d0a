package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"

	"github.com/torc-dht/torc/internal/terminal"
	"github.com/torc-dht/torc/internal/textform"
)

// newLog returns a log for a person: a line each, when, what, and the particulars
// behind it.
func newLog(w io.Writer, style terminal.Style) *slog.Logger {
	return slog.New(&lineHandler{w: w, style: style, mu: new(sync.Mutex)})
}

// lineHandler writes records from slog.LevelInfo on.
type lineHandler struct {
	w      io.Writer
	style  terminal.Style
	mu     *sync.Mutex // one line at a time
	prefix string      // of the groups that are open
	attrs  string      // that every line has
}

// Enabled implements [slog.Handler].
func (h *lineHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }

// Handle implements [slog.Handler].
func (h *lineHandler) Handle(_ context.Context, r slog.Record) error {
	text := strings.TrimSpace(r.Message)
	if r.Level >= slog.LevelWarn {
		text = h.style.Warn(text)
	}
	var line bytes.Buffer
	fmt.Fprintf(&line, "%s  %s%s", h.style.Dim(textform.Clock(r.Time)), text, h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		line.WriteString(attrText(h.prefix, a))
		return true
	})
	line.WriteByte('\n')
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := h.w.Write(line.Bytes())
	return err
}

// WithAttrs implements [slog.Handler].
func (h *lineHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *h
	for _, a := range attrs {
		with.attrs += attrText(h.prefix, a)
	}
	return &with
}

// WithGroup implements [slog.Handler].
func (h *lineHandler) WithGroup(name string) slog.Handler {
	with := *h
	with.prefix += name + "."
	return &with
}

// attrText is a particular as name=value, quoted where it has blanks.
func attrText(prefix string, a slog.Attr) string {
	value := oneLine(fmt.Errorf("%v", a.Value.Resolve()))
	if strings.ContainsAny(value, " \t\"") {
		value = fmt.Sprintf("%q", value)
	}
	return " " + prefix + a.Key + "=" + value
}
