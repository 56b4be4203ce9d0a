package ringsim

import (
	"fmt"
	"unsafe"

	"github.com/torc-dht/torc/chord/internal/ring"
)

// State is what a node keeps, on average.
type State struct {
	Nodes      int
	Fingers    int     // entries in the finger table: n
	Different  float64 // different nodes among them
	Successors float64
	// Bytes are those of the entries: fingers, successors and predecessor.
	Bytes float64
}

// State measures what nodes keep.
func (s *Sim) State() State {
	st := State{Nodes: len(s.live), Fingers: int(s.c.Circle)}
	for _, n := range s.live {
		var last ring.Ref
		for _, p := range n.Fingers() {
			if p != last && !p.None() {
				st.Different++
			}
			last = p
		}
		st.Successors += float64(len(n.Successors()))
	}
	st.Different /= float64(st.Nodes)
	st.Successors /= float64(st.Nodes)
	st.Bytes = (float64(st.Fingers) + st.Successors + 1) * float64(unsafe.Sizeof(ring.Ref{}))
	return st
}

// String says it in one line.
func (s State) String() string {
	return fmt.Sprintf("%d nodes: a finger table of n = %d entries (%.1f different nodes), %.0f successors, a predecessor: %.0f bytes a node, O(n + successors)",
		s.Nodes, s.Fingers, s.Different, s.Successors, s.Bytes)
}
