package shard

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	faults = flag.Int("faults", 0, "how often each fault is played; 0: a few times, 20 under TORC_SOAK")
	table  = flag.String("table", "", "file to write the table of faults to")
)

// tell prints what was measured, and writes it to where -table says.
func (r *results) tell() error {
	text := r.markdown()
	if text == "" {
		return nil
	}
	fmt.Print("\n" + text)
	if *table == "" {
		return nil
	}
	return os.WriteFile(*table, []byte(text), 0o644)
}

func soak() bool { return os.Getenv("TORC_SOAK") != "" }

// times is how often a fault is played that is played few times in `make test`.
func times(few int) int {
	switch {
	case *faults > 0:
		return *faults
	case soak():
		return 20
	}
	return few
}

// seen is what was measured, row by row.
var seen results

type results struct {
	sync.Mutex
	rows []*row
}

type row struct {
	what  string
	limit time.Duration // 0: there is none
	took  []time.Duration
}

// add records that what took d, and fails the test when that is above limit, if
// there is one.
func (r *results) add(t *testing.T, what string, limit, d time.Duration) {
	t.Helper()
	t.Logf("%s: %v", what, d.Round(time.Millisecond))
	r.Lock()
	defer r.Unlock()
	i := slices.IndexFunc(r.rows, func(r *row) bool { return r.what == what })
	if i < 0 {
		r.rows = append(r.rows, &row{what: what, limit: limit})
		i = len(r.rows) - 1
	}
	r.rows[i].took = append(r.rows[i].took, d)
	if limit > 0 && d > limit {
		t.Errorf("%s: %v, at most %v allowed", what, d.Round(time.Millisecond), limit)
	}
}

func (r *results) markdown() string {
	r.Lock()
	defer r.Unlock()
	if len(r.rows) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString("| fault | allowed | median | worst | times |\n|---|--:|--:|--:|--:|\n")
	for _, row := range r.rows {
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
