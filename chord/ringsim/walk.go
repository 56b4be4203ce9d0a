package ringsim

import (
	"slices"

	"github.com/torc-dht/torc/chord/internal/place"
	"github.com/torc-dht/torc/chord/internal/ring"
)

// Walk is a lookup that went on to the owner itself, past nodes that are dead.
type Walk struct {
	// End is who answered as the owner; nil: nobody was found.
	End *Node
	// Answered is how many nodes were asked on the way and answered, but for the one
	// that asks, and the end. Silent is how many of all that were asked are dead: each a
	// time-out.
	Answered, Silent int
}

// Walk has n look for target's owner and go to it, and calls then with what came of it.
//
// Where the owner is dead, the node before it is asked for its successor list, and the
// first in it that lives is the owner. Where the owner has a predecessor at the place or
// after it, that one is new, the node before doesn't know it yet, and the owner sends on
// to it.
func (s *Sim) Walk(n *Node, target place.Place, then func(Walk)) {
	n.Lookup(target, func(f *ring.Found) {
		var w Walk
		w.Answered, w.Silent = hops(f)
		if f.Err == nil {
			list := append([]ring.Ref{f.Owner}, s.node(f.Before).Successors()...)
			for _, p := range list {
				if w.End = s.node(p); !w.End.dead {
					break
				}
				if !slices.ContainsFunc(f.Hops, func(h ring.Hop) bool { return h.Node == p }) {
					f.Hops = append(f.Hops, ring.Hop{Node: p, Silent: true})
					w.Silent++
				}
			}
			w.End = s.newer(w.End, target)
		}
		then(w)
	})
}

// newer is who of the nodes before end, as they know of one another, owns target.
func (s *Sim) newer(end *Node, target place.Place) *Node {
	for {
		p := end.Predecessor()
		if p.None() || s.node(p).dead || place.Between(p.Place, target, end.ref.Place) {
			return end
		}
		end = s.node(p)
	}
}

// hops counts who answered on a path, and who didn't. Who was asked twice, since all that
// it named first were dead, counts once.
func hops(f *ring.Found) (answered, silent int) {
	for i, h := range f.Hops {
		switch {
		case h.Silent:
			silent++
		case !slices.ContainsFunc(f.Hops[:i], func(o ring.Hop) bool { return o.Node == h.Node }):
			answered++
		}
	}
	return answered, silent
}
