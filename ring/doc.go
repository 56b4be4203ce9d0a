// Package ring says which members of a table hold a key: a pure function of
// the key and the list of members, so that every client with the same list
// looks in the same place.
//
//	members := []ring.Member{{Addr: "10.0.1.1:11211"}, {Addr: "10.0.1.2:11211", Weight: 2}}
//	r, err := ring.New(ring.Ketama, 0, members)
//	...
//	home := members[r.Owner("user:17")].Addr
//	copies := r.Owners(nil, "user:17", 3) // indexes into members, best first
//
// The placements:
//
//	ketama          libmemcached's weighted ketama with MD5, to the last point.
//	                About 160 points a member. For fleets that other clients use.
//	ketama-fnv1a64  The same points, keys hashed as twemproxy does by default.
//	murmur3         A ring of virtual nodes, so many for each unit of weight. A
//	                member's points depend on that member alone.
//	rendezvous      Highest random weight: each member draws for each key, the
//	                best draw has it. The most even, at a cost linear in members.
//	jump            Jump consistent hash: the most even without a table, but it
//	                counts members instead of naming them, so only the last in
//	                the list can leave cheaply; no weights.
//
// # The ring
//
// Points and keys are 32-bit hashes on one circle. A key belongs to the first
// point at or after its hash; past the last point, to the first:
//
//	0        k1    A1         k2 B1      A2      2^32
//	|--------x-----o----------x--o-------o---------|     k1 -> A, k2 -> B
//
// Its further owners are the next distinct members along the circle. Where two
// points are equal, the member that comes first in the list has the place, and
// the other one takes it over when the first leaves: collisions cost a little
// evenness and never agreement.
//
// # What moves
//
// When a member leaves, murmur3 and rendezvous move its keys and no others;
// when it comes back, exactly those return. Ketama does so too except where
// its rule rounds: the number of points of each member depends on the total
// weight and on the number of members, so a change may cost others a few
// points (with equal weights 160 points become 156 at 25, 47, 50, 55, 61, ...
// members). docs/figures/churn.md has the figures.
//
// # Papers
//
// Karger et al., Consistent Hashing and Random Trees (STOC 1997); Thaler and
// Ravishankar, Using Name-Based Mappings to Increase Hit Rates (1998), section
// 4 for rendezvous; Lamping and Veach, A Fast, Minimal Memory, Consistent Hash
// Algorithm (2014).
package ring
