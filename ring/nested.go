package ring

// Nested says whether the ring of part is the ring of whole with the members
// left out that part lacks: then what part's Owners are for a key are whole's,
// without those members. Both lists are sorted by address. The answer depends on
// no key. No is always safe: it is no for jump unless the lists are the same,
// and for ketama where its rounding gives a member another number of points.
func Nested(kind string, part, whole []Member) bool {
	if len(part) > len(whole) {
		return false
	}
	at := make([]int, len(part)) // where each of part is in whole
	next := 0
	for i, m := range part {
		for next < len(whole) && whole[next].Addr < m.Addr {
			next++
		}
		if next == len(whole) || whole[next].name() != m.name() || whole[next].weight() != m.weight() || whole[next].Addr != m.Addr {
			return false
		}
		at[i] = next
		next++
	}
	switch kind {
	case Murmur3, Rendezvous:
		return true
	case Ketama, KetamaFNV1a64, "":
		points, all := ketamaPoints(part), ketamaPoints(whole)
		for i, j := range at {
			if points[i] != all[j] {
				return false
			}
		}
		return true
	}
	return len(part) == len(whole)
}
