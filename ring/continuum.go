package ring

import (
	"fmt"
	"math/bits"
	"slices"
)

// hash32 places a key on the circle.
type hash32 func(key string) uint32

// point is a place on the circle and whose it is: the hash in the upper half,
// the member's index in the lower. So points sort by hash, and equal hashes by
// index.
type point uint64

func newPoint(hash uint32, member int) point { return point(hash)<<32 | point(uint32(member)) }
func (p point) member() int                  { return int(uint32(p)) }

// continuum is a circle of points, for ketama and for virtual nodes.
//
// A look-up begins at first[top bits of the hash] and goes up from there. As
// there are at least as many buckets as points, and hashes are spread evenly,
// it looks at one or two points, where a binary search among 16,000 would miss
// the cache and the branch predictor fourteen times.
type continuum struct {
	hash    hash32
	points  []point  // sorted, and one more: the first again, above every hash
	first   []uint32 // for each bucket, the index of the first point at or after its start
	shift   uint8    // hash >> shift is the bucket
	members int      // how many members have points
	only    int      // the member that has all of them, or -1
}

// newContinuum makes the circle of points, which it sorts and keeps; at least
// one for a list with members.
func newContinuum(points []point, hash hash32) *continuum {
	c := &continuum{hash: hash, only: -1}
	if len(points) == 0 {
		return c
	}
	slices.Sort(points)

	seen := make(map[int]bool)
	for _, p := range points {
		seen[p.member()] = true
	}
	c.members = len(seen)
	if c.members == 1 {
		c.only = points[0].member()
	}

	logBuckets := max(1, bits.Len(uint(len(points)-1)))
	c.shift = uint8(32 - logBuckets)
	c.first = make([]uint32, 1<<logBuckets)
	i := 0
	for b := range c.first {
		start := newPoint(uint32(b)<<c.shift, 0)
		for i < len(points) && points[i] < start {
			i++
		}
		c.first[b] = uint32(i)
	}
	c.points = append(points, newPoint(^uint32(0), points[0].member()))
	return c
}

// find returns the index of the first point at or after hash. Past the last
// real point that is the extra one, whose member is the first's.
func (c *continuum) find(hash uint32) int {
	from := newPoint(hash, 0)
	i := int(c.first[hash>>(c.shift&31)])
	for c.points[i] < from {
		i++
	}
	return i
}

// Owner implements Ring.
func (c *continuum) Owner(key string) int {
	if c.members <= 1 {
		return c.only
	}
	return c.points[c.find(c.hash(key))].member()
}

// Owners implements Ring.
func (c *continuum) Owners(dst []int, key string, n int) []int {
	n = min(n, c.members)
	if n <= 0 {
		return dst
	}
	if n == 1 {
		return append(dst, c.Owner(key))
	}
	mine := len(dst)
	for i := c.find(c.hash(key)); ; i++ {
		if i == len(c.points) {
			i = 0
		}
		m := c.points[i].member()
		if slices.Contains(dst[mine:], m) {
			continue
		}
		if dst = append(dst, m); len(dst) == mine+n {
			return dst
		}
	}
}

// tooMany is the error for a ring of more than MaxPoints.
func tooMany(m Member, points uint64) error {
	return fmt.Errorf("ring: %s (weight %d) brings the ring to %d points, more than %d: use smaller weights or fewer virtual nodes", m.Addr, m.weight(), points, MaxPoints)
}
