package cluster

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

const (
	// keptLines is how many lines of a process are kept in memory: enough for
	// any failure's story; the whole is in the log file.
	keptLines = 2000
	// maxLine is the longest line kept, in bytes; longer ones are broken.
	maxLine = 64 << 10
)

// Line is a line that a process printed.
type Line struct {
	// At is when it was read, which is when it was printed and a moment.
	At time.Time
	// Text is the line without its end.
	Text string
	// Stderr says that it was printed to standard error.
	Stderr bool
}

// output collects what a process prints over all its lives.
type output struct {
	logPath string

	mu struct {
		sync.Mutex
		lines   []Line        // the last keptLines, a ring
		total   int           // how many lines there ever were; where in the ring the next one goes
		changed chan struct{} // closed when a line comes; made by who waits
		log     *os.File      // nil while the process doesn't run
	}
}

func (o *output) open() error {
	f, err := os.OpenFile(o.logPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	o.mu.Lock()
	o.mu.log = f
	o.mu.Unlock()
	return nil
}

func (o *output) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	_ = o.mu.log.Close()
	o.mu.log = nil
	o.wakeLocked() // those who wait look whether the process has ended
}

func (o *output) wakeLocked() {
	if o.mu.changed != nil {
		close(o.mu.changed)
		o.mu.changed = nil
	}
}

func (o *output) add(text string, stderr bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	l := Line{At: time.Now(), Text: text, Stderr: stderr}
	if len(o.mu.lines) < keptLines {
		o.mu.lines = append(o.mu.lines, l)
	} else {
		o.mu.lines[o.mu.total%keptLines] = l
	}
	o.mu.total++
	// The log is for a person who looks into a failure: a full disk must not
	// become a failure of its own.
	_, _ = io.WriteString(o.mu.log, l.At.Format("15:04:05.000000 ")+text+"\n")
	o.wakeLocked()
}

// from returns the lines kept from the nth on, counted from the first line ever
// printed, how many there ever were, and a channel that is closed when there is
// news.
func (o *output) from(n int) (lines []Line, total int, changed <-chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.mu.changed == nil {
		o.mu.changed = make(chan struct{})
	}
	for i := max(n, o.mu.total-len(o.mu.lines)); i < o.mu.total; i++ {
		lines = append(lines, o.mu.lines[i%keptLines])
	}
	return lines, o.mu.total, o.mu.changed
}

func (o *output) writer(stderr bool) *lineWriter { return &lineWriter{out: o, stderr: stderr} }

// lineWriter breaks one stream into lines.
type lineWriter struct {
	out    *output
	stderr bool
	rest   []byte // a line that has no end yet
}

func (w *lineWriter) Write(b []byte) (int, error) {
	w.rest = append(w.rest, b...)
	start := 0
	for {
		i := bytes.IndexByte(w.rest[start:], '\n')
		switch {
		case i >= 0 && i <= maxLine:
			w.out.add(strings.TrimSuffix(string(w.rest[start:start+i]), "\r"), w.stderr)
			start += i + 1
		case len(w.rest)-start > maxLine:
			w.out.add(string(w.rest[start:start+maxLine]), w.stderr)
			start += maxLine
		default:
			w.rest = append(w.rest[:0], w.rest[start:]...)
			return len(b), nil
		}
	}
}

// flush adds a last line that had no end.
func (w *lineWriter) flush() {
	if len(w.rest) > 0 {
		w.out.add(string(w.rest), w.stderr)
		w.rest = nil
	}
}

// Output returns the last lines that the process printed, 2,000 at most, those
// of earlier lives too.
func (p *Proc) Output() []Line {
	lines, _, _ := p.out.from(0)
	return lines
}

// Tail returns the last n lines as one text, indented, for a person.
func (p *Proc) Tail(n int) string {
	lines := p.Output()
	if len(lines) == 0 {
		return "\t(nothing)"
	}
	var b strings.Builder
	for _, l := range lines[max(0, len(lines)-n):] {
		fmt.Fprintf(&b, "\t%s %s\n", l.At.Format("15:04:05.000"), l.Text)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// WaitLine waits for a line that match accepts, and returns the first one
// printed at or after since (the zero time: the first one kept). It fails when
// the process ends without having printed one, or ctx is done. Each kept line
// is offered to match once.
func (p *Proc) WaitLine(ctx context.Context, since time.Time, match func(text string) bool) (Line, error) {
	offered := 0
	for {
		life := p.life()
		ended := life == nil || life.ended() // asked before the lines, so that none comes after
		lines, total, changed := p.out.from(offered)
		for _, l := range lines {
			if !l.At.Before(since) && match(l.Text) {
				return l, nil
			}
		}
		offered = total
		if ended {
			return Line{}, p.errorf(fmt.Errorf("ended without the line waited for; it printed:\n%s", p.Tail(20)))
		}
		select {
		case <-changed:
		case <-life.done:
		case <-ctx.Done():
			return Line{}, p.errorf(fmt.Errorf("no such line: %w; it printed:\n%s", ctx.Err(), p.Tail(20)))
		}
	}
}

// Containing matches lines that have s in them.
func Containing(s string) func(string) bool {
	return func(text string) bool { return strings.Contains(text, s) }
}
