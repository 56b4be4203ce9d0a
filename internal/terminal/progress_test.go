package terminal

import (
	"errors"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"
)

func TestPlainProgressIsALineNowAndThen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		p := NewProgress(&out, Style{}, "rebalance")
		for i := range 50 { // every 100 ms for 5 s
			p.Show(Step{Done: uint64(i) * 1000, Total: 50_000, Unit: "keys", Bytes: uint64(i) * 100_000, Left: 5*time.Second - time.Duration(i)*100*time.Millisecond, Note: "noted"})
			time.Sleep(100 * time.Millisecond)
		}
		p.End()
		want := `rebalance:  40 %, 20,000 of 50,000 keys, 2.0 MB, 3.0 s left, noted
rebalance:  80 %, 40,000 of 50,000 keys, 4.0 MB, 1.0 s left, noted
`
		if out.String() != want {
			t.Errorf("got\n%swant\n%s", &out, want)
		}
	})
}

func TestRichProgressDrawsOverItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		p := NewProgress(&out, Rich(), "fill")
		for range 1000 { // 1000 times a second
			p.Show(Step{Done: 5, Total: 10, Unit: "keys"})
			time.Sleep(time.Millisecond)
		}
		p.End()
		p.End()
		got := out.String()
		if n := strings.Count(got, "\r"); n != 10 || strings.Contains(got, "\n") {
			t.Errorf("drawn %d times in a second, want 9 and wiped once: %q", n, got)
		}
		if !strings.HasPrefix(got, "\r\x1b[1mfill\x1b[0m  \x1b[36m████████████            \x1b[0m   50 %  5 of 10 keys\x1b[K") || !strings.HasSuffix(got, "\r\x1b[K") {
			t.Errorf("drawn: %q", got)
		}
	})
}

func TestShortJobLeavesNoTrace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, style := range []Style{{}, Rich()} {
			var out strings.Builder
			p := NewProgress(&out, style, "fill")
			time.Sleep(50 * time.Millisecond)
			p.Show(Step{Done: 10, Total: 10})
			p.End()
			if out.Len() > 0 {
				t.Errorf("%q", &out)
			}
		}
	})
}

// A line that is longer than the terminal is wide would be left behind by the
// next one.
func TestBarFits(t *testing.T) {
	t.Parallel()
	p := NewProgress(nil, Rich(), "rebalance")
	s := Step{Done: 1e6, Total: 5e6, Unit: "keys", Bytes: 123e6, Left: time.Minute, Note: "1,000,000 copied, 999,999 removed"}
	bare := strings.NewReplacer("\x1b[1m", "", "\x1b[36m", "", "\x1b[0m", "")
	for width := range 300 {
		line := bare.Replace(p.bar(s, width))
		if n := utf8.RuneCountInString(line); n > max(width-1, 0) {
			t.Fatalf("%d columns in a terminal of %d: %q", n, width, line)
		}
	}
	if line := p.bar(Step{Done: 7, Unit: "keys"}, 80); line != "rebalance  7 keys" {
		t.Errorf("without a total: %q", line)
	}
	if line := bare.Replace(p.bar(Step{Done: 7, Total: 5, Unit: "keys"}, 60)); !strings.HasSuffix(line, "100 %  7 of 7 keys") {
		t.Errorf("beyond the total: %q", line)
	}
}

type closed struct{}

func (closed) Write([]byte) (int, error) { return 0, errors.New("nobody looks") }

func TestProgressThatNobodySeesIsNoFailure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := NewProgress(closed{}, Rich(), "fill")
		time.Sleep(time.Second)
		p.Show(Step{Done: 1})
		p.End()
	})
}

func TestNumbers(t *testing.T) {
	t.Parallel()
	for n, want := range map[uint64]string{0: "0", 999: "999", 1000: "1,000", 123456: "123,456", 1234567: "1,234,567", math.MaxUint64: "18,446,744,073,709,551,615"} {
		if got := Count(n); got != want {
			t.Errorf("Count(%d) = %s, want %s", n, got, want)
		}
	}
	for n, want := range map[uint64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 6_123_456: "6.1 MB", 999_950: "1.0 MB", 999_949: "999.9 kB", math.MaxUint64: "18.4 EB"} {
		if got := Bytes(n); got != want {
			t.Errorf("Bytes(%d) = %s, want %s", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		0:                                     "0 µs",
		12 * time.Microsecond:                 "12 µs",
		12 * time.Millisecond:                 "12 ms",
		999_600 * time.Microsecond:            "1.0 s",
		4230 * time.Millisecond:               "4.2 s",
		9960 * time.Millisecond:               "10 s",
		59_700 * time.Millisecond:             "1 min 0 s",
		200 * time.Second:                     "3 min 20 s",
		2*time.Hour + 5*time.Minute + 3*1e9:   "2 h 5 min",
		59*time.Minute + 59*time.Second + 6e8: "1 h 0 min",
	} {
		if got := Span(d); got != want {
			t.Errorf("Span(%v) = %s, want %s", d, got, want)
		}
	}
}
