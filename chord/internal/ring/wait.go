package ring

import "time"

// wait is how long an answer is waited for.
type wait struct {
	until  time.Duration
	repeat time.Duration // when the question is asked again
}

func (w *wait) next() time.Duration { return min(w.until, w.repeat) }

func (r *Ring) every() time.Duration { return r.c.Patience / time.Duration(r.c.Tries) }

func (r *Ring) patience() wait { return wait{r.now + r.c.Patience, r.now + r.every()} }

func (r *Ring) over(w *wait) bool { return r.now >= w.until }

// again tells whether the question is to be asked again now; if so, it is.
func (r *Ring) again(w *wait) bool {
	if r.now < w.repeat {
		return false
	}
	w.repeat = r.now + r.every()
	return true
}
