package timings

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Table is what was measured, row by row, in the order in which rows came. The zero
// value is empty. It is safe for concurrent use.
type Table struct {
	mu struct {
		sync.Mutex
		rows []*row
	}
}

type row struct {
	what  string
	limit time.Duration // 0: there is none
	took  []time.Duration
}

// Add records that what took d, and fails the test when that is above limit, if
// there is one: 0 is none.
func (t *Table) Add(tb testing.TB, what string, limit, d time.Duration) {
	tb.Helper()
	tb.Logf("%s: %v", what, d.Round(time.Millisecond))
	t.mu.Lock()
	defer t.mu.Unlock()
	i := slices.IndexFunc(t.mu.rows, func(r *row) bool { return r.what == what })
	if i < 0 {
		t.mu.rows = append(t.mu.rows, &row{what: what, limit: limit})
		i = len(t.mu.rows) - 1
	}
	t.mu.rows[i].took = append(t.mu.rows[i].took, d)
	if limit > 0 && d > limit {
		tb.Errorf("%s: %v, at most %v allowed", what, d.Round(time.Millisecond), limit)
	}
}

// Markdown returns the table, "" if nothing was recorded.
func (t *Table) Markdown() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.mu.rows) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("| fault | allowed | median | worst | times |\n|---|--:|--:|--:|--:|\n")
	for _, row := range t.mu.rows {
		slices.Sort(row.took)
		limit := ""
		if row.limit > 0 {
			limit = row.limit.String()
		}
		fmt.Fprintf(&b, "| %s | %s | %v | %v | %d |\n", row.what, limit,
			row.took[len(row.took)/2].Round(time.Millisecond), row.took[len(row.took)-1].Round(time.Millisecond), len(row.took))
	}
	return b.String()
}

// Tell prints the table on standard output, if there is anything in it, and writes
// it to file, unless that is "".
func (t *Table) Tell(file string) error {
	text := t.Markdown()
	if text == "" {
		return nil
	}
	fmt.Print("\n" + text)
	if file == "" {
		return nil
	}
	return os.WriteFile(file, []byte(text), 0o644)
}
