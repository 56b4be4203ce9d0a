// Package check records what concurrent clients of a table saw and judges
// whether a correct table could have shown them that.
//
// A [Recorder] gives each goroutine a [Client] of its own, which makes calls and
// notes when each began, when it returned and with what. The [History] they make
// together is judged by three rules, from the cheapest to the strictest:
//
//   - [Values]: every value read was written to that key, before or while it
//     was read.
//   - [Fresh]: no read shows a value that had been overwritten or deleted before
//     the read began.
//   - [Linearizable]: there is an order of all calls, each somewhere between its
//     call and its return, in which a table on one machine answers the same. For
//     a cache, which may forget, misses are right in any order.
//
// Values and Fresh take a sort and one pass, whatever the length of the history.
// So does Linearizable for keys that are only read, put and exchanged: what each
// exchange found says where it comes, and the rest follows. For all others it
// searches, by porcupine, key for key. All three need each value to be written
// once only.
//
// A write whose outcome is unknown may take effect at any time after its call,
// or never. A write that failed had no effect: the table's contract says so, and
// a read that shows its value is a violation.
//
// An answer may bear a label that says that it binds nobody, as those of a replica
// do that serves alone ([Operation.Labelled]). The rules leave such reads out, and
// take such writes for what may take effect at any time after the call, or never.
//
// A history need not be recorded: a simulation makes one of its own operations, in
// its own time.
//
// A table whose promise depends on what its clients know of its members is judged
// by [FreshUnless], which says exactly which reads that leaves out.
package check
