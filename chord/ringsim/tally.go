package ringsim

import "math"

// Tally counts small numbers.
type Tally struct {
	counts     []int
	total, sum int
}

// Add counts value, which is 0 or more.
func (t *Tally) Add(value int) { t.add(value, 1) }

func (t *Tally) add(value, times int) {
	if value >= len(t.counts) {
		t.counts = append(t.counts, make([]int, value+1-len(t.counts))...)
	}
	t.counts[value] += times
	t.total += times
	t.sum += value * times
}

// AddAll counts all that o has.
func (t *Tally) AddAll(o *Tally) {
	for value, times := range o.counts {
		t.add(value, times)
	}
}

// Total is how many there are.
func (t *Tally) Total() int { return t.total }

// Mean is NaN if there are none.
func (t *Tally) Mean() float64 { return float64(t.sum) / float64(t.total) }

// Share is how much of all is this value.
func (t *Tally) Share(value int) float64 {
	if value >= len(t.counts) {
		return 0
	}
	return float64(t.counts[value]) / float64(t.total)
}

// Most is the largest value, -1 if there are none.
func (t *Tally) Most() int { return len(t.counts) - 1 }

// Percentile is the smallest value that at least p of 100 don't exceed; -1 if there are
// none.
func (t *Tally) Percentile(p float64) int {
	need := int(math.Ceil(p / 100 * float64(t.total)))
	for value, n := range t.counts {
		if need -= n; need <= 0 {
			return value
		}
	}
	return -1
}
