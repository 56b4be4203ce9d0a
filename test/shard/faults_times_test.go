package shard

import (
	"flag"
	"os"

	"github.com/torc-dht/torc/internal/timings"
)

var (
	faults = flag.Int("faults", 0, "how often each fault is played; 0: a few times, 20 under TORC_SOAK")
	table  = flag.String("table", "", "file to write the table of faults to")
)

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

// seen is what was measured.
var seen timings.Table
