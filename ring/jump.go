package ring

import (
	"fmt"
	"slices"
)

// jump places by the number of members: the key's hash says in which of n
// places it goes, and the place is an index into the list. Adding a member at
// the end of the list, or removing the last, moves the fewest keys that can
// be; anywhere else it shifts all the members behind it, and their keys move.
type jump struct {
	hash    hash64
	members int
}

func newJump(members []Member, hash hash64) (Ring, error) {
	if !equalWeights(members) {
		return nil, fmt.Errorf("ring: jump knows no weights: give all members the same, or choose %s or %s", Ketama, Rendezvous)
	}
	return &jump{hash: hash, members: len(members)}, nil
}

// Owner implements Ring.
func (j *jump) Owner(key string) int {
	return jumpHash(j.hash(key), j.members)
}

// Owners implements Ring. Owners are drawn one after the other, each with a
// hash made from the key's, and who was drawn before is passed over. So when
// the last member leaves, only its own draws come out differently, and whoever
// comes instead takes its rank.
func (j *jump) Owners(dst []int, key string, n int) []int {
	// So many draws in a row that bring nobody new end the drawing, and the
	// first in the list who is not yet an owner comes next: that bounds the
	// work when nearly all members are asked for, and does not happen otherwise.
	const maxRepeats = 16

	mine := len(dst)
	h := j.hash(key)
	repeats := 0
	for draws := uint64(0); len(dst)-mine < min(n, j.members); draws++ {
		m := jumpHash(mix64(h, draws), j.members)
		if repeats == maxRepeats {
			for m = 0; slices.Contains(dst[mine:], m); {
				m++
			}
		}
		if slices.Contains(dst[mine:], m) {
			repeats++
			continue
		}
		dst = append(dst, m)
		repeats = 0
	}
	return dst
}

// mix64 returns the draw-th hash made from h, of which the 0th is h itself.
// (The steps and the mixing are splitmix64's.)
func mix64(h, draw uint64) uint64 {
	if draw == 0 {
		return h
	}
	h += draw * 0x9e3779b97f4a7c15
	h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
	h = (h ^ h>>27) * 0x94d049bb133111eb
	return h ^ h>>31
}

// jumpHash is Lamping and Veach's function: it returns a number in [0, n), and
// for n+1 the same one, but with probability 1/(n+1) n. It returns -1 for 0.
func jumpHash(key uint64, n int) int {
	at, next := int64(-1), int64(0) // up to n * 2^31: more than an int may hold
	for next < int64(n) {
		at = next
		key = key*2862933555777941757 + 1
		next = int64(float64(at+1) * (float64(1<<31) / float64(key>>33+1)))
	}
	return int(at)
}
