package replica

import (
	"context"
	"flag"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/torc-dht/torc/internal/cluster"
)

// patience is how long a test waits for what comes in a moment on a machine that
// has nothing else to do.
const patience = time.Minute

var (
	faults   = flag.Int("faults", 0, "how often each fault is played; 0: once, 20 times under TORC_SOAK")
	table    = flag.String("table", "", "file to write the table of faults to")
	pause    = flag.Duration("pause", 2*time.Millisecond, "the longest that a client rests between two calls: with longer rests the machine has room, and downtime is the servers' own")
	timeline = flag.String("timeline", "", "file to write, as JSON, how many answers came in each 10 ms of each run")
)

func soak() bool { return os.Getenv("TORC_SOAK") != "" }

// times is how often a fault is played.
func times() int {
	switch {
	case *faults > 0:
		return *faults
	case soak():
		return 20
	}
	return 1
}

// seen is what was measured.
var seen outcomes

// bin is the folder of the programs.
var bin string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	flag.Parse()
	dir, err := os.MkdirTemp("", "torc-replica-")
	if err == nil {
		defer os.RemoveAll(dir)
		err = cluster.Programs(context.Background(), dir, "torc", "kv", "kv-server")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	bin = dir
	code := m.Run()
	if err := seen.tell(*table, *timeline); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}
