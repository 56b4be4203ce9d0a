// Package tabletest is the conformance suite that every kind of table passes,
// and the table in memory that shows what passing means.
//
//	func TestTable(t *testing.T) {
//		tabletest.Run(t, func(t *testing.T) torc.Table { return openMine(t) })
//	}
package tabletest
