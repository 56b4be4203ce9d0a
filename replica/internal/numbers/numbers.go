package numbers

// Numbers are those of one client's operations: it hands them out, from 1, and
// knows up to which of them all have ended. The zero value has handed out none. It
// is for one goroutine at a time.
type Numbers struct {
	last  uint64 // that was handed out
	acked uint64 // it and all below it have ended
	// ended has a place for each number above acked, by its lowest bits; its length
	// is a power of two.
	ended []bool
}

// Next hands out a number, and says up to which of those before it all have ended.
func (n *Numbers) Next() (number, acked uint64) {
	n.last++
	if n.last-n.acked > uint64(len(n.ended)) {
		n.grow()
	}
	return n.last, n.acked
}

// End notes that the operation of a number has ended, which it does once.
func (n *Numbers) End(number uint64) {
	mask := uint64(len(n.ended) - 1)
	n.ended[number&mask] = true
	for n.acked < n.last && n.ended[(n.acked+1)&mask] {
		n.acked++
		n.ended[n.acked&mask] = false
	}
}

func (n *Numbers) grow() {
	old := n.ended
	n.ended = make([]bool, max(2*len(old), 64))
	for i := n.acked + 1; i < n.last; i++ {
		n.ended[i&uint64(len(n.ended)-1)] = old[i&uint64(len(old)-1)]
	}
}
