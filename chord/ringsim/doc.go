// Package ringsim runs rings of thousands of nodes in one goroutine, in virtual time:
// package ring's own state machine at every node, messages that take a while, and
// nothing that a node didn't learn by the protocol. A seed decides all that is left to
// chance.
//
//	Sim ── Add, Kill, Run ──> nodes (ring.Ring) ──> queue of what arrives, and alarms
//	 │
//	 └─ Unsettled: what isn't as somebody who sees everything says it should be
//
// On it stand the experiments of the Chord papers (Stoica et al., SIGCOMM 2001, section
// 6, and ToN 2003, section V): each is a function that returns the numbers that the
// papers plot, with the papers' own set-ups as defaults. A ring always grows from one
// node, by joins and stabilisation.
package ringsim
