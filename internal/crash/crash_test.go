package crash

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// What a child process of the test does, by its name.
var children = map[string]func(){
	"main": func() {
		defer Guard()
		panic("planted")
	},
	"goroutine": func() {
		done := make(chan struct{})
		go func() {
			defer Guard()
			panic("planted")
		}()
		<-done
	},
	"unguarded": func() {
		NeverTwo()
		done := make(chan struct{})
		go panic("planted")
		<-done
	},
	"runtime": func() { // what recover can't stop
		NeverTwo()
		new(sync.Mutex).Unlock()
	},
}

func TestMain(m *testing.M) {
	if child := children[os.Getenv("CRASH_TEST_CHILD")]; child != nil {
		child()
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func crashes(t *testing.T, child string) (code int, stderr string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "CRASH_TEST_CHILD="+child, "GOTRACEBACK=single")
	var out strings.Builder
	cmd.Stderr = &out
	err := cmd.Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		t.Fatalf("the child that crashes ended with %v", err)
	}
	return exit.ExitCode(), out.String()
}

func TestGuardedPanicExitsWithOne(t *testing.T) {
	t.Parallel()
	for _, child := range []string{"main", "goroutine"} {
		code, stderr := crashes(t, child)
		if code != 1 {
			t.Errorf("%s: exit code %d, want 1", child, code)
		}
		if !strings.Contains(stderr, "planted") || !strings.Contains(stderr, "crash_test.go") {
			t.Errorf("%s: standard error lacks the panic's value or its stack:\n%s", child, stderr)
		}
	}
}

func TestNoCrashPassesForAMissingKey(t *testing.T) {
	t.Parallel()
	for _, child := range []string{"unguarded", "runtime"} {
		if code, _ := crashes(t, child); code == 2 || code == 0 {
			t.Errorf("%s: exit code %d", child, code)
		}
	}
}
