// Package server is a server of a sharded table, as a state machine: calls,
// messages and time go in, answers and messages come out. It does no I/O, looks at
// no clock and starts no goroutine, so that thousands of them run in one test and
// the very same code in each process.
//
//	          calls ──>┌──────────┐──> calls that are done
//	messages of peers ──>│  Server  │──> messages to peers
//	of the master ──>└──────────┘──> to the master
//	                        ^ Tick, Pump
//
// # A write
//
// A call that writes changes the slot at once, and each copy of it is sent the
// write, in one numbered queue for each peer. The write is answered when every
// Joining and InSync copy has acknowledged it. Until then answers that let on
// about it are held back: another read of the key runs at once and waits with it.
//
// # A read
//
// A primary executes calls on a slot only while each of the slot's Joining and
// InSync copies has promised it not to serve the slot, or the master has where
// there is no such copy. Promises are per pair of servers, for Config.Lease from
// the moment they are asked for. A copy that becomes primary serves when what it
// has promised to who may still think itself primary is over.
//
// # A slot moves
//
// Its new server is a Filling copy first and gets Begin, what there is, and End,
// while writes go along in the same queue; then it joins. HandOver makes the
// primary hold back new calls until no write is unanswered, and give the slot up.
// It serves it again only if a later map says so.
//
// # Duties of the caller
//
// One goroutine calls a Server. After each call, or some of them, it calls Flush,
// sends what Out returns, in order, and delivers what Done returns. It calls Tick
// every few milliseconds, Pump while it says that there is more to send and
// nothing else to do. When Reset says so, the server's life is over: a new one with
// another boot ID takes its place.
package server
