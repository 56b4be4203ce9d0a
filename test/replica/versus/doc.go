// Versus sets the replicated service beside etcd, in one run on this machine.
//
//	cd test/replica/versus && go run . -out ../../../docs/figures/replica.md
//
// It starts three kv-servers, one that is alone, four for the reads, and three
// members of etcd, each a process of its own. etcd's members are this program, called
// once more, with etcd's server embedded: fsync is off, since ours writes nothing to
// disk either, and everything else is as it comes. Every side is asked by as many
// connections, each to one server, by clients that wait for an answer before they ask
// again; etcd by its own client. Sides take turns of a second, so what else the
// machine does meets all of them; what is shown is the median turn. It writes docs/figures/replica.md.
//
// A write is a swap to ours, which returns the old value, and a put to etcd. All
// reads are linearizable.
//
// It is a module of its own so that etcd's server is none of torc's dependencies.
package main
