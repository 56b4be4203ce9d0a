package keep

// lease is for how long a session with ZooKeeper is certain to live. It counts in
// nanoseconds.
//
// A session ends when the leader of ZooKeeper's servers has heard nothing of it for
// its time-out. But that leader is told only with the answers to its pings which
// sessions another server has heard from, each half tick; and a time-out is two
// ticks at least. So when something that was asked at t has come back from it, it
// knows of what was asked a quarter of a time-out before t, or earlier; and not yet,
// perhaps never, of what was asked since.
type lease struct {
	timeout int64
	asked   []int64 // in order; all but the first within a quarter of the time-out before the last
}

// newLease begins when a session is asked for; that is known to all who matter.
func newLease(timeout, asked int64) lease { return lease{timeout, []int64{asked}} }

// answered takes note of an answer to what was asked at a time, which is not before
// the others.
func (l *lease) answered(asked int64) {
	l.asked = append(l.asked, asked)
	for len(l.asked) > 1 && l.asked[1] <= asked-l.timeout/4 {
		l.asked = l.asked[1:]
	}
}

// until is when it ends: a twentieth before the time-out, for clocks that differ.
func (l *lease) until() int64 { return l.asked[0] + l.timeout/20*19 }
