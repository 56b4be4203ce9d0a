package ring

import (
	"fmt"
	"strconv"

	"github.com/twmb/murmur3"
)

// newVirtual makes a circle on which a member of weight w has vnodes*w points,
// at the hashes of its name, a hyphen and a number. They depend on that member
// alone, so others' points stay where they are when it comes, goes, or changes
// its weight.
func newVirtual(members []Member, vnodes int, hash hash32) (Ring, error) {
	if vnodes < 1 {
		return nil, fmt.Errorf("ring: %d virtual nodes: a member needs at least 1", vnodes)
	}
	var total uint64
	for _, m := range members {
		if total += uint64(vnodes) * uint64(m.weight()); vnodes > MaxPoints || total > MaxPoints {
			return nil, tooMany(m, total)
		}
	}
	points := make([]point, 0, total+1)
	for i, m := range members {
		name := append([]byte(m.name()), '-')
		for k := range uint64(vnodes) * uint64(m.weight()) {
			points = append(points, newPoint(hash(string(strconv.AppendUint(name, k, 10))), i))
		}
	}
	return newContinuum(points, hash), nil
}

func hashMurmur3(key string) uint32 { return murmur3.StringSum32(key) }

func hashMurmur3x64(key string) uint64 { return murmur3.StringSum64(key) }
