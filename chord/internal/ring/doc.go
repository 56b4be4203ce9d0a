// Package ring keeps a Chord ring together: who is before and after a node, who is far
// away, and how to get to a place. It is a state machine: messages and time go in,
// messages and what was found come out.
//
//	Join, Lookup, Receive, Tick, Dead        Send: messages for other nodes
//	              │                             ▲
//	        ┌─────▼─────────────────────────────┴────┐
//	        │ predecessor ◄─ rectify                 │
//	        │ list        ◄─ stabilise               ├─> Found, Changed, Joined
//	        │ fingers     ◄─ refresh, by lookups     │
//	        └────────────────────────────────────────┘
//
// # Whose protocol
//
// Lookups and fingers are those of Stoica et al., Chord (SIGCOMM 2001; ToN 2003).
// Joining and stabilising are not: as published they can lose the ring. They follow
// Zave, Reasoning about identifier spaces: how to make Chord correct (TSE 2017):
//
//   - Who joins takes the list of the node that is to be before it, and tells nobody:
//     the others learn of it by stabilising (join.go).
//   - A round asks the first successor for its predecessor and list, and then that
//     predecessor, if it is between. Nobody becomes a successor without having answered
//     (stabilise.go).
//   - Who is told that there is somebody before it asks its old predecessor before it
//     gives it up, unless the new one is closer (rectify).
//   - A dead first successor is left out, one a round, and the next is told.
//
// Two things are added. While a node has a question open it doesn't tell its list, which
// is about to change: its answer is "busy". And a round that found a closer successor is
// followed by another at once, so that many who joined in one place between two rounds
// are put in order in as many answers, and not in as many rounds.
//
// # What it holds
//
// A list of Config.List successors, shorter only in a ring that is; n fingers; a
// predecessor. Besides, for a while, whom it suspects: who did not answer in time.
//
// Positions are never set from outside: a ring of any size has grown from one node.
package ring
