// Package place is the circle that a Chord ring lies on: 2^n places, n from 1 to 160,
// and what can be said of them.
//
//	       0
//	   ┌───┴───┐          Between(a, x, b): x is met on the way from a to b,
//	b ─┤       ├─ a       clockwise, b included and a not
//	   └───┬───┘
//	       x
//
// A node has a place, and so has a key: that of the number it is, modulo 2^n, or of
// its sha-1 if it is no number ([Circle.OfKey]). A key belongs to the first node that
// is met from its place on, its successor (Stoica et al., Chord, SIGCOMM 2001,
// section 4.2).
package place
