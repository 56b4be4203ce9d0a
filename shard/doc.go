// Package shard is a table over servers of its own: a master knows which server
// has which slots of the keys, clients keep its map, and no request goes by it.
//
//	 caller
//	   │ Get, Put, Delete
//	┌──▼────┐   maps    ┌────────┐
//	│ Table ◄───────────┤ Master ├──────────────┐
//	└──┬────┘           └───┬────┘              │
//	   │ memcached's        │ maps, hand-overs  │
//	   │ protocol           │ (gRPC)            │
//	┌──▼──────────┐   ┌─────▼───────┐   ┌───────▼─────┐
//	│ Server      ├──►│ Server      │   │ Server      │
//	│ primary of  │   │ backup of   │   │             │
//	│ slot 17     │   │ slot 17     │   │             │
//	└─────────────┘   └─────────────┘   └─────────────┘
//
// A [Table] is what programs use: torc.Open("shard://127.0.0.1:7000"), by the
// address of the master, or of all of which one leads. [Server] and [Master] are
// the processes. [Once] is a client for one request; [Admin] asks and tells the
// master what a person wants.
//
// # What it promises
//
// A key lies in a slot, and a slot has one primary, which orders its writes, and as
// many backups as the table keeps copies. A write is answered when each has it, and
// a read only sees what was answered; so the calls of a key are linearizable, also
// while its slot moves, and while servers or the master die, freeze or are cut off.
// An answered write is lost only with all copies of its slot. What only dead
// servers have fails, with torc.ErrUnavailable, and is never taken for missing.
// Nothing is evicted: a server that is full refuses writes.
//
// While the master is away, everything goes on but what another change of servers
// would need.
//
// # The Table's part
//
// A call goes straight to the slot's primary by the last map: no lock, no hop. What
// fails is judged by what the server said or that it said nothing (answers.go), and
// tried again (call.go), at whom a newer map names or the answer "moved" did, until
// the call's context ends or, without a deadline, the time-out of [TableOptions].
//
// A write may be sent several times and is carried out once: it has a name, by which
// servers know it again (memcache.OpID; oplanes.go), and that of a write that was
// refused, too. So a Put with a condition is as safe to repeat as any.
//
// A write that is given up fails with torc.ErrUnknownOutcome if it was ever sent
// without an answer: it may have happened, and what is still on its way may yet,
// until a later write of this Table tells the slot's servers that nobody waits for
// it.
//
// Maps come from the masters, each of which is watched for as long as the Table is
// open; where none is in touch, or doesn't know yet what a server does, servers are
// asked for theirs (masters.go). Only a map of a later epoch is ever taken
// (routes.go).
//
// # Where the rules live
//
//	slots            keys, slots, maps, and how slots are spread: pure
//	internal/server  what a server does with a slot, when it may answer: pure
//	internal/master  which map comes next: pure
//	internal/msg     what they tell each other
//	internal/link    that over gRPC
//	internal/keep    the map in a file, or with an election
//
// What is in this package around them is I/O; torc's internal/demux has gRPC and
// memcached's protocol on one port. Every process that speaks for itself
// is one goroutine which owns a state machine, and others that wait on the network
// for it.
package shard
