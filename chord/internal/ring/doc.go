// Package ring keeps a Chord ring together: who is before and after a node, who is far
// away, and how to get to a place. It is a state machine: messages and time go in,
// messages and what was found come out.
//
//	Join, Lookup, Receive, Tick,             Send: messages for other nodes
//	Dead, Suspect, Heard, Bye                     ▲
//	              │                               │
//	        ┌─────▼───────────────────────────────┴──┐
//	        │ predecessor ◄─ rectify                 │
//	        │ list        ◄─ stabilise ◄─ hints      │
//	        │ fingers     ◄─ refresh, by lookups     ├─> Found, Changed, Joined, Refused
//	        │ lost nodes   ─> merge     ─> hints     │
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
// Three things are added. While a node has a question open it doesn't tell its list, which
// is about to change: its answer is "busy". A round that found a closer successor is
// followed by another at once, so that many who joined in one place between two rounds
// are put in order in as many answers, and not in as many rounds. And in a ring that is
// smaller than its lists are long a node lets in one at a time, for her proof begins where
// they are full (crowded).
//
// # Silence, and what follows
//
// A question is asked Config.Tries times before who doesn't answer counts as gone. Those
// are passed over where somebody else will do, and others' word for them isn't taken for a
// while; any message of theirs puts an end to that (gone.go). Who says goodbye is gone for
// good.
//
// Who was lost without a goodbye is remembered (memory.go), since the network may have
// been cut, and each part has made a ring of its own by now. A node looks for those that
// it remembers, and for its own place, at a low rate; if one answers that its ring doesn't
// lead to, or the ring leads past it, then two rings are closed like a zip, after Shafaat,
// Ghodsi and Haridi, Dealing with network partitions in structured overlay networks (2007):
// each node that takes a successor from the other ring tells it whom it had there before
// (merge.go). Whatever is learned that way is a hint only: it is asked, as everybody is,
// before it becomes a successor.
//
// # What it holds
//
// A list of Config.List successors, shorter only in a ring that is; n fingers; a
// predecessor. Besides, for a while, whom it suspects, and at most 64 whom it remembers.
//
// Positions are never set from outside: a ring of any size has grown from one node.
package ring
