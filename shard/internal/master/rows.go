package master

import (
	"slices"

	"github.com/torc-dht/torc/shard/slots"
)

// age is since which map, by its counter, a row's primary and its copies are what
// they are without a break.
type age struct {
	primary uint32
	copies  [2 * slots.MaxCopies]uint32 // as in Row.Copies
}

// of returns since when server is a copy as it is now.
func (a *age) of(r *slots.Row, server int16) uint32 {
	for i, c := range r.Copies() {
		if c.Server == server {
			return a.copies[i]
		}
	}
	return 0
}

// newAge is that of a row that a map has anew.
func newAge(counter uint32) (a age) {
	a.primary = counter
	for i := range a.copies {
		a.copies[i] = counter
	}
	return a
}

// next makes the age of was into that of is, which is in a new map. With another
// primary all copies are new: what one was sent by the last primary is nothing to
// the next.
func (a *age) next(was, is *slots.Row, counter uint32) {
	old := *a
	if *a = newAge(counter); was.Primary != is.Primary {
		return
	}
	a.primary = old.primary
	for i, c := range is.Copies() {
		if state, ok := was.Copy(c.Server); ok && state == c.State {
			a.copies[i] = old.of(was, c.Server)
		}
	}
}

// settled says whether there is nothing to do about a row: it is the goal's, and
// all of its servers are as they should be.
func (f *facts) settled(r *slots.Row, w *slots.Want) bool {
	if r.Primary == slots.None || r.Primary != w[0] || r.Fresh || !f.at[r.Primary].fine {
		return false
	}
	n := 0
	for _, c := range r.Copies() {
		if c.State != slots.InSync || !f.at[c.Server].fine || !w.Has(c.Server) {
			return false
		}
		n++
	}
	return n+1 == len(w) || w[n+1] == slots.None
}

// step changes one row of the next map as the rules have it. It was so before, at
// an age.
func (f *facts) step(s slots.Slot, r, was *slots.Row, a *age, w *slots.Want) {
	if r.Primary != slots.None && f.at[r.Primary].forgotten {
		f.forget(r, w)
	}
	switch {
	case r.Primary == slots.None:
		f.first(s, r, w)
	case f.at[r.Primary].dead:
		if !f.promote(r, w) {
			return
		}
	case !f.at[r.Primary].heard:
		return // it may yet come, or turn out to be dead
	case f.gaveUp != nil && f.gaveUp[s] != slots.None:
		f.handOver(r, f.gaveUp[s])
	default:
		f.removeLost(r, was, a)
		f.advance(r, was, a)
	}
	if r.Primary != slots.None {
		f.removeUnwanted(r, w)
		f.addWanted(r, w)
	}
}

// first gives a row that nobody has ever had (R1c), or nobody has any more, to whom
// the goal wants it. If that one can't take it now, somebody else does, and hands it
// over later.
func (f *facts) first(s slots.Slot, r *slots.Row, w *slots.Want) {
	for i := range len(f.at) + 1 {
		p := w.Primary()
		if i > 0 {
			p = int16((int(s) + i) % len(f.at))
		}
		if p != slots.None && !f.at[p].silent && !f.at[p].leaving {
			*r = slots.Row{Primary: p, Fresh: true}
			return
		}
	}
}

// promote finds a new primary for the row of a dead one (R1a): an InSync copy,
// whom the old one can have answered nothing without, and who is not silent: else,
// where both fell silent together, the row would go to who is found dead next, and
// lose the copy that is the first to come back. The old one may yet live and
// not know: it is deposed. With nobody to promote the row waits (R3), and keeps
// the copies that could be promoted should they come back: all but those that have
// nothing whole, or that are proven dead where another remains (R2).
//
// Copies that are Filling or Joining begin again: what they were sent is the old
// primary's business. Say D is Joining, and what P sent it is still under way when
// P dies: C, which is InSync, has no means to know what D lacks.
func (f *facts) promote(r *slots.Row, w *slots.Want) bool {
	dead, best := r.Primary, slots.None
	for _, c := range r.Copies() {
		if c.State != slots.InSync && !(f.planted.promoteJoining && c.State == slots.Joining) || f.at[c.Server].silent {
			continue
		}
		// Whom the goal wants needs no hand-over afterwards.
		if best == slots.None || c.Server == w.Primary() || best != w.Primary() && c.Server < best {
			best = c.Server
		}
	}
	if best == slots.None {
		f.keepWaiting(r)
		return false
	}
	f.at[dead].deposed = true
	r.Remove(best)
	r.Primary, r.Fresh = best, false
	f.restart(r)
	for _, c := range slices.Backward(r.Copies()) {
		if f.at[c.Server].dead {
			r.Remove(c.Server)
		}
	}
	return true
}

// keepWaiting removes from the row of a dead primary what is of no use to it.
func (f *facts) keepWaiting(r *slots.Row) {
	inSync := 0
	for _, c := range slices.Backward(r.Copies()) {
		switch {
		case c.State == slots.Filling || f.at[c.Server].forgotten:
			r.Remove(c.Server)
		case c.State == slots.InSync:
			inSync++
		}
	}
	for _, c := range slices.Backward(r.Copies()) {
		if f.at[c.Server].proven && (inSync > 1 || c.State != slots.InSync) {
			r.Remove(c.Server)
			if c.State == slots.InSync {
				inSync--
			}
		}
	}
}

// restart makes Filling of all copies that are not InSync.
func (f *facts) restart(r *slots.Row) {
	for _, c := range slices.Backward(r.Copies()) {
		if c.State == slots.Joining {
			r.Set(c.Server, slots.Filling)
		}
	}
}

// handOver makes primary to whom the primary gave the row up (R1b). The former
// primary has all that there is, so it is an InSync copy.
func (f *facts) handOver(r *slots.Row, to int16) {
	from := r.Primary
	r.Remove(to)
	r.Primary, r.Fresh = to, false
	f.restart(r)
	for _, c := range slices.Backward(r.Copies()) {
		if f.at[c.Server].dead {
			r.Remove(c.Server)
		}
	}
	r.Set(from, slots.InSync)
}

// removeLost removes copies that are dead, or that the primary can't reach (R6): a
// living primary goes on without them as soon as it hears so (R2). A primary that is
// silent keeps them: perhaps it is dead, and they are all there is. (P and C fall
// silent one after the other. Were C removed, and then P found dead, C could come
// back and be of no use.)
func (f *facts) removeLost(r, was *slots.Row, a *age) {
	for _, c := range slices.Backward(r.Copies()) {
		lost := f.at[c.Server].dead && (!f.at[r.Primary].silent || f.at[c.Server].proven && c.State != slots.InSync || f.at[c.Server].forgotten)
		if lost || f.dropped(r.Primary, c.Server) >= a.of(was, c.Server) {
			r.Remove(c.Server)
		}
	}
}

// advance lets copies take their next step (R2): from Filling to Joining when the
// primary has said that they have everything, in a map in which they were Filling
// already; from Joining to InSync when it has acknowledged that it waits for them.
//
// Without that acknowledgement the row P with the copy C could become P with D
// instead, P not hear of it, and count as dead. D, promoted, and P with C, cut off
// together, would both answer.
func (f *facts) advance(r, was *slots.Row, a *age) {
	p := r.Primary
	acked := f.at[p].acked
	if r.Fresh && acked >= a.primary {
		r.Fresh = false
	}
	for _, c := range r.Copies() {
		since := a.of(was, c.Server)
		switch {
		case c.State == slots.Filling && f.filled(p, c.Server) >= since && f.usable(p, c.Server):
			if f.planted.joinUnacked {
				r.Set(c.Server, slots.InSync)
				continue
			}
			r.Set(c.Server, slots.Joining)
		case c.State == slots.Joining && acked >= since && !f.at[c.Server].silent:
			r.Set(c.Server, slots.InSync)
		}
	}
}

// removeUnwanted removes copies that the goal doesn't want: at once those that
// are of no use yet, others when all that are wanted are InSync, so that there are
// never fewer than there were.
func (f *facts) removeUnwanted(r *slots.Row, w *slots.Want) {
	complete := w.Primary() != slots.None && !f.at[r.Primary].silent // see removeLost
	for _, v := range w {
		if v != slots.None && v != r.Primary {
			state, ok := r.Copy(v)
			complete = complete && ok && state == slots.InSync
		}
	}
	for _, c := range slices.Backward(r.Copies()) {
		if !w.Has(c.Server) && (complete || c.State == slots.Filling) {
			r.Remove(c.Server)
		}
	}
}

// addWanted adds the copies that the goal wants and that may be made (R7), as
// Filling (R2).
func (f *facts) addWanted(r *slots.Row, w *slots.Want) {
	if f.at[r.Primary].dead || f.at[r.Primary].silent {
		return
	}
	for _, v := range w {
		if v == slots.None || v == r.Primary || r.Full() || !f.usable(r.Primary, v) {
			continue
		}
		if _, ok := r.Copy(v); !ok {
			r.Set(v, slots.Filling)
		}
	}
}

// forget takes a row from a primary that was given up (R4): an InSync copy that
// may come is what is waited for from now on, and with none the row begins anew.
func (f *facts) forget(r *slots.Row, w *slots.Want) {
	if f.promote(r, w) {
		return
	}
	for _, c := range r.Copies() {
		if c.State == slots.InSync && !f.at[c.Server].forgotten {
			r.Remove(c.Server)
			r.Primary, r.Fresh = c.Server, false
			f.restart(r)
			return
		}
	}
	*r = slots.Row{Primary: slots.None}
}
