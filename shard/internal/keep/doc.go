// Package keep keeps the map of a sharded table for its masters, so that the next
// one knows the last map for sure and needn't wait for servers to report it.
//
// There are two keepers:
//
//   - [File], a file of one master's. Another master that is given the same file at
//     the same time is refused.
//   - [Election], a znode in ZooKeeper, for several masters of whom one leads and
//     the others stand by.
//
// Both are used alike:
//
//	for {
//		reign, err := keeper.Lead(ctx)  // waits its turn
//		...                             // a new master, recovered from reign.Last()
//		for reign.Leads() {             // asked before anything is sent
//			...
//			err = reign.Save(ctx, next) // each map, before it is sent
//		}
//		reign.Resign()
//	}
//
// # In a file
//
// A map is written to FILE.new, synced, renamed to FILE, and the folder is synced:
// whenever the machine stops, FILE is the map before or the map after. FILE.lock is
// locked (flock) and names the process that has it. A file that is there and isn't
// whole is refused, never taken for an empty one; one that is not there is a new
// table's.
//
// # In ZooKeeper
//
//	PATH/map                                 the last map, and who wrote it
//	PATH/election/5f0c9a…-0000000042         HOST:PORT of a master, ephemeral, sequential
//
// Who has the lowest number leads; each of the others watches the one before its
// own. Two rules keep a master that was the leader, and doesn't know yet that it is
// no more, from harm:
//
// A map is written on the condition that the znode is as its writer left it, and
// that the writer still stands for election: one transaction. Whoever begins to lead
// first writes what is there once more, in its own name. What it read is thereby
// known to be the last map, and a map that its predecessor had on the way can't be
// written any more. Where the answer to a write is lost, the same write is made
// again, and when that is refused the znode says whose is there.
//
// The other rule is a clock's. A leader asks ten times in a session's time-out
// whether it still stands first, and acts no more when its session might be over: from
// what it knows that is six tenths of a time-out after it last asked and was answered;
// see lease_core.go. The clock has to be one that goes on while the process is stopped
// and while the machine sleeps. ZooKeeper's minSessionTimeout must not have been set to
// less than two ticks, as it is by itself.
//
// The content of both is a record; see record_core.go.
package keep
