package replica

import (
	"testing"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/replica/internal/standin"
	"github.com/torc-dht/torc/tabletest"
)

// The client keeps what every table promises, over servers that are always of one
// mind.
func TestClientConformance(t *testing.T) {
	stand := standin.NewPlain(t, 4)
	tabletest.Run(t, func(t *testing.T) torc.Table { return openTable(t, stand.URL()) },
		tabletest.ValueLimits(1<<20, 1<<20+1),
		tabletest.Churn(func(*testing.T, torc.Table) { stand.Change() }))
}

func openTable(t testing.TB, url string) torc.Table {
	t.Helper()
	table, err := torc.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	return table
}
