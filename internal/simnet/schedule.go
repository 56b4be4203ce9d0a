package simnet

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Planned is a fault at a time.
type Planned struct {
	At  time.Duration
	For time.Duration // 0: it is not ended by the schedule
	Fault
}

// String prints the line as [ParseSchedule] reads it.
func (p Planned) String() string {
	if p.For == 0 {
		return fmt.Sprintf("at %v: %v", p.At, p.Fault)
	}
	return fmt.Sprintf("at %v for %v: %v", p.At, p.For, p.Fault)
}

// Schedule is the faults of a run.
type Schedule []Planned

// String prints a fault a line:
//
//	at 1.25s for 800ms: cut a b
//	at 3s for 2s: split a b | c d
//	at 4s: reset a b
func (s Schedule) String() string {
	var b strings.Builder
	for _, p := range s {
		fmt.Fprintln(&b, p)
	}
	return b.String()
}

// ParseSchedule reads what String printed, so that a failing run can be pasted
// into a test. Empty lines, and what follows a #, do not count.
func ParseSchedule(text string) (Schedule, error) {
	var s Schedule
	number := 0
	for line := range strings.Lines(text) {
		number++
		line, _, _ = strings.Cut(line, "#")
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		p, err := parsePlanned(line)
		if err != nil {
			return nil, fmt.Errorf("simnet: schedule, line %d: %w", number, err)
		}
		s = append(s, p)
	}
	return s, nil
}

func parsePlanned(line string) (p Planned, err error) {
	when, what, ok := strings.Cut(line, ":")
	words := strings.Fields(when)
	if !ok || len(words) != 2 && len(words) != 4 || words[0] != "at" || len(words) == 4 && words[2] != "for" {
		return p, fmt.Errorf("%q is not of the form \"at TIME for TIME: FAULT\"", line)
	}
	if p.At, err = time.ParseDuration(words[1]); err != nil || p.At < 0 {
		return p, fmt.Errorf("%q is no time", words[1])
	}
	if len(words) == 4 {
		if p.For, err = time.ParseDuration(words[3]); err != nil || p.For <= 0 {
			return p, fmt.Errorf("%q is no length of time", words[3])
		}
	}
	p.Fault, err = parseFault(what)
	return p, err
}

// Play lets the faults of s come and go, counted from now.
func (n *Network[M]) Play(s Schedule) {
	start := n.Now()
	for _, p := range s {
		n.At(start+p.At, func() {
			undo := n.Inject(p.Fault)
			if p.For > 0 {
				n.At(n.Now()+p.For, undo)
			}
		})
	}
}

// Shrink returns a part of s with which fails is still true, and from which no
// single fault can be left out. It asks fails, which must answer alike for like
// schedules, for ever smaller parts: some n log n times as a rule, n*n at worst.
func Shrink(s Schedule, fails func(Schedule) bool) Schedule {
	for size := max(1, len(s)/2); size >= 1; {
		smaller := false
		for i := 0; i < len(s); {
			without := slices.Concat(s[:i], s[min(i+size, len(s)):])
			if fails(without) {
				s, smaller = without, true
			} else {
				i += size
			}
		}
		if size == 1 && smaller {
			continue
		}
		size /= 2
	}
	return s
}

// Nemesis makes schedules by chance. Nodes and Length must be given.
type Nemesis struct {
	Nodes  []Addr
	Length time.Duration // of the whole run
	// Quiet is how long before the end all faults are over, for the nodes to
	// settle and for a test to ask that they do. Zero: a third of Length.
	Quiet time.Duration
	// Every is the mean time from one fault to the next, Lasting the mean of how
	// long they last; one in eight lasts about four times as long. Zero: a second.
	Every, Lasting time.Duration
	// MaxDown is how many nodes may be killed, frozen or isolated at one time.
	// Zero: a minority.
	MaxDown int
	// Weights is how often each kind comes, in proportion. Nil: [DefaultWeights].
	Weights map[Kind]int
	// Drift is the most by which clock rates differ from 1. Zero: 0.01, which is a
	// hundred times what quartz does and less than a lease's margin.
	Drift float64
	// Reject, unless nil, refuses faults that a protocol does not claim to bear.
	// The overlapping ones came before p and are not over by then.
	Reject func(p Planned, overlapping []Planned) bool
}

// DefaultWeights has every fault but clocks that stand still, which no lease
// bears. Kills and freezes come most: leases, promises and epochs are there
// because of them.
var DefaultWeights = map[Kind]int{
	Cut: 4, CutOneWay: 3, Isolate: 3, Split: 2, Reset: 4, Slow: 2,
	Kill: 6, Freeze: 6, ClockRate: 1, ClockStop: 0, Drop: 1, Duplicate: 1,
}

// kinds is the faults in an order.
var kinds = []Kind{Cut, CutOneWay, Isolate, Split, Reset, Slow, Kill, Freeze, ClockRate, ClockStop, Drop, Duplicate}

// Schedule makes one, the same for the same seed.
func (m Nemesis) Schedule(seed uint64) Schedule {
	m.Every, m.Lasting = cmp.Or(m.Every, time.Second), cmp.Or(m.Lasting, time.Second)
	m.MaxDown = cmp.Or(m.MaxDown, (len(m.Nodes)-1)/2)
	m.Drift = cmp.Or(m.Drift, 0.01)
	if m.Weights == nil {
		m.Weights = DefaultWeights
	}
	c := newChance(seed, "nemesis")
	end := m.Length - cmp.Or(m.Quiet, m.Length/3)
	var s Schedule
	for at := m.gap(&c); at < end; at += m.gap(&c) {
		p := Planned{At: at, For: m.lasting(&c), Fault: m.fault(&c)}
		p.For = min(p.For, end-at)
		if p.Kind == Reset {
			p.For = 0
		}
		if p.Kind != "" && (p.Kind == Reset || p.For > 0) && m.accepts(p, s) {
			s = append(s, p)
		}
	}
	return s
}

func (m *Nemesis) gap(c *chance) time.Duration {
	return c.between(0, 2*m.Every).Truncate(time.Microsecond) + time.Microsecond
}

func (m *Nemesis) lasting(c *chance) time.Duration {
	d := c.between(m.Lasting/8, m.Lasting*5/4) // with the long ones, Lasting in the mean
	if c.below(8) == 0 {
		d *= 4
	}
	return d.Truncate(time.Microsecond)
}

// fault makes one by the weights. It has no kind when there are too few nodes for
// the kind that was drawn.
func (m *Nemesis) fault(c *chance) Fault {
	sum := 0
	for _, k := range kinds {
		sum += m.Weights[k]
	}
	var f Fault
	i := c.below(int64(sum))
	for _, k := range kinds {
		if i -= int64(m.Weights[k]); i < 0 {
			f.Kind = k
			break
		}
	}
	s := shapes[f.Kind]
	if f.Kind == "" || len(m.Nodes) < max(1, s.ends) || s.groups && len(m.Nodes) < 2 {
		return Fault{}
	}
	nodes := slices.Clone(m.Nodes)
	for i := len(nodes) - 1; i > 0; i-- {
		j := c.below(int64(i + 1))
		nodes[i], nodes[j] = nodes[j], nodes[i]
	}
	if s.ends > 0 {
		f.A = nodes[0]
	}
	if s.ends > 1 {
		f.B = nodes[1]
	}
	if s.every && c.below(2) == 0 {
		f.B = Every
	}
	switch f.Kind {
	case Split:
		cut := 1 + c.below(int64(len(nodes)-1))
		f.Groups = [][]Addr{nodes[:cut], nodes[cut:]}
	case Slow:
		f.X = float64(int64(2) << c.below(7))
	case ClockRate:
		drift := millionths(m.Drift)
		f.X = float64(million-drift+c.below(2*drift+1)) / million
	case Drop, Duplicate:
		f.X = float64(5*(1+c.below(10))) / 100
	}
	return f
}

// accepts tells whether p may come beside what is in s.
func (m *Nemesis) accepts(p Planned, s Schedule) bool {
	var beside []Planned
	down := make(map[Addr]bool)
	takesDown := func(o *Planned) {
		if o.Kind == Kill || o.Kind == Freeze || o.Kind == Isolate {
			down[o.A] = true
		}
	}
	for i := range s {
		if o := &s[i]; o.At+o.For > p.At {
			beside = append(beside, *o)
			takesDown(o)
		}
	}
	takesDown(&p)
	return len(down) <= m.MaxDown && (m.Reject == nil || !m.Reject(p, beside))
}
