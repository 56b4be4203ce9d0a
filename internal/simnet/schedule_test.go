package simnet

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var abcde = []Addr{"a", "b", "c", "d", "e"}

func TestNemesis(t *testing.T) {
	t.Parallel()
	seen := make(map[Kind]int)
	rapid.Check(t, func(t *rapid.T) {
		m := Nemesis{
			Nodes:   abcde[:rapid.IntRange(1, 5).Draw(t, "nodes")],
			Length:  30 * time.Second,
			Quiet:   rapid.SampledFrom([]time.Duration{0, 5 * time.Second}).Draw(t, "quiet"),
			MaxDown: rapid.IntRange(0, 3).Draw(t, "down"),
			Weights: maps.Clone(DefaultWeights),
		}
		m.Weights[ClockStop] = 1
		seed := rapid.Uint64().Draw(t, "seed")
		s := m.Schedule(seed)
		if !reflect.DeepEqual(s, m.Schedule(seed)) {
			t.Fatal("one seed, two schedules")
		}
		read, err := ParseSchedule(s.String())
		if err != nil || !reflect.DeepEqual(read, s) {
			t.Fatalf("%v: read as\n%vnot\n%v", err, read, s)
		}
		end, most := m.Length-m.Quiet, m.MaxDown
		if m.Quiet == 0 {
			end = m.Length * 2 / 3
		}
		if most == 0 {
			most = (len(m.Nodes) - 1) / 2
		}
		for _, p := range s {
			seen[p.Kind]++
			if p.At+p.For > end {
				t.Fatalf("%v is not over at %v", p, end)
			}
			if p.Kind == ClockRate && (p.X < 0.99 || p.X > 1.01) {
				t.Fatalf("%v is beyond the drift", p)
			}
			down := make(map[Addr]bool)
			for _, o := range s {
				if o.At <= p.At && p.At < o.At+o.For && (o.Kind == Kill || o.Kind == Freeze || o.Kind == Isolate) {
					down[o.A] = true
				}
			}
			if len(down) > most {
				t.Fatalf("%v are down at %v, of at most %d", down, p.At, most)
			}
		}
		n := newBench(Config[int]{Seed: seed}, m.Nodes...)
		n.Play(s)
		n.Run(end)
		if len(n.Faults()) > 0 {
			t.Fatalf("%v in force in the quiet", n.Faults())
		}
		for _, a := range m.Nodes {
			if !n.Up(a) || n.Frozen(a) {
				t.Fatalf("%s is down in the quiet", a)
			}
		}
	})
	for _, k := range kinds {
		if seen[k] == 0 {
			t.Errorf("no schedule has a %s", k)
		}
	}
	if len(kinds) != len(shapes) || len(kinds) != len(DefaultWeights) {
		t.Error("the list of kinds is not whole")
	}
}

func TestNemesisBounds(t *testing.T) {
	t.Parallel()
	m := Nemesis{Nodes: abcde, Length: time.Hour, Weights: map[Kind]int{Kill: 1, Cut: 1}}
	m.Reject = func(p Planned, beside []Planned) bool { return p.Kind == Cut && len(beside) > 0 }
	s := m.Schedule(1)
	for i, p := range s {
		for _, o := range s[:i] {
			if p.Kind == Cut && o.At+o.For > p.At {
				t.Errorf("%v beside %v", p, o)
			}
		}
		if p.Kind != Kill && p.Kind != Cut {
			t.Errorf("%v has no weight", p)
		}
	}
	if len(s) < 100 {
		t.Errorf("%d faults in an hour", len(s))
	}
	m.Weights = map[Kind]int{}
	if s := m.Schedule(1); len(s) > 0 {
		t.Errorf("without weights: %v", s)
	}
	if s := (Nemesis{Length: time.Minute}).Schedule(1); len(s) > 0 {
		t.Errorf("without nodes: %v", s)
	}
}

func TestParseScheduleErrors(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"kill a":                              "not of the form",
		"at 1s until 2s: kill a":              "not of the form",
		"at soon: kill a":                     `"soon" is no time`,
		"at -1s: kill a":                      `"-1s" is no time`,
		"at 1s for 0s: kill a":                `"0s" is no length`,
		"at 1s:":                              "no fault is named",
		"at 1s: maim a":                       `no fault "maim"`,
		"at 1s: kill":                         "has 0 words after it, not 1",
		"at 1s: kill a b":                     "has 2 words after it, not 1",
		"at 1s: slow a b x":                   `"x" is no number`,
		"at 1s: slow a b NaN":                 "is not above 0",
		"at 1s: drop a b 1.01":                "at most 1",
		"at 1s: cut a a":                      "no link to itself",
		"at 1s: cut a *":                      "one node or link",
		"at 1s: kill a\nat 2s: split a | b a": "line 2: split: a is in two groups",
	} {
		if _, err := ParseSchedule(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, not %q", text, err, want)
		}
	}
	s, err := ParseSchedule("\n  # nothing\nat 1s for 2ms: split a b | | c # three\n")
	if err != nil || len(s) != 1 || s[0].String() != "at 1s for 2ms: split a b | | c" {
		t.Errorf("%v, %v", s, err)
	}
}

func FuzzParseSchedule(f *testing.F) {
	f.Add("at 1s for 2s: kill a\nat 4s: reset a b\n")
	f.Add("at 1.5s for 1us: slow * b 1e3\nat 0s: split a | b | c d\n")
	f.Add("at 1s for 1h: clock-rate a 0.9")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSchedule(text)
		if err != nil {
			return
		}
		again, err := ParseSchedule(s.String())
		if err != nil || again.String() != s.String() {
			t.Errorf("%q reads as\n%v, that as\n%v (%v)", text, s, again, err)
		}
	})
}

func TestShrink(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var s Schedule
		for i := range rapid.IntRange(1, 40).Draw(t, "faults") {
			s = append(s, Planned{At: time.Duration(i), Fault: Fault{Kind: Kill, A: "a"}})
		}
		was := slices.Clone(s)
		guilty := rapid.SliceOfNDistinct(rapid.IntRange(0, len(s)-1), 0, min(4, len(s)), rapid.ID).Draw(t, "guilty")
		asked := 0
		got := Shrink(s, func(s Schedule) bool {
			asked++
			for _, g := range guilty {
				if !slices.ContainsFunc(s, func(p Planned) bool { return p.At == time.Duration(g) }) {
					return false
				}
			}
			return true
		})
		slices.Sort(guilty)
		var want Schedule
		for _, g := range guilty {
			want = append(want, was[g])
		}
		if got.String() != want.String() {
			t.Fatalf("got\n%vwant\n%v", got, want)
		}
		if !reflect.DeepEqual(s, was) {
			t.Fatal("the schedule itself was changed")
		}
		if asked > 200 {
			t.Fatalf("asked %d times", asked)
		}
	})
}

func TestCoverage(t *testing.T) {
	t.Parallel()
	c := Expect("lease expired", "took over", "lease expired")
	c.Sometimes("took over")
	c.Sometimes("took over")
	if got := c.Missing(); !slices.Equal(got, []string{"lease expired"}) {
		t.Errorf("missing %q", got)
	}
	if want := "         0  lease expired\n         2  took over\n"; c.String() != want || c.Count("took over") != 2 || c.Count("x") != 0 {
		t.Errorf("%s", c)
	}
	defer func() {
		if recover() == nil {
			t.Error("a name that nobody expects passes")
		}
	}()
	c.Sometimes("take over")
}
