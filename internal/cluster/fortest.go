package cluster

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// TB is what is used here of testing.TB, so that programs that are no tests
// don't link package testing.
type TB interface {
	Helper()
	Cleanup(func())
	Failed() bool
	Fatal(args ...any)
	Log(args ...any)
	Logf(format string, args ...any)
	Skip(args ...any)
}

// Need skips the test, and says what to install, unless the programs of these
// Debian packages are here. With CI=true in the environment that is a failure.
func Need(tb TB, packages ...string) {
	tb.Helper()
	if missing := Missing(packages...); len(missing) > 0 {
		lack(tb, "needs "+strings.Join(missing, ", ")+": "+installLine(missing))
	}
}

// NeedNamespaces skips the test, and says so, where network namespaces can't be
// made. With CI=true that is a failure.
func NeedNamespaces(tb TB) {
	tb.Helper()
	n, err := newNetwork()
	if err != nil {
		lack(tb, err.Error())
		return
	}
	if err := n.close(); err != nil {
		tb.Fatal(err)
	}
}

func lack(tb TB, what string) {
	tb.Helper()
	if os.Getenv("CI") == "true" {
		tb.Fatal(what + " (CI=true: nothing is skipped)")
	} else {
		tb.Skip(what)
	}
}

// ForTest makes a cluster that is closed when the test ends. If the test has
// failed by then, the last lines of each process are in its log. It skips the
// test, as NeedNamespaces does, when o asks for namespaces and there are none.
func ForTest(tb TB, o Options) *Cluster {
	tb.Helper()
	c, err := New(o)
	switch {
	case errors.Is(err, ErrNoNamespaces):
		lack(tb, err.Error())
		return nil
	case err != nil:
		tb.Fatal(err)
		return nil
	}
	tb.Cleanup(func() {
		tb.Helper()
		if tb.Failed() {
			for _, p := range c.Procs() {
				tb.Logf("%s printed:\n%s", p.Name, p.Tail(40))
			}
		}
		if err := c.Close(); err != nil {
			tb.Fatal(err)
		}
	})
	return c
}

// Eventually fails the test unless cond returns nil within the time given.
func Eventually(tb TB, within time.Duration, what string, cond func() error) {
	tb.Helper()
	if err := waitAtMost(within, what, cond); err != nil {
		tb.Fatal(err)
	}
}

// Children returns the process ids of this process's children, for tests that
// leave none behind. It knows of them on Linux only.
func Children() []string {
	var all []string
	files, _ := filepath.Glob("/proc/self/task/*/children")
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil {
			all = append(all, strings.Fields(string(b))...)
		}
	}
	return all
}
