// Package sim holds a chord table's state machine, the node, against what it promises:
// whole rings in one goroutine, over internal/simnet's network in virtual time, with
// clients and with faults that a seed decides. It has tests only.
//
//	clients ──> processes ──> processes       chord/internal/node, in a shell like
//	   │                                      the one that real programs have
//	   └─ history ──> internal/check
//
// # What is held against a run
//
//   - What clients saw is linearizable, key for key: nothing answered is lost, nothing
//     is done twice, nothing removed comes back. Writes that are tagged are repeated at
//     other nodes until they are answered.
//   - Once faults are over the nodes are one ring within 30 s: each knows who is before
//     it, who follow it, and where its fingers point; each serves what is between its
//     predecessor and itself.
//   - Each pair lies on its owner and on the r nodes behind it, equal to the byte, and
//     nowhere else.
//   - While failures keep to Zave's rules, first living successors make one ring in
//     order, at every moment.
//
// # What a ring bears
//
// With r copies: up to r nodes that die, fail by message or are frozen, for however
// long, until each pair has all its copies again; joins, polite leaves and connections
// that break, at any time. A run of chance leaves out what is beyond that; see
// world.bears.
//
// A living node that is cut off is another matter: there may be two owners then, each
// of which answers. Such runs are judged by what is left when the rings have met: of
// each key the newest write that was answered, by the stamps that the answers bore, or
// one that is newer still.
//
//	go test ./chord/internal/sim
//	go test ./chord/internal/sim -run TestAnything -sim.seed 81 -sim.seeds 1 -sim.trace /tmp/trace
package sim
