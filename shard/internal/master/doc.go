// Package master is the master of a sharded table, as a state machine: messages of
// servers and time go in, messages and maps come out. It does no I/O, looks at no
// clock and starts no goroutine, and the same input gives the same output.
//
//	connections, messages ──>┌──────────┐──> messages, connections to close
//	             Tick, Gone ──>│  Master  │
//	      Forget, Rebalance ──>└──────────┘──> maps to persist ──> Persisted
//
// A master owns nothing but the map. It makes one [slots.Map] after another, each
// whole and each from the one before, and what a map may change is a rule, R1 to
// R8, applied row by row in rows.go. What it would like to change follows from a
// [slots.Goal]; see goal.go. All else is knowing who lives (members.go), and what
// there was before this master (term.go, rebuild.go).
//
// # Why a promotion is safe
//
// A primary may be at any epoch since the last that it acknowledged, and at each of
// them it does nothing without that epoch's Joining and InSync copies. A copy
// becomes InSync only when the primary has acknowledged an epoch in which it was
// Joining. So an InSync copy of the newest map is in all those sets, has whatever
// the primary answered, and the primary can answer nothing more without it.
//
// # Rules
//
//	R1  A row's primary changes only to an InSync copy of a dead one, to whom it
//	    gave the row up, or from nobody.
//	R2  A copy is added as Filling, joins when filled, and is InSync when the
//	    primary acknowledged that it joins; where the primary is dead, InSync
//	    copies stay.
//	R3  A row that nobody alive can take waits for its primary.
//	R4  Unless a person says to forget it.
//	R5  A master without the last map changes a row only when all have reported
//	    who could know a later one.
//	R6  A primary may ask for an epoch without a copy that it can't reach.
//	R7  Who is silent, leaving, full or distrusted is given nothing.
//	R8  Who wants to leave hands over first.
//
// # Duties of the caller
//
// One goroutine calls a Master. After each call it takes what [Master.Drain]
// returns: it sends the messages in order, closes the connections named, and, with
// Config.Persist, makes the map durable and calls Persisted. It calls Tick at the
// time that NextTick names, or every 50 ms. It names each connection by a number
// that it never uses again.
//
// # What it expects of servers
//
//   - A map in which rows are held is for those who ask where a key lies, and for
//     people: no server gets it. Whoever made it has yet to hear from somebody who may
//     know better, and servers go on under the map that they have. One that gets it
//     all the same passes over it. (See TestHeldMapsAreNotTaken.)
//   - It says Filled again, until the copy is Joining: after each new connection and
//     under each new term.
//   - A slot that it gave up is its own again with any later map that says so;
//     therefore a GaveUp counts only under the current epoch, and is asked for again.
package master
