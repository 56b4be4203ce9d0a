// Package node is what each server of a replica table runs: a state machine that
// takes messages, clients' operations and the time, and gives back messages and
// answers. Sockets, clocks and goroutines are its caller's.
//
//	         Receive, Connected, Disconnected, Tick
//	                        │
//	         ┌──────────────▼───────────────┐
//	Do ────> │ flights    operations, each  │
//	         │            routed until done │
//	         │ standing   which epoch?      │ ────> Drain: Send, Replies, Events
//	         │ group      raft, views,      │
//	         │            state             │
//	         └──────────────────────────────┘
//
// # Epochs
//
// An epoch is one raft group (go.etcd.io/raft), from its founding on. Nothing is on
// disk, so a node that starts has no vote to remember: it is a new member, with an
// ID that was never used ([msg.NewID]), and is taken in as a learner. A node that
// leaves an epoch takes a new ID, too.
//
// # Views
//
// Raft answers when a majority has an entry. Here all do: the view, an entry of the
// log, says who all are. What a majority has is committed; what everyone in the
// view has is visible, and only that is applied, answered and read. So whichever
// members die, each one that is left has all that anybody was told. The leader
// takes a member out of the view that is dead or silent, and then goes on; it takes
// a learner in that is within a few entries of the end of the log, counts on it
// from that moment, and the learner counts itself in when it sees the entry
// committed.
//
// Raft's configuration follows the view: three voters out of three or four members,
// otherwise the leader alone. So a cluster that is cut in two halves has a majority
// on exactly one side.
//
// # Alone
//
// Who is without a leader for about a second, and can't be part of an election
// either, founds an epoch on its own with all that it holds, and the others within
// its reach join it. The best holder among them does so (better, in standing.go).
// At once, if all others of the last view are dead or in the same case. Answers of
// such an epoch are labelled, until every address is a member of it; a cluster that
// starts begins the same way.
//
// When two lineages meet, one gives way (outranks, in standing.go): its leader
// hands the writes since the fork over to the other one, where each counts unless
// the key was written there meanwhile. A node keeps what it held in its old epoch
// until others count on it in the new one.
//
// # Reads
//
// A read is answered anywhere, with the state at an index that the leader gave, and
// the leader gives it after a majority said that it still leads. Many reads share
// one such round.
package node
