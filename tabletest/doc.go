// Package tabletest is the conformance suite that every kind of table passes,
// and a table in memory that shows what passing means.
//
//	func TestTable(t *testing.T) {
//		tabletest.Run(t, func(t *testing.T) torc.Table { return openMine(t) })
//	}
//
// The suite asks for what package torc promises, and says by its options what a
// kind promises less. It touches keys of its own only, save for some short fixed
// ones, so the tables it is given may share their servers with each other. A
// table that evicts needs room for 64 MiB.
//
// The random test draws by package rapid: a failure prints the flag that draws
// the same again, and the shortest list of operations that fails; -rapid.checks
// sets how many lists there are.
package tabletest
