package chord

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/torc-dht/torc/internal/cluster"
	"github.com/torc-dht/torc/internal/timings"
)

// patience is how long a test waits for what comes in a moment on a machine that has
// nothing else to do.
const patience = time.Minute

var (
	faults = flag.Int("faults", 0, "how often each fault is played; 0: once or a few times, 20 under TORC_SOAK")
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

// allowed is d, what is promised for a machine that has nothing else to do, or, in
// `make test`, what tells that something is wrong whatever else the machine does.
func allowed(d time.Duration) time.Duration {
	if soak() || *faults > 0 {
		return d
	}
	return 10 * d
}

// beside has a test of `make test` run beside others: most of its time it waits. Where
// figures are taken each has the machine to itself.
func beside(t *testing.T) {
	if !soak() && *faults == 0 {
		t.Parallel()
	}
}

// seen is what was measured.
var seen timings.Table

// bin is the folder of the programs.
var bin string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	flag.Parse()
	dir, err := os.MkdirTemp("", "torc-chord-")
	if err == nil {
		defer os.RemoveAll(dir)
		err = cluster.Programs(context.Background(), dir, "torc", "node", "add", "get", "remove", "update", "fail")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	bin = dir
	code := m.Run()
	if err := seen.Tell(*table); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

// result is what came of a program that was run to its end.
type result struct {
	code           int
	stdout, stderr string
}

// call runs one of the programs.
func call(t testing.TB, program string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(bin, program), args...)
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s %q: %v", program, args, err)
	}
	return result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}
