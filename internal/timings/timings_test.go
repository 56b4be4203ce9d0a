package timings

import (
	"testing"
	"time"
)

// failing notes whether a test failed.
type failing struct {
	testing.TB
	failed bool
}

func (f *failing) Errorf(string, ...any) { f.failed = true }

func TestTable(t *testing.T) {
	var table Table
	if text := table.Markdown(); text != "" {
		t.Errorf("an empty table is %q", text)
	}
	tb := &failing{TB: t}
	table.Add(tb, "killed", time.Second, 300*time.Millisecond)
	table.Add(tb, "frozen", 0, time.Hour)
	table.Add(tb, "killed", time.Second, 100*time.Millisecond)
	table.Add(tb, "killed", time.Second, time.Second)
	if tb.failed {
		t.Error("failed within the limit")
	}
	const want = "| fault | allowed | median | worst | times |\n|---|--:|--:|--:|--:|\n" +
		"| killed | 1s | 300ms | 1s | 3 |\n" +
		"| frozen |  | 1h0m0s | 1h0m0s | 1 |\n"
	if got := table.Markdown(); got != want {
		t.Errorf("got\n%s, want\n%s", got, want)
	}
	if table.Add(tb, "killed", time.Second, time.Second+1); !tb.failed {
		t.Error("did not fail above the limit")
	}
}
