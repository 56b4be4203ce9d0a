package terminal

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"
)

// Progress shows on a stream how far a long job is. With a rich style that is
// one line with a bar, drawn over itself; with a plain one, a line now and then,
// so that a log tells the same. A job that ends sooner than the first line is
// due leaves no trace. A Progress is for one goroutine at a time.
type Progress struct {
	w     io.Writer
	style Style
	job   string

	due   time.Time // no line before
	drawn bool      // there is a bar to be drawn over
}

// How often a job's line is drawn: a bar as often as an eye follows, a plain
// line as seldom as a log bears.
const (
	drawEvery = 100 * time.Millisecond
	lineEvery = 2 * time.Second
)

// NewProgress returns what shows the progress of job, a word or two, on w.
// Style is w's.
func NewProgress(w io.Writer, style Style, job string) *Progress {
	p := &Progress{w: w, style: style, job: job}
	p.due = time.Now().Add(p.every())
	return p
}

func (p *Progress) every() time.Duration {
	if p.style.Rich() {
		return drawEvery
	}
	return lineEvery
}

// Step is how far a job is.
type Step struct {
	// Done of about Total things are done; Total 0 says that nobody knows of how
	// many.
	Done, Total uint64
	// Unit is what they are called: "keys"; "" while none are counted.
	Unit string
	// Bytes is how much has gone over the wire; 0 is not shown.
	Bytes uint64
	// Left is about how long it still takes; 0 while that is not known.
	Left time.Duration
	// Note is what else there is to say, behind all this.
	Note string
}

// Show draws s, if it is time to. It may be called as often as it likes.
func (p *Progress) Show(s Step) {
	now := time.Now()
	if now.Before(p.due) {
		return
	}
	p.due = now.Add(p.every())
	if p.style.Rich() {
		p.drawn = true
		_, _ = fmt.Fprint(p.w, "\r"+p.bar(s, columns(p.w))+"\x1b[K") // what can't be shown is no failure of the job
		return
	}
	_, _ = fmt.Fprintln(p.w, p.job+": "+strings.Join(s.words(), ", "))
}

// End takes the bar away, so that what came of the job can be said in its place.
func (p *Progress) End() {
	if p.drawn {
		p.drawn = false
		_, _ = fmt.Fprint(p.w, "\r\x1b[K")
	}
}

// words are the parts of s that are known.
func (s Step) words() []string {
	var words []string
	switch {
	case s.Unit == "":
	case s.Total > 0:
		words = append(words, fmt.Sprintf("%3.0f %%", 100*clamp(float64(s.Done)/float64(s.Total))),
			Count(s.Done)+" of "+Count(max(s.Done, s.Total))+" "+s.Unit)
	default:
		words = append(words, Count(s.Done)+" "+s.Unit)
	}
	if s.Bytes > 0 {
		words = append(words, Bytes(s.Bytes))
	}
	if s.Left > 0 {
		words = append(words, Span(s.Left)+" left")
	}
	if s.Note != "" {
		words = append(words, s.Note)
	}
	return words
}

// A bar is no longer than this, and where there is less room than the least it
// is left out.
const (
	longestBar  = 24
	shortestBar = 6
)

// bar is the line of a rich style, which fits in width columns: beyond them the
// terminal would begin another line, and the next one would not cover both.
func (p *Progress) bar(s Step, width int) string {
	width-- // the cursor's
	text := strings.Join(s.words(), "  ")
	line := p.job + "  "
	room := width - utf8.RuneCountInString(line) - utf8.RuneCountInString(text) - 2
	if s.Total > 0 && room >= shortestBar {
		return p.style.Bold(p.job) + "  " + p.style.Accent(p.style.Bar(float64(s.Done)/float64(s.Total), min(room, longestBar))) + "  " + text
	}
	plain := []rune(line + text)
	return string(plain[:min(len(plain), max(width, 0))])
}

// columns returns how wide the terminal w is at this moment.
func columns(w io.Writer) int {
	if f, ok := w.(interface{ Fd() uintptr }); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			return width
		}
	}
	return 80
}
