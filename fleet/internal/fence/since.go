package fence

import "slices"

// Since is what a rebalance wants to know of the views since the last one was
// finished. It never changes.
type Since struct {
	known  bool
	copies int
	views  []*view // one of each placement, of those from done up to now, exclusive
	stayed []bool  // by member: announced in each of them, in one incarnation
}

// Since returns what is known of the views since done.
func (h *History) Since() *Since {
	s := &Since{copies: h.cfg.Copies, stayed: make([]bool, len(h.now.Members))}
	for m := range s.stayed {
		s.stayed[m] = true
	}
	for _, v := range h.views {
		if v.Version < h.done || h.done == 0 {
			continue
		}
		s.known = s.known || v.Version == h.done
		for m := range s.stayed {
			s.stayed[m] = s.stayed[m] && h.stayed(v, m)
		}
		if v != h.now && !slices.ContainsFunc(s.views, func(w *view) bool { return w.box == v.box }) {
			s.views = append(s.views, v)
		}
	}
	return s
}

// Known says whether what is remembered reaches back to the last rebalance.
func (s *Since) Known() bool { return s.known }

// Kept says which of key's owners have owned it ever since the last rebalance
// was finished, and never left: bit i stands for owners[i], and owners are key's
// under the present view. All bits set say that the key's servers have not
// changed. Nobody is known to have kept anything where the view of that time is
// not remembered. It writes over scratch, and allocates nothing if that has room
// for the owners and no servers share a host.
func (s *Since) Kept(key string, owners, scratch []int) (kept uint) {
	if !s.known {
		return 0
	}
	for i, o := range owners {
		if s.stayed[o] {
			kept |= 1 << i
		}
	}
	for _, v := range s.views {
		if kept == 0 {
			break
		}
		then := v.owners(scratch[:0], key, s.copies)
		for i, o := range owners {
			if kept&(1<<i) != 0 && !slices.Contains(then, v.slot[o]) {
				kept &^= 1 << i
			}
		}
	}
	return kept
}
