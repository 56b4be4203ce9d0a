package fence

import (
	"slices"
	"time"
)

// Answer is what one server answered when it was asked for a key.
type Answer struct {
	Member int
	// Has says that there was an item: a value, or one that is known to be dead.
	Has bool
	// Version is that of its stamp, and Ours says that the stamp is of this
	// generation. An item that isn't is nothing but a sign that its server took no
	// write since.
	Version uint64
	Ours    bool
}

// forgetful is how much sooner than Linger a server's having nothing ceases to
// prove anything: for clocks that differ.
const forgetful = Linger / 12

// Decide says which of the answers to a question for key is the newest value;
// -1: none can be said to be. Several that count are equally good, unless a write
// is under way; of these it takes the one of the latest view, and of those the
// first. ByAbsence says that somebody's having nothing was needed to decide: if
// the winner's item can't be stamped anew in its place afterwards, a write has
// come between and the decision is void.
//
// Where no owner under the present view has answered, nothing counts: a write that
// nobody has finished may lie there, and have been read.
//
// Now is compared with the times at which views were recorded.
func (h *History) Decide(key string, answers []Answer, now time.Time) (winner int, byAbsence bool) {
	winner = -1
	if !slices.ContainsFunc(answers, func(a Answer) bool { return h.now.owns(key, a.Member, h.cfg.Copies) }) {
		return -1, false
	}
	better := func(i int) bool { return winner < 0 || answers[i].Version > answers[winner].Version }
	for i, a := range answers {
		if a.Has && a.Ours && better(i) && h.Counts(key, a.Member, a.Version) {
			winner = i
		}
	}
	// From here on: nothing was written after view x that is not among the answers.
	for x := len(h.views) - 1; winner < 0; {
		back, absence := x, false
		for _, a := range answers {
			switch {
			case a.Has:
				if to := h.untouched(key, a, x); to < back {
					back, absence = to, false
				}
			case h.rejoin == Check:
				if to := h.kept(key, a.Member, x, now); to < back {
					back, absence = to, true
				}
			}
		}
		if back == x || back < 0 {
			return -1, false
		}
		x, byAbsence = back, byAbsence || absence
		for i, a := range answers {
			counts := a.Has && a.Ours && a.Version >= h.views[0].Version && h.owned(key, a.Member, x, a.Version) < 0
			if counts && better(i) {
				winner = i
			}
		}
	}
	return winner, byAbsence
}

// untouched returns the newest view up to x in which a's server did not own key,
// if it did not take what it has later than that: it took no write since.
func (h *History) untouched(key string, a Answer, x int) int {
	version := uint64(0)
	if a.Ours {
		version = a.Version
	}
	if to := h.owned(key, a.Member, x, version); to >= 0 {
		return to
	}
	if a.Ours {
		return x // it would have counted, were it from a view that is remembered
	}
	return -1
}

// kept is untouched for a server that has nothing: for as long as it has not
// been out of the fleet since, and what has died since would still be there.
func (h *History) kept(key string, member, x int, now time.Time) int {
	for i := len(h.views) - 1; i >= 0; i-- {
		v := h.views[i]
		remembered := v == h.now || now.Sub(v.Recorded) < Linger-forgetful
		if !h.stayed(v, member) || !remembered || i <= x && !v.owns(key, member, h.cfg.Copies) {
			return min(i, x)
		}
	}
	return -1
}
