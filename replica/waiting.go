package replica

import "iter"

// waiting are the calls that the core has not answered yet, by the name under which
// it has them.
type waiting struct {
	places []place
	free   []uint32
}

// place is where a call waits, one after another.
type place struct {
	call   *call
	number uint64 // of the operation, if it got it from this server
	turn   uint32 // which call of this place it is
}

// add keeps a call, and returns its name.
func (w *waiting) add(c *call, number uint64) (ref uint64) {
	var at uint32
	if n := len(w.free); n > 0 {
		at, w.free = w.free[n-1], w.free[:n-1]
	} else {
		at = uint32(len(w.places))
		w.places = append(w.places, place{})
	}
	p := &w.places[at]
	p.call, p.number = c, number
	return uint64(p.turn)<<32 | uint64(at)
}

// remove returns the call of that name, once; then nil.
func (w *waiting) remove(ref uint64) (*call, uint64) {
	at, turn := uint32(ref), uint32(ref>>32)
	if int(at) >= len(w.places) || w.places[at].turn != turn || w.places[at].call == nil {
		return nil, 0
	}
	p := &w.places[at]
	c, number := p.call, p.number
	*p = place{turn: turn + 1}
	w.free = append(w.free, at)
	return c, number
}

// all removes and yields every call.
func (w *waiting) all() iter.Seq2[*call, uint64] {
	return func(yield func(*call, uint64) bool) {
		for at := range w.places {
			if c, number := w.remove(uint64(w.places[at].turn)<<32 | uint64(at)); c != nil && !yield(c, number) {
				return
			}
		}
	}
}
