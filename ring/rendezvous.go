package ring

import "math"

// hash64 hashes a key, or a member's name, to 64 bits.
type hash64 func(key string) uint64

// rendezvous lets each member draw a number for each key: how long it would
// take, at a rate of its weight, until something random happens. The first one
// has the key. So members win in proportion to their weights, and what one
// draws does not depend on who else is there.
//
// With u uniform in [0, 1), that time is -ln(1-u)/weight. Logarithms are dear
// and mostly not needed: the time is at least u/weight, and who is later than
// the best by that measure is out; and among equal weights the order of the u
// is the order of the times.
type rendezvous struct {
	hash    hash64
	seeds   []uint64  // the hash of each member's name
	perUnit []float64 // 1/weight of each member; nil if all weights are equal
}

func newRendezvous(members []Member, hash hash64) *rendezvous {
	r := &rendezvous{hash: hash, seeds: make([]uint64, len(members))}
	for i, m := range members {
		r.seeds[i] = hash(m.name())
	}
	if !equalWeights(members) {
		r.perUnit = make([]float64, len(members))
		for i, m := range members {
			r.perUnit[i] = 1 / float64(m.weight())
		}
	}
	return r
}

// draw is what the member of that seed draws for a key of that hash: u as a
// whole number of 2^-53ths. Both hashes are good already, so that two
// multiplications are enough to make them one; a member costs a nanosecond.
func draw(key, seed uint64) uint64 {
	x := (key ^ seed) * 0xff51afd7ed558ccd
	x = (x ^ x>>32) * 0xc4ceb9fe1a85ec53
	return x >> 11
}

// Owner implements Ring.
func (r *rendezvous) Owner(key string) int {
	if r.perUnit != nil {
		var room [1]int
		return r.Owners(room[:0], key, 1)[0]
	}
	h := r.hash(key)
	member, best := -1, ^uint64(0)
	for i, seed := range r.seeds {
		if d := draw(h, seed); d < best {
			member, best = i, d
		}
	}
	return member
}

// Owners implements Ring.
func (r *rendezvous) Owners(dst []int, key string, n int) []int {
	h := r.hash(key)
	var w winners
	for left := min(n, len(r.seeds)); left > 0; left -= w.n {
		w = r.after(h, w, min(left, len(w.members)))
		dst = append(dst, w.members[:w.n]...)
	}
	return dst
}

// winners are members in the order of their times, as many as one pass over
// all members collects: there are seldom more copies than that.
type winners struct {
	n       int
	members [8]int
	times   [8]float64
}

// after returns the n members that come next after the last of prev.
func (r *rendezvous) after(key uint64, prev winners, n int) (w winners) {
	since, last := -1.0, -1
	if prev.n > 0 {
		since, last = prev.times[prev.n-1], prev.members[prev.n-1]
	}
	worst := math.Inf(1) // of those in w, once there are n
	for i, seed := range r.seeds {
		t := float64(int64(draw(key, seed))) / (1 << 53)
		if r.perUnit != nil {
			if t*r.perUnit[i] >= worst {
				continue
			}
			t = -math.Log1p(-t) * r.perUnit[i]
		}
		if t >= worst || t < since || t == since && i <= last {
			continue
		}
		at := min(w.n, n-1)
		for ; at > 0 && t < w.times[at-1]; at-- {
			w.times[at], w.members[at] = w.times[at-1], w.members[at-1]
		}
		w.times[at], w.members[at] = t, i
		w.n = min(w.n+1, n)
		if w.n == n {
			worst = w.times[n-1]
		}
	}
	return w
}
