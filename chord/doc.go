// Package chord is a table over nodes that need no coordinator: each knows a few of the
// others, and together they are a ring that repairs itself.
//
//	          ┌──────┐            A key's place is a number, modulo 2^n: that which it
//	     ┌────┤ 1    ├────┐       is, if it is one, or else its sha-1. The node that
//	     │    └──────┘    │       follows it clockwise owns it; the r nodes after that
//	┌────┴─┐           ┌──▼───┐   hold copies.
//	│ 136  │           │ 32   │
//	└────▲─┘           └──┬───┘   136 owns the places from 100 to 136: whoever asks
//	     │    ┌──────┐    │       another node for key 110 is told so, or has it
//	     └────┤ 99   ◄────┘       fetched from there.
//	          └──────┘
//
// A [Table] is what programs use: torc.Open("chord://127.0.0.1:7100"), by the address of
// any node. [Server] is a node. Any memcached client may talk to any node. [Admin] asks
// and tells a node what a person wants; a [Runtime] is where the nodes of a machine are
// found by their identifiers.
//
// # What it promises
//
// A key has one owner at a time, which orders its writes. A write is answered when all
// who are to hold copies have it, and a read sees only what was answered; so the calls
// of a key are linearizable, also while nodes join and leave, die and are frozen. What
// was answered is lost only if an owner and all r who hold copies for it die before
// there are others: within a second or two.
//
// All of that as long as suspicion is right: who is taken for dead is dead, or frozen.
// Where a living node is cut off, each side goes on as a ring of its own. When they meet
// again they become one; of two entries at a key the one that was written later stays,
// and Status.Overwritten counts the others. A table that must not do that is of kind
// shard or replica.
//
// Nothing is evicted: a node that is full refuses writes, for itself and for those whose
// copies it holds.
//
// # A request's way
//
// A Table keeps who owns which places (ranges.go), so that a request goes to the owner
// at once; one that doesn't own the key any more says who does (moved.go). Every write
// has a name, by which nodes know it again when it is repeated (memcache.OpID;
// oplanes.go), so that it is carried out once.
//
// A node's own loop (serverloop.go) takes requests in batches (serverrequests.go) and
// carries them out on its state machine. What a plain client asks and others own, it
// asks them, being a Table's client itself (forward.go).
//
// # Where the rules live
//
//	internal/place  places, and what is between them: pure
//	internal/ring   who is before and after whom, and the way to a place: pure
//	internal/data   what a node has, by key and by place: pure
//	internal/node   who owns what, who holds copies, when a call may be answered: pure
//	internal/msg    what nodes tell each other
//	internal/link   that over gRPC
//	ringsim         thousands of rings in virtual time, and the papers' experiments
//
// What is in this package around them is I/O.
package chord
