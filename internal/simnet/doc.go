// Package simnet is a network in memory, in virtual time, with faults that have
// names: what the protocol cores of the kinds are tried out on. One goroutine
// runs it, a seed decides all that is left to chance, and the same seed gives the
// same run, byte for byte. It knows nothing of any protocol.
//
//	                     Network                       one clock, one seed
//	         ┌──────────────────────────────┐
//	Kill,    │  events, the soonest first   │
//	Cut, ──> │  links: latency, cut or good │ ──> trace and hash
//	Freeze   └──────────────────────────────┘
//	           │ Receive, Tick,      ▲ Send, Datagram,
//	           ▼ Connected ...       │ Dial, Alarm
//	     ┌───────────┐         ┌───────────┐
//	     │   Node    │ ─Drain─>│   Port    │           at each address
//	     └───────────┘         └───────────┘
//	       pure state machine    one for each incarnation
//
// A [Node] is told what happened, changes its state, and is then asked by Drain
// what it wants done. Where a core already returns the messages it wants sent,
// the cover that makes it a Node keeps them until Drain.
//
// # Connections
//
// [Port.Dial] asks for a connection as a stream of gRPC is one: both ways, each in
// order, and dialed again, after a back-off, when it is lost. Each time it is
// another connection, with another ID, and what is sent over an old one is lost:
// an answer to a request of before never comes by the connection of after.
//
//	sent       1 2 3 4 5 6 7                what breaks it loses an unknown
//	received   1 2 3 4      Disconnected    last part of each direction
//
// A reset, or a peer that is killed, is told to an end after what will still reach
// it. A cut link tells nothing: what is sent waits, and goes on when the link is
// good again, but an end that hears nothing for [Config.Silence] gives up. The two
// ends learn of it at different times, and one of them may be connected anew
// before the other one knows that the old connection is lost.
//
// [Port.Datagram] is for protocols that do without: messages may be lost,
// overtake each other and arrive twice.
//
// # Faults
//
// Each [Kind] has a method that brings it into force and returns its undo. What is
// in force adds up, so faults may overlap and end in any order. A frozen node sees
// nothing and sends nothing; afterwards it sees everything that has come in
// meanwhile, at one instant, timers and connections mingled by chance. Each node
// has a clock of its own, which goes on while the node is frozen or down, as
// CLOCK_BOOTTIME does, may go faster or slower than it should, or stand still.
//
// [Nemesis] draws a [Schedule] of faults from a seed, [Network.Play] carries it
// out, [Shrink] leaves out what a failure doesn't need, and [ParseSchedule] reads
// what is printed, to be played again:
//
//	s := nemesis.Schedule(seed)
//	if fails(s) {
//		t.Fatalf("seed %d:\n%v", seed, simnet.Shrink(s, fails))
//	}
//
// Each node draws from a stream of its own, so that a fault left out changes what
// it had touched and what follows from that, not every latency after it.
//
// # What it leaves out
//
// Bandwidth, the size of messages and full buffers: nothing is slow for being
// much. Work takes no time: a callback happens at an instant, and a node that is
// to be slow has to be frozen. Disks: what a node keeps, its boot function holds.
package simnet
