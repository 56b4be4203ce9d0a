package terminal

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestPlainStyleAddsNothing(t *testing.T) {
	t.Parallel()
	var s Style
	for _, got := range []string{s.Bold("x"), s.Dim("x"), s.Good("x"), s.Bad("x"), s.Warn("x"), s.Accent("x")} {
		if got != "x" {
			t.Errorf("a plain style made %q of x", got)
		}
	}
	if s.Bar(0.5, 10) != "" || s.Spark([]float64{1}) != "" {
		t.Error("a plain style draws")
	}
}

func TestOnlyATerminalIsRich(t *testing.T) {
	t.Parallel()
	if StyleFor(new(bytes.Buffer), false).Rich() {
		t.Error("a buffer is taken for a terminal")
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if StyleFor(w, false).Rich() {
		t.Error("a pipe is taken for a terminal")
	}
}

func TestBarIsAsWideAsAsked(t *testing.T) {
	t.Parallel()
	s := Rich()
	for _, f := range []float64{-1, 0, 0.01, 0.33, 0.5, 0.99, 1, 7} {
		if got := utf8.RuneCountInString(s.Bar(f, 12)); got != 12 {
			t.Errorf("Bar(%v, 12) is %d cells wide", f, got)
		}
	}
	if got := s.Bar(0.5, 4); got != "██  " {
		t.Errorf("Bar(0.5, 4) = %q", got)
	}
	if got := s.Bar(1, 4); got != "████" {
		t.Errorf("Bar(1, 4) = %q", got)
	}
}

func TestSpark(t *testing.T) {
	t.Parallel()
	if got := Rich().Spark([]float64{0, 0.5, 1, 2}); got != "▁▅██" {
		t.Errorf("Spark = %q", got)
	}
}

func TestTableLinesUpWhateverThePaint(t *testing.T) {
	t.Parallel()
	fill := func(tb *Table) {
		tb.Add("ADDRESS", "STATE", "REASON")
		tb.Add("a:1", "up", "")
		tb.Add("längere:2", "down", "refused")
	}
	var plain, painted Table
	fill(&plain)
	painted.Paint = func(_, _ int, cell string) string { return Rich().Bad(cell) }
	fill(&painted)
	want := "ADDRESS    STATE  REASON\na:1        up\nlängere:2  down   refused\n"
	if got := plain.String(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	bare := strings.NewReplacer("\x1b[31m", "", "\x1b[0m", "").Replace(painted.String())
	if bare != want {
		t.Errorf("painted and stripped, got\n%swant\n%s", bare, want)
	}
}
