// Package sim holds the state machine of a replica table's nodes against what they
// promise: whole tables in one goroutine, over internal/simnet's network in virtual
// time, with clients and with faults that a seed decides. It has tests only.
//
//	clients ──> nodes <──> nodes         replica/internal/node
//	   │                    │
//	   └── history          └── what each says of itself
//	          │                         │
//	   internal/check            settled, alike
//
// # What is held against a run
//
//   - What clients saw in answers without the label is linearizable, key for key.
//     Writes whose answers bear the label may have happened at any later time or
//     never. Where nothing but deaths of processes happened, the label makes no
//     difference: all answers together are linearizable.
//   - Tagged writes are sent again at other nodes until they are answered, and are
//     carried out once.
//   - Once faults are over, the table settles: one normal epoch in which every
//     address is a member, and the same state, to the byte, at each node.
//   - In faults that leave a quorum no answer bears the label.
//   - How long clients had to wait, per fault, is within what is promised.
//
// # What a table bears
//
// Any number of cuts, frozen processes and deaths, as long as of each lineage that
// counts one member lives; see world.survives, which leaves out the deaths beyond
// that. Clocks that differ by 1 % in their rates; clocks of the day that jump.
//
//	go test ./replica/internal/sim -run TestAnything -sim.seed 81 -sim.seeds 1 -sim.trace /tmp/trace
package sim
