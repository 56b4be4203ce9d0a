package replica

// numbers are those of one client's operations: it hands them out, from 1, and
// knows up to which of them all have ended.
type numbers struct {
	last  uint64 // that was handed out
	acked uint64 // it and all below it have ended
	// ended has a place for each number above acked, by its lowest bits; its length
	// is a power of two.
	ended []bool
}

// next hands out a number.
func (n *numbers) next() uint64 {
	n.last++
	if n.last-n.acked > uint64(len(n.ended)) {
		n.grow()
	}
	return n.last
}

// end notes that the operation of a number has ended, which it does once.
func (n *numbers) end(number uint64) {
	mask := uint64(len(n.ended) - 1)
	n.ended[number&mask] = true
	for n.acked < n.last && n.ended[(n.acked+1)&mask] {
		n.acked++
		n.ended[n.acked&mask] = false
	}
}

func (n *numbers) grow() {
	old := n.ended
	n.ended = make([]bool, max(2*len(old), 64))
	for i := n.acked + 1; i < n.last; i++ {
		n.ended[i&uint64(len(n.ended)-1)] = old[i&uint64(len(old)-1)]
	}
}
