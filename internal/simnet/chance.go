package simnet

import (
	"math/bits"
	"time"
)

// chance is a stream of numbers that a seed decides (splitmix64). The network
// has one for each node rather than one for all: a fault that is left out of a
// schedule then changes the latencies of what it touched, and of what follows
// from that, but not of everything after it.
type chance struct{ state uint64 }

// newChance returns the stream of a name under a seed.
func newChance(seed uint64, name string) chance {
	c := chance{seed}
	c.state = c.next()
	for i := range len(name) {
		c.state = (c.state ^ uint64(name[i])) * 0x100000001b3
	}
	return c
}

// next returns 64 bits.
func (c *chance) next() uint64 {
	c.state += 0x9e3779b97f4a7c15
	z := c.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// Uint64 makes a chance a source of math/rand/v2.
func (c *chance) Uint64() uint64 { return c.next() }

// below returns a number in [0, n), and 0 for an n below 1.
func (c *chance) below(n int64) int64 {
	if n <= 0 {
		return 0
	}
	high, _ := bits.Mul64(c.next(), uint64(n))
	return int64(high)
}

// between returns a duration in [low, high].
func (c *chance) between(low, high time.Duration) time.Duration {
	return low + time.Duration(c.below(int64(high-low)+1))
}

// yes is true in millionths of all cases.
func (c *chance) yes(millionths int64) bool {
	return millionths > 0 && c.below(million) < millionths
}

// million is the unit of chances and clock rates: whole millionths, since
// floating point may round differently from one processor to another.
const million = 1_000_000

// Latency is how long a message is under way, one way: evenly spread between
// Min and Max, save that one in TailOneIn takes between Max and Tail.
type Latency struct {
	Min, Max  time.Duration
	Tail      time.Duration
	TailOneIn int // 0: there is no tail
}

// DefaultLatency is that of a rack with a hiccup now and then. The tail is
// longer than a request takes and shorter than any lease or time-out is.
var DefaultLatency = Latency{
	Min:       100 * time.Microsecond,
	Max:       500 * time.Microsecond,
	Tail:      50 * time.Millisecond,
	TailOneIn: 1000,
}

func (l *Latency) draw(c *chance) int64 {
	if l.TailOneIn > 0 && c.below(int64(l.TailOneIn)) == 0 {
		return int64(c.between(l.Max, max(l.Max, l.Tail)))
	}
	return int64(c.between(l.Min, max(l.Min, l.Max)))
}

// clock is a node's own: it was base at since, and goes at rate from there on.
type clock struct {
	base  int64 // the node's time, ns
	since int64 // virtual time, ns
	rate  int64 // millionths
}

// at returns what the clock shows at a virtual time.
func (c *clock) at(now int64) int64 {
	d := now - c.since
	return c.base + d/million*c.rate + d%million*c.rate/million
}

// when returns the first virtual time at which the clock shows at least local,
// and false when at its present rate it never will.
func (c *clock) when(now, local int64) (int64, bool) {
	if local <= c.at(now) {
		return now, true
	}
	d := local - c.base
	if c.rate == 0 || d/c.rate > maxWait/million {
		return 0, false
	}
	return c.since + d/c.rate*million + (d%c.rate*million+c.rate-1)/c.rate, true
}

// maxWait bounds how far ahead an alarm is looked for, so that no sum overflows.
const maxWait = int64(1000 * 24 * time.Hour)

func (c *clock) setRate(now, rate int64) {
	c.base, c.since, c.rate = c.at(now), now, rate
}
