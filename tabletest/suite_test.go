package tabletest_test

import (
	"testing"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/tabletest"
)

func TestMemory(t *testing.T) {
	tabletest.Run(t, func(*testing.T) torc.Table { return tabletest.NewMemory() },
		memoryOptions(func(table torc.Table) *tabletest.Memory { return table.(*tabletest.Memory) })...)
}

// memoryOptions are those of a table that memory finds a Memory in.
func memoryOptions(memory func(torc.Table) *tabletest.Memory) []tabletest.Option {
	return []tabletest.Option{
		tabletest.ValueLimits(tabletest.MaxValue, tabletest.MaxValue+1),
		tabletest.Churn(func(_ *testing.T, table torc.Table) {
			memory(table).SetMembers(
				torc.Member{Addr: "b:1", Weight: 1, Since: time.Now()},
				torc.Member{Addr: "a:1", Weight: 1, Since: time.Now()})
		}),
	}
}
