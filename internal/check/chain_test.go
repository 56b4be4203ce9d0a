package check

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"pgregory.net/rapid"
)

// drawExchanges makes the history of one key of a correct table that is read, put
// and exchanged. Some answers are unknown, and some bear a label: those writes
// happen at their time, later or never.
func drawExchanges(t *rapid.T, most int) History {
	var h History
	var e entry
	var late []Text // labelled writes that are still to happen
	n := rapid.IntRange(1, most).Draw(t, "operations")
	for i := range n {
		if len(late) > 0 && rapid.IntRange(0, 2).Draw(t, "late") == 0 {
			e, late = entry{true, late[0]}, late[1:]
		}
		at := time.Duration(10 * i)
		o := Operation{
			Client:  i, // so that intervals may overlap at will
			Call:    at - time.Duration(rapid.IntRange(0, 40).Draw(t, "before")),
			Return:  at + time.Duration(rapid.IntRange(0, 40).Draw(t, "after")),
			Op:      rapid.SampledFrom([]Op{Get, Exchange, Exchange, Put}).Draw(t, "op"),
			Key:     "k",
			Outcome: OK,
		}
		switch {
		case o.Op == Get && e.present:
			o.Value = e.value
		case o.Op == Get:
			o.Outcome = Missing
		default:
			o.Value = Text(fmt.Sprint(i))
			if o.Op == Exchange {
				o.Expect, o.Found = e.value, e.present
			}
			switch rapid.IntRange(0, 5).Draw(t, "fate") {
			case 0: // nothing happens, and nobody knows
				o.Outcome, o.Expect, o.Found = Unknown, "", false
			case 1: // it happens, and nobody knows
				e, o.Outcome, o.Expect, o.Found = entry{true, o.Value}, Unknown, "", false
			case 2:
				late = append(late, o.Value)
				o.Labelled, o.Expect, o.Found = true, "another", true
			default:
				e = entry{true, o.Value}
			}
		}
		h = append(h, o)
	}
	return h
}

// searched is what porcupine says of a history of one key.
func searched(h History) bool {
	for _, ops := range h.binding().byKey() {
		return porcupine.CheckOperations(model(Register), operations(ops))
	}
	return true
}

func TestCorrectExchangesPass(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		h := drawExchanges(t, 60)
		for _, err := range []error{Values(h), Fresh(h), Linearizable(h, Register, DefaultTimeout)} {
			if err != nil {
				t.Fatalf("%v\n%v", err, h)
			}
		}
	})
}

// plants are faults of a table, each put into a correct history. They return
// whether there was room for one.
var plants = map[string]func(h History, r *rand.Rand) bool{
	"none": func(History, *rand.Rand) bool { return true },
	"a lost write": func(h History, r *rand.Rand) bool { // its successor found what it had found
		for _, i := range r.Perm(len(h)) {
			for j := range h {
				if h[i].Op == Exchange && h[i].Outcome == OK && h[j].Op == Exchange && h[j].Found && h[j].Expect == h[i].Value {
					h[j].Expect, h[j].Found = h[i].Expect, h[i].Found
					return true
				}
			}
		}
		return false
	},
	"a stale read": func(h History, r *rand.Rand) bool {
		for _, i := range r.Perm(len(h)) {
			j := r.IntN(len(h))
			if h[i].Op == Get && h[j].Op != Get {
				h[i].Outcome, h[i].Value = OK, h[j].Value
				return true
			}
		}
		return false
	},
	"a read of nothing": func(h History, r *rand.Rand) bool {
		for _, i := range r.Perm(len(h)) {
			if h[i].Op == Get {
				h[i].Outcome, h[i].Value = Missing, ""
				return true
			}
		}
		return false
	},
	"any old value": func(h History, r *rand.Rand) bool {
		for _, i := range r.Perm(len(h)) {
			j := r.IntN(len(h))
			if h[i].Op == Exchange && h[i].Outcome == OK && !h[i].Labelled && h[j].Op != Get {
				h[i].Expect, h[i].Found = h[j].Value, true
				return true
			}
		}
		return false
	},
	"a value out of nowhere": func(h History, r *rand.Rand) bool {
		for _, i := range r.Perm(len(h)) {
			if h[i].Op == Exchange && h[i].Outcome == OK && !h[i].Labelled {
				h[i].Expect, h[i].Found = "nowhere", true
				return true
			}
		}
		return false
	},
	"another time": func(h History, r *rand.Rand) bool {
		i := r.IntN(len(h))
		by := time.Duration(r.IntN(400) - 200)
		h[i].Call, h[i].Return = h[i].Call+by, h[i].Return+by
		return true
	},
	"a write that failed all the same": func(h History, r *rand.Rand) bool {
		for _, i := range r.Perm(len(h)) {
			if h[i].Op != Get && h[i].Outcome == Unknown {
				h[i].Outcome = Failed
				return true
			}
		}
		return false
	},
}

// On histories into which faults were put, the chain says what the search says,
// and it finds each sort of fault.
func TestChainAgainstSearch(t *testing.T) {
	t.Parallel()
	for name, plant := range plants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rejected, planted := 0, 0
			rapid.Check(t, func(t *rapid.T) {
				h := drawExchanges(t, 14)
				r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
				if plant(h, r) {
					planted++
				}
				if r.IntN(3) == 0 {
					plants["another time"](h, r)
				}
				err := Linearizable(h, Register, DefaultTimeout)
				if want := searched(h); want != (err == nil) {
					t.Fatalf("the chain says %v, the search %v\n%v", err, want, h)
				}
				if err != nil {
					rejected++
				}
				for rule, err2 := range map[string]error{"Values": Values(h), "Fresh": Fresh(h)} {
					if err2 != nil && err == nil {
						t.Fatalf("%s says %v of a linearizable history\n%v", rule, err2, h)
					}
				}
			})
			t.Logf("%d planted, %d rejected", planted, rejected)
			if planted == 0 || rejected == 0 {
				t.Errorf("of %d faults, %d histories were rejected", planted, rejected)
			}
		})
	}
}

// All orders of a few operations, in slots of time that overlap or not, are judged
// as the search judges them.
func TestChainAgainstSearchOnAll(t *testing.T) {
	t.Parallel()
	accepted, rejected := 0, 0
	for code := range 6 * 6 * 6 * 5 * 5 * 2 * 2 {
		c := code
		pick := func(n int) int { d := c % n; c /= n; return d }
		var h History
		for i := range 3 { // writes of 0, 1, 2 in slots 0 to 2, short or long
			from := pick(6)
			h = append(h, Operation{Client: i, Op: Put, Key: "k", Value: Text(fmt.Sprint(i)), Outcome: OK,
				Call: time.Duration(4 * (from % 3)), Return: time.Duration(4*(from%3) + 3 + 4*(from/3))})
		}
		for _, i := range []int{1, 2} {
			switch old := pick(5); old {
			case 4:
				h[i].Op = Exchange
			case 3: // stays a put
			default:
				h[i].Op, h[i].Expect, h[i].Found = Exchange, Text(fmt.Sprint(old)), true
			}
		}
		if pick(2) == 1 {
			h[0].Outcome = Unknown
		}
		h = append(h, Operation{Client: 3, Op: Get, Key: "k", Value: Text(fmt.Sprint(pick(2))), Outcome: OK, Call: 6, Return: 9})
		err := Linearizable(h, Register, DefaultTimeout)
		if want := searched(h); want != (err == nil) {
			t.Fatalf("the chain says %v, the search %v\n%v", err, want, h)
		}
		if err == nil {
			accepted++
		} else {
			rejected++
		}
	}
	if accepted == 0 || rejected == 0 {
		t.Errorf("%d accepted, %d rejected", accepted, rejected)
	}
}

// long is a history of one key with 64 clients that are all at work at any time.
func long(n int) History {
	r := rand.New(rand.NewPCG(1, 2))
	h := make(History, 0, n)
	var e entry
	for i := range n {
		at := time.Duration(i) * time.Microsecond
		o := Operation{Client: i % 64, Key: "k", Op: Exchange, Value: Text(fmt.Sprint(i)), Outcome: OK, Found: e.present, Expect: e.value,
			Call: at - time.Duration(r.IntN(64000)), Return: at + time.Duration(r.IntN(64000))}
		switch r.IntN(10) {
		case 0:
			o.Op, o.Value, o.Expect, o.Found = Get, e.value, "", false
			if !e.present {
				o.Outcome = Missing
			}
		case 1:
			o.Outcome, o.Expect, o.Found = Unknown, "", false
			if r.IntN(2) == 0 {
				e = entry{true, o.Value}
			}
		default:
			e = entry{true, o.Value}
		}
		h = append(h, o)
	}
	return h
}

// A history that no search could go through takes the chain next to nothing, and
// one read in it that is stale is found.
func TestLongChain(t *testing.T) {
	t.Parallel()
	h := long(200_000)
	if err := Linearizable(h, Register, time.Millisecond); err != nil {
		t.Fatal(err)
	}
	for i := len(h) - 1; ; i-- {
		if h[i].Op == Get {
			h[i].Value = h[i-1000].Value
			break
		}
	}
	if err := Linearizable(h, Register, time.Millisecond); err == nil {
		t.Error("a stale read passed")
	}
}

func BenchmarkChain(b *testing.B) {
	h := long(100_000)
	for b.Loop() {
		if err := Linearizable(h, Register, DefaultTimeout); err != nil {
			b.Fatal(err)
		}
	}
}
