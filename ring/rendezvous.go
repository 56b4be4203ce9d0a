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
	h := r.hash(key)
	if r.perUnit != nil {
		member, _ := r.after(h, -1, -1)
		return member
	}
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
	member, time := -1, -1.0
	for range min(n, len(r.seeds)) {
		member, time = r.after(h, member, time)
		dst = append(dst, member)
	}
	return dst
}

// after returns who comes next after the given member at the given time, and
// when: the least (time, index) above that pair, or (-1, +Inf).
func (r *rendezvous) after(key uint64, member int, time float64) (int, float64) {
	next, best := -1, math.Inf(1)
	for i, seed := range r.seeds {
		u := float64(draw(key, seed)) / (1 << 53)
		t := u
		if r.perUnit != nil {
			if u*r.perUnit[i] >= best {
				continue
			}
			t = -math.Log1p(-u) * r.perUnit[i]
		}
		if t < best && (t > time || t == time && i > member) {
			next, best = i, t
		}
	}
	return next, best
}
