package replica

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
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
		err = build(dir)
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

// build puts the programs into a folder of their own, so that whoever builds at the
// same time doesn't take them away. TORC_BIN names a torc that is built already.
func build(dir string) error {
	torc, err := filepath.Abs(os.Getenv("TORC_BIN"))
	if err != nil {
		return err
	}
	if os.Getenv("TORC_BIN") == "" {
		torc = filepath.Join(dir, "built")
		if out, err := exec.Command("go", "build", "-o", torc, "../../cmd/torc").CombinedOutput(); err != nil {
			return fmt.Errorf("building torc: %w\n%s", err, out)
		}
	}
	for _, name := range []string{"torc", "kv", "kv-server"} {
		if err := os.Symlink(torc, filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}
