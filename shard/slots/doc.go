// Package slots is the map of a sharded table: which slot a key lies in, and who
// holds each slot.
//
//	key ── Of ──> slot ── Map.Rows ──> primary, copies ── Map.Servers ──> host:port, boot
//
// There are [Count] slots, a number that every count of servers from 1 to 12
// divides, so that a decimal integer key k of a table placed by [Modulo] lies
// with the server numbered k mod n, as (key % servers) + 1 counts them.
//
// # Epochs
//
// A [Map] is whole and never changes; the next one has a higher [Epoch]. One
// master at a time makes them, and no two different maps have one epoch.
//
// # Copies
//
// A copy goes through three states, one way, and each step is an epoch:
//
//	Filling ──> Joining ──> InSync
//
// The primary sends a Filling copy what it holds and each write as it comes; it
// answers no write and no read without the Joining and the InSync ones. Only an
// InSync copy is ever made primary, and a Joining one becomes InSync only when the
// primary is known to have taken the epoch in which it is Joining: whoever may be
// promoted is someone whom the primary, under whichever epoch it may still be,
// does nothing without. With another primary, copies that are not InSync begin again.
//
// # Goals
//
// A [Goal] says who shall hold what, and [Place] makes one for the servers that
// there are from the last one. A map gets there step by step; what is left to do
// is the difference between the two:
//
//	GoalOf(map) ── Place(servers) ──> Goal ── On(map.Servers) ──> rows to compare with map.Rows
//
// Everything here is pure.
package slots
