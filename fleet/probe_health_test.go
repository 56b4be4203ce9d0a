package fleet

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// TestHealth reads each row as a server's life: one letter a check (a answered,
// s silent, r refused, t restarted, v silent while the prober itself did not run), and below
// it what is known afterwards (? unknown, + up, - down).
func TestHealth(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, checks, known string }{
		{"up after three answers", "aaaa", "??++"},
		{"down at the first refusal", "aaara", "??+--"},
		{"down at the first refusal of all", "r", "-"},
		{"down after three silent checks", "aaasssa", "??+++--"},
		{"two silent checks are forgiven", "aaassassa", "??+++++++"},
		{"back after three answers in a row", "aaaraasaaa", "??+------+"},
		{"a refusal breaks a row of answers", "aaraaa", "??---+"},
		{"void checks don't count", "aaavvvvvv", "??+++++++"},
		{"void checks don't break a row of silent ones", "aaasvsvs", "??+++++-"},
		{"void checks don't break a row of answers", "ravava", "-----+"},
		{"a server that never answers is down, not unknown", "sss", "??-"},
		{"a server that was restarted is down, and that was its first answer", "aaataa", "??+--+"},
		{"a restart of what was down already is an answer", "aaratat", "??---+-"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			h := NewHealth(ProbeConfig{})
			var known strings.Builder
			was := byte('?')
			for _, c := range test.checks {
				finding, took := Answered, time.Millisecond
				switch c {
				case 's':
					finding, took = Silent, 205*time.Millisecond
				case 'r':
					finding = Refused
				case 't':
					finding = Restarted
				case 'v':
					finding, took = Silent, 3*time.Second
				}
				changed := h.Observe(finding, took)
				is := "?+-"[h.state]
				if changed != (is != was) {
					t.Errorf("after %q: changed = %v, from %c to %c", known.String(), changed, was, is)
				}
				was = is
				known.WriteByte(is)
			}
			if known.String() != test.known {
				t.Errorf("checks %s\n known %s\n  want %s", test.checks, known.String(), test.known)
			}
		})
	}
}

func TestHealthTrustsTheFirstAnswer(t *testing.T) {
	t.Parallel()
	h := NewHealth(ProbeConfig{TrustFirst: true})
	if !h.Observe(Answered, 0) || !h.Up() {
		t.Error("not up after the first answer")
	}
	h.Observe(Refused, 0)
	h.Observe(Answered, 0)
	if h.Up() {
		t.Error("up after one answer, although it was known to be down")
	}
}

// TestHealthAgainstHistory compares with the rule as one would say it: look back
// over the whole history.
func TestHealthAgainstHistory(t *testing.T) {
	t.Parallel()
	const seed = 7
	rnd := rand.New(rand.NewPCG(seed, seed))
	for run := range 500 {
		cfg := ProbeConfig{Fall: 1 + rnd.IntN(4), Rise: 1 + rnd.IntN(4)}
		h := NewHealth(cfg)
		var history []Finding
		for range 60 {
			f := Finding(rnd.IntN(3))
			history = append(history, f)
			h.Observe(f, 0)
			if got, want := h.state, judge(history, cfg); got != want {
				t.Fatalf("seed %d, run %d, %+v, %v: state %d, want %d", seed, run, cfg, history, got, want)
			}
		}
	}
}

func judge(history []Finding, cfg ProbeConfig) healthState {
	row := func(end int, f Finding, n int) bool {
		for i := end; i > end-n; i-- {
			if i < 0 || history[i] != f {
				return false
			}
		}
		return true
	}
	for end := len(history) - 1; end >= 0; end-- {
		switch {
		case row(end, Answered, cfg.Rise):
			return healthUp
		case row(end, Refused, 1), row(end, Silent, cfg.Fall):
			return healthDown
		}
	}
	return healthUnknown
}

func ExampleHealth() {
	h := NewHealth(ProbeConfig{})
	for range 3 {
		h.Observe(Answered, time.Millisecond)
	}
	fmt.Println(h.Up())
	h.Observe(Refused, time.Millisecond)
	fmt.Println(h.Up())
	// Output:
	// true
	// false
}
