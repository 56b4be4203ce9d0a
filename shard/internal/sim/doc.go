// Package sim holds a sharded table's two state machines, of servers and of the
// master, against what they promise: whole tables in one goroutine, over
// internal/simnet's network in virtual time, with clients and with faults that a
// seed decides. It has tests only.
//
//	clients ──> servers ──> servers         shard/internal/server
//	   │            └────> master           shard/internal/master
//	   └─ history ──> internal/check
//
// # What is held against a run
//
//   - What clients saw is linearizable, key for key. Writes that are tagged are
//     repeated at other servers until they are answered.
//   - At no instant two servers serve one slot.
//   - No two maps have one epoch, and each passes its own check.
//   - No server meets what can't be.
//   - Once faults are over, the table settles: all have their share, everything is
//     served, and the copies of a slot are equal to the byte.
//
// # What a table bears
//
// With two copies of each slot: any number of cuts, frozen processes and deaths of
// masters; deaths of servers one at a time, each when every slot that the dying
// one has is in sync somewhere else, by the newest map. The same with clocks that
// differ by 1 % in their rates. A run of chance leaves out kills that are beyond
// that; see world.survives.
//
// # Small tables
//
// Most of the time goes into walks over all slots. Built with the tag fewslots the
// table has 120 of them, and all of this is done with hundreds of seeds:
//
//	go test -tags fewslots ./shard/internal/sim
//	go test -tags fewslots ./shard/internal/sim -run TestAnything -sim.seed 81 -sim.seeds 1 -sim.trace /tmp/trace
package sim
