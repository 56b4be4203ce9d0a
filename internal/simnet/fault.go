package simnet

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Kind is what a fault does.
type Kind string

// The faults. Those that overlap add up, and each ends for itself: a link that
// two faults cut is good when both are over.
const (
	// Cut lets nothing pass between A and B. What is under way is kept back and
	// goes on afterwards, as TCP has it, unless an end gives up before; datagrams
	// are lost.
	Cut Kind = "cut"
	// CutOneWay is Cut from A to B only.
	CutOneWay Kind = "cut-one-way"
	// Isolate cuts A off from everybody else.
	Isolate Kind = "isolate"
	// Split cuts between the nodes of different Groups. Those in none are one more.
	Split Kind = "split"
	// Reset breaks the connections that there are between A and B; the link is
	// good. It is over at once.
	Reset Kind = "reset"
	// Slow makes everything between A and B take X times as long.
	Slow Kind = "slow"
	// Kill ends A as SIGKILL does: its memory is gone, its machine closes its
	// connections. When it is over the node is started again.
	Kill Kind = "kill"
	// Freeze stops A as SIGSTOP does: its clock goes on, its machine still takes
	// what arrives, and afterwards it sees it all at once. A kill ends it.
	Freeze Kind = "freeze"
	// ClockRate lets A's clock go X times as fast.
	ClockRate Kind = "clock-rate"
	// ClockStop lets A's clock stand still; it does not catch up afterwards.
	ClockStop Kind = "clock-stop"
	// Drop loses datagrams between A and B by chance X. Of several such faults,
	// and the network's own chance, the greatest counts.
	Drop Kind = "drop"
	// Duplicate lets datagrams between A and B arrive twice by chance X, likewise.
	Duplicate Kind = "duplicate"
)

// shape is which fields of a fault count.
type shape struct {
	ends   int     // A, or A and B
	max    float64 // of X, above 0; 0: there is none
	groups bool
	every  bool // an end may be Every
}

var shapes = map[Kind]shape{
	Cut:       {ends: 2},
	CutOneWay: {ends: 2},
	Isolate:   {ends: 1},
	Split:     {groups: true},
	Reset:     {ends: 2},
	Slow:      {ends: 2, max: 1e5, every: true},
	Kill:      {ends: 1},
	Freeze:    {ends: 1},
	ClockRate: {ends: 1, max: 100},
	ClockStop: {ends: 1},
	Drop:      {ends: 2, max: 1, every: true},
	Duplicate: {ends: 2, max: 1, every: true},
}

// Fault is something that goes wrong. Which fields count depends on the kind.
type Fault struct {
	Kind   Kind
	A, B   Addr
	Groups [][]Addr
	X      float64 // above 0, in whole millionths; at most 1 for a chance
}

// String prints the fault as [ParseSchedule] reads it.
func (f Fault) String() string {
	words := []string{string(f.Kind)}
	s := shapes[f.Kind]
	if s.ends > 0 {
		words = append(words, string(f.A))
	}
	if s.ends > 1 {
		words = append(words, string(f.B))
	}
	for i, group := range f.Groups {
		if i > 0 {
			words = append(words, "|")
		}
		for _, a := range group {
			words = append(words, string(a))
		}
	}
	if s.max > 0 {
		words = append(words, strconv.FormatFloat(f.X, 'g', -1, 64))
	}
	return strings.Join(words, " ")
}

// parseFault reads what String printed.
func parseFault(text string) (f Fault, err error) {
	words := strings.Fields(text)
	if len(words) == 0 {
		return f, fmt.Errorf("no fault is named")
	}
	f.Kind = Kind(words[0])
	s, ok := shapes[f.Kind]
	if !ok {
		return f, fmt.Errorf("there is no fault %q", words[0])
	}
	words = words[1:]
	if s.groups {
		f.Groups = [][]Addr{nil}
		for _, w := range words {
			if last := len(f.Groups) - 1; w == "|" {
				f.Groups = append(f.Groups, nil)
			} else {
				f.Groups[last] = append(f.Groups[last], Addr(w))
			}
		}
		return f, f.validate()
	}
	want := s.ends
	if s.max > 0 {
		want++
	}
	if len(words) != want {
		return f, fmt.Errorf("%s has %d words after it, not %d", f.Kind, len(words), want)
	}
	f.A = Addr(words[0])
	if s.ends > 1 {
		f.B = Addr(words[1])
	}
	if s.max > 0 {
		if f.X, err = strconv.ParseFloat(words[s.ends], 64); err != nil {
			return f, fmt.Errorf("%s: %q is no number", f.Kind, words[s.ends])
		}
	}
	return f, f.validate()
}

func (f Fault) validate() error {
	s, ok := shapes[f.Kind]
	switch {
	case !ok:
		return fmt.Errorf("there is no fault %q", f.Kind)
	case s.ends > 1 && f.A == f.B && f.A != Every:
		return fmt.Errorf("%s: %s has no link to itself", f.Kind, f.A)
	case !s.every && (f.A == Every || f.B == Every):
		return fmt.Errorf("%s is for one node or link at a time", f.Kind)
	case s.max > 0 && !(f.X > 0 && f.X <= s.max):
		return fmt.Errorf("%s: %v is not above 0 and at most %v", f.Kind, f.X, s.max)
	}
	seen := make(map[Addr]bool)
	for _, group := range f.Groups {
		for _, a := range group {
			if seen[a] {
				return fmt.Errorf("%s: %s is in two groups", f.Kind, a)
			}
			seen[a] = true
		}
	}
	return nil
}

// inForce is a fault that is not over.
type inForce struct {
	Fault
	a, b        int32
	incarnation int // Freeze: which is frozen
}

// shaper is a Slow, Drop or Duplicate in force.
type shaper struct {
	kind Kind
	a, b int32 // -1: every
	x    int64 // millionths
}

func (s *shaper) on(from, to int32) bool {
	fits := func(end, node int32) bool { return end < 0 || end == node }
	return fits(s.a, from) && fits(s.b, to) || fits(s.a, to) && fits(s.b, from)
}

// millionths returns a chance or a rate as the network counts with it.
func millionths(x float64) int64 {
	if math.IsNaN(x) || x < 0 || x > 1e6 {
		panic(fmt.Sprintf("simnet: %v is no chance and no rate", x))
	}
	return int64(math.Round(x * million))
}

// Inject brings a fault into force. The function it returns ends it; a second
// call does nothing. A killed node is started by that, a reset has no end.
func (n *Network[M]) Inject(f Fault) (undo func()) {
	if err := f.validate(); err != nil {
		panic("simnet: " + err.Error())
	}
	fault := &inForce{Fault: f, a: n.end(f.A), b: n.end(f.B)}
	if f.Kind == Freeze {
		fault.incarnation = n.nodes[fault.a].incarnation
	}
	n.stats.Faults++
	n.note(markFault, fault.a, fault.b, digestOf(f.String()), "! %s", f)
	if f.Kind == Reset {
		for _, c := range n.conns {
			if c.id != 0 && (c.ends[0].node == fault.a && c.ends[1].node == fault.b || c.ends[0].node == fault.b && c.ends[1].node == fault.a) {
				n.reset(c)
			}
		}
		return func() {}
	}
	n.faults = append(n.faults, fault)
	n.refresh(fault)
	return func() { n.forget(func(other *inForce) bool { return other == fault }) }
}

// end returns the node that an end of a fault names, -1 for none or every.
func (n *Network[M]) end(a Addr) int32 {
	if a == "" || a == Every {
		return -1
	}
	return n.node(a).id
}

// forget ends the faults that are picked.
func (n *Network[M]) forget(picked func(*inForce) bool) {
	var ended []*inForce
	n.faults = slices.DeleteFunc(n.faults, func(f *inForce) bool {
		if picked(f) {
			ended = append(ended, f)
			return true
		}
		return false
	})
	for _, f := range ended {
		n.note(markUndo, f.a, f.b, digestOf(f.String()), ". %s", f.Fault)
	}
	for _, f := range ended {
		n.refresh(f)
	}
}

// Heal ends all faults of the network: cuts, isolations, splits, and what makes
// links slow or lose datagrams. Nodes stay as they are.
func (n *Network[M]) Heal() {
	n.forget(func(f *inForce) bool {
		switch f.Kind {
		case Kill, Freeze, ClockRate, ClockStop:
			return false
		}
		return true
	})
}

// HealAll ends all faults: killed nodes start, frozen ones go on.
func (n *Network[M]) HealAll() { n.forget(func(*inForce) bool { return true }) }

// Faults returns the faults in force, in the order in which they came.
func (n *Network[M]) Faults() []Fault {
	all := make([]Fault, len(n.faults))
	for i, f := range n.faults {
		all[i] = f.Fault
	}
	return all
}

// The faults by name, each with its undo; see the kinds.

func (n *Network[M]) Cut(a, b Addr) (undo func()) { return n.Inject(Fault{Kind: Cut, A: a, B: b}) }
func (n *Network[M]) CutOneWay(a, b Addr) (undo func()) {
	return n.Inject(Fault{Kind: CutOneWay, A: a, B: b})
}
func (n *Network[M]) Isolate(a Addr) (undo func()) { return n.Inject(Fault{Kind: Isolate, A: a}) }
func (n *Network[M]) Split(groups ...[]Addr) (undo func()) {
	return n.Inject(Fault{Kind: Split, Groups: groups})
}
func (n *Network[M]) Reset(a, b Addr) { n.Inject(Fault{Kind: Reset, A: a, B: b}) }
func (n *Network[M]) Slow(a, b Addr, factor float64) (undo func()) {
	return n.Inject(Fault{Kind: Slow, A: a, B: b, X: factor})
}
func (n *Network[M]) Kill(a Addr) (start func())  { return n.Inject(Fault{Kind: Kill, A: a}) }
func (n *Network[M]) Freeze(a Addr) (thaw func()) { return n.Inject(Fault{Kind: Freeze, A: a}) }
func (n *Network[M]) ClockRate(a Addr, rate float64) (undo func()) {
	return n.Inject(Fault{Kind: ClockRate, A: a, X: rate})
}
func (n *Network[M]) Drop(a, b Addr, chance float64) (undo func()) {
	return n.Inject(Fault{Kind: Drop, A: a, B: b, X: chance})
}
func (n *Network[M]) Duplicate(a, b Addr, chance float64) (undo func()) {
	return n.Inject(Fault{Kind: Duplicate, A: a, B: b, X: chance})
}

// ClockStop lets a's clock stand still for d.
func (n *Network[M]) ClockStop(a Addr, d time.Duration) {
	n.At(n.Now()+d, n.Inject(Fault{Kind: ClockStop, A: a}))
}

// Thaw ends every freeze of a.
func (n *Network[M]) Thaw(a Addr) {
	id := n.node(a).id
	n.forget(func(f *inForce) bool { return f.Kind == Freeze && f.a == id })
}
