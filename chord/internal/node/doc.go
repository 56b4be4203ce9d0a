// Package node is one node of a chord table, as a state machine: calls, messages and
// time go in, answers and messages come out. It does no I/O, looks at no clock and
// starts no goroutine, so that thousands of them run in one test and the very same
// code in each process.
//
//	                  calls ──>┌──────────────────────────────┐──> calls that are done
//	messages of other nodes ──>│ call, write   what is owned  │
//	         Up, Down, Tick ──>│ holders       copies of it   │──> messages to other nodes
//	                           │ take          copies held    │
//	                           │ gap, handoff  whose is it?   │──> what lookups found
//	                           │ ring.Ring     who is where?  │
//	                           └──────────────────────────────┘
//
// # What a node owns
//
// The span from its predecessor, without it, to itself, once it has claimed it. A
// claim has a term; of two on one place the higher one is right. That the ring names
// another predecessor changes no claim by itself: spans move by messages only.
//
//   - The predecessor is a new node within the span: it is sent its part while this
//     node goes on serving; then that part is frozen, until each write is acknowledged,
//     and granted, under a higher term (handoff.go).
//   - The predecessor is before the span: what is between is the node's to take over.
//     It asks all in its list what they have, and claims the best of it (gap.go).
//   - There is a higher claim: the node gives up what that covers (awake.go).
//
// # A write
//
// The owner carries it out at once, and sends it to each holder: the first r nodes of
// its successor list, and those before them until these have everything. It is
// answered when all of them have acknowledged it. Until then answers that let on about
// it are held back.
//
// # A read
//
// Needs the promise of the first successor that it won't take the span over, for
// Config.Lease from when it was asked for. A node that finds a gap in its own ticks
// has been frozen: what it was promised is void, and it asks everybody in its list
// for higher claims before it goes on (awake.go).
//
// # Duties of the caller
//
// One goroutine calls a Node. After each call, or some of them, it calls Flush, sends
// what Out returns, in order, and delivers what Done and Found return. It calls Tick
// every few milliseconds, Pump while that says that there is more to send and nothing
// else to do.
package node
