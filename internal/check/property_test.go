package check

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"pgregory.net/rapid"
)

// drawHistory makes the history of a correct table: each operation takes effect
// at one moment between its call and its return, in the order drawn.
func drawHistory(t *rapid.T, s Semantics) History {
	var h History
	state := make(map[Text]entry)
	n := rapid.IntRange(1, 40).Draw(t, "operations")
	for i := range n {
		at := time.Duration(10 * i)
		o := Operation{
			Client: i, // so that intervals may overlap at will
			Call:   at - time.Duration(rapid.IntRange(0, 60).Draw(t, "before")),
			Return: at + time.Duration(rapid.IntRange(0, 60).Draw(t, "after")),
			Op:     rapid.SampledFrom([]Op{Get, Put, PutIfAbsent, Update, Swap, Delete}).Draw(t, "op"),
			Key:    Text(rapid.SampledFrom([]string{"a", "b"}).Draw(t, "key")),
		}
		e := state[o.Key]
		if s == Cache && rapid.IntRange(0, 4).Draw(t, "evict") == 0 {
			e = entry{}
		}
		if o.Op != Get && o.Op != Delete {
			o.Value = Text(fmt.Sprint(i))
		}
		o.Outcome = OK
		written := entry{true, o.Value}
		switch o.Op {
		case Get:
			o.Value = e.value
		case PutIfAbsent:
			if e.present {
				o.Outcome, written = Exists, e
			}
		case Swap:
			o.Expect = e.value
			if rapid.Bool().Draw(t, "conflict") && e.present {
				o.Expect, o.Outcome, written = "another", Conflict, e
			}
		case Delete:
			written = entry{}
		}
		if o.Op == Get {
			written = e
		}
		if o.Op != Put && o.Op != PutIfAbsent && !e.present {
			o.Outcome, written = Missing, e
		}
		if o.Op != Get && rapid.IntRange(0, 3).Draw(t, "unknown") == 0 {
			if rapid.Bool().Draw(t, "nothing happened") {
				written = e
			}
			if o.Outcome == OK {
				o.Outcome = Unknown
			}
		}
		if o.Outcome == OK || o.Outcome == Unknown || o.Outcome == Missing {
			state[o.Key] = written
		}
		h = append(h, o)
	}
	return h
}

// What a correct table shows passes every rule, whatever the overlaps.
func TestCorrectTablesPass(t *testing.T) {
	t.Parallel()
	for _, s := range []Semantics{Register, Cache} {
		rapid.Check(t, func(t *rapid.T) {
			h := drawHistory(t, s)
			for _, err := range []error{Values(h), Fresh(h), Linearizable(h, s, DefaultTimeout)} {
				if err != nil {
					t.Fatalf("%v\n%v", err, h)
				}
			}
		})
	}
}

// slowFresh is Fresh by its definition.
func slowFresh(h History) bool {
	happened := func(w Operation) time.Duration { // when w was surely over
		over := time.Duration(1 << 62)
		if w.Outcome == OK {
			over = w.Return
		}
		for _, r := range h {
			if r.Op == Get && r.Outcome == OK && w.Op != Delete && r.Key == w.Key && r.Value == w.Value {
				over = min(over, r.Return)
			}
		}
		return over
	}
	for _, r := range h {
		if r.Op != Get || r.Outcome != OK {
			continue
		}
		w := slices.IndexFunc(h, func(w Operation) bool {
			return w.writes() && w.Op != Delete && w.Key == r.Key && w.Value == r.Value
		})
		if w < 0 {
			continue
		}
		for _, newer := range h {
			if newer.writes() && newer.Key == r.Key && newer.Call > happened(h[w]) && happened(newer) < r.Call {
				return false
			}
		}
	}
	return true
}

// On histories with reads gone wrong, Fresh says what its definition says, and
// nothing that a linearizable cache could have shown.
func TestFreshAgainstItsDefinition(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h := drawHistory(t, Cache)
		for i := range h {
			if h[i].Op == Get && rapid.IntRange(0, 2).Draw(t, "wrong") == 0 {
				h[i].Outcome, h[i].Value = OK, Text(fmt.Sprint(rapid.IntRange(0, len(h)-1).Draw(t, "value")))
			}
		}
		got := Fresh(h)
		if want := slowFresh(h); want != (got == nil) {
			t.Fatalf("Fresh says %v, its definition %v\n%v", got, want, h)
		}
		if got != nil && Values(h) == nil && Linearizable(h, Cache, DefaultTimeout) == nil {
			t.Fatalf("Fresh says %v of a linearizable history\n%v", got, h)
		}
	})
}

// Deletes that are left out change no verdict, be the history right or wrong.
func TestFewDeletes(t *testing.T) {
	t.Parallel()
	left, wrong := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		var ops []*Operation
		n := rapid.IntRange(1, 12).Draw(t, "operations")
		values := []Text{"x", "y"}
		for i := range n {
			o := &Operation{Client: i, Key: "k", Outcome: OK}
			o.Call = time.Duration(rapid.IntRange(0, 60).Draw(t, "call"))
			o.Return = o.Call + time.Duration(rapid.IntRange(0, 30).Draw(t, "takes"))
			o.Value = rapid.SampledFrom(values).Draw(t, "value")
			o.Expect = rapid.SampledFrom(values).Draw(t, "expect")
			switch rapid.IntRange(0, 9).Draw(t, "what") {
			case 0:
				o.Op = Put
			case 1:
				o.Op = Get
			case 2:
				o.Op, o.Outcome, o.Value = Get, Missing, ""
			case 3:
				o.Op, o.Found = Exchange, rapid.Bool().Draw(t, "found")
			case 4:
				o.Op, o.Outcome = PutIfAbsent, rapid.SampledFrom([]Outcome{OK, Exists, Unknown}).Draw(t, "outcome")
			case 5:
				o.Op, o.Outcome = Swap, rapid.SampledFrom([]Outcome{OK, Conflict, Missing, Unknown}).Draw(t, "outcome")
			case 6:
				o.Op, o.Outcome = Delete, rapid.SampledFrom([]Outcome{OK, Missing}).Draw(t, "outcome")
			case 7:
				o.Op, o.Outcome = Update, rapid.SampledFrom([]Outcome{OK, Missing, Unknown}).Draw(t, "outcome")
			default:
				o.Op, o.Outcome = Delete, Unknown
			}
			ops = append(ops, o)
		}
		few := fewDeletes(ops)
		m := model(Register)
		want, got := porcupine.CheckOperations(m, operations(ops)), porcupine.CheckOperations(m, operations(few))
		if want != got {
			t.Fatalf("all: %v, few: %v", want, got)
		}
		if len(few) < len(ops) {
			left++
			if !want {
				wrong++
			}
		}
	})
	if left == 0 || wrong == 0 {
		t.Errorf("%d histories had deletes left out, %d of them were wrong", left, wrong)
	}
}
