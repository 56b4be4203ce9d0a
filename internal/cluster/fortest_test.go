package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// recorder is a TB that writes down what becomes of the test. Fatal and Skip
// don't end it.
type recorder struct {
	failed   bool
	words    string // of the last Fatal or Skip, and which it was
	log      string
	cleanups []func()
}

func (r *recorder) Helper()                    {}
func (r *recorder) Cleanup(f func())           { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Failed() bool               { return r.failed }
func (r *recorder) Fatal(args ...any)          { r.words = "fatal: " + fmt.Sprint(args...) }
func (r *recorder) Skip(args ...any)           { r.words = "skip: " + fmt.Sprint(args...) }
func (r *recorder) Log(args ...any)            { r.log += fmt.Sprintln(args...) }
func (r *recorder) Logf(f string, args ...any) { r.log += fmt.Sprintf(f+"\n", args...) }

func TestNeed(t *testing.T) {
	t.Setenv("CI", "")
	var r recorder
	Need(&r, "coreutils-that-are-not", "no-such-thing")
	want := "needs coreutils-that-are-not, no-such-thing: apt-get install coreutils-that-are-not no-such-thing"
	if r.words != "skip: "+want {
		t.Errorf("Need says %q, want a skip with %q", r.words, want)
	}
	t.Setenv("CI", "true")
	Need(&r, "coreutils-that-are-not", "no-such-thing")
	if !strings.HasPrefix(r.words, "fatal: "+want) {
		t.Errorf("with CI=true Need says %q", r.words)
	}
	r = recorder{}
	Need(&r, "sh") // a package with a program of its own name, as it were
	if r.words != "" {
		t.Errorf("Need of what is there says %q", r.words)
	}
}

func TestMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	got := strings.Join(Missing("memcached", "zookeeper", "libmemcached-tools", "iputils-ping"), " ")
	if got != "memcached zookeeper libmemcached-tools iputils-ping" {
		t.Errorf("with an empty PATH, %q is missing", got)
	}
	if got := Missing(); got != nil {
		t.Errorf("of nothing, %q is missing", got)
	}
}

func TestForTestTellsWhatWasPrinted(t *testing.T) {
	t.Parallel()
	ctx := testContext(t)
	for _, failed := range []bool{false, true} {
		r := &recorder{failed: failed}
		c := ForTest(r, Options{})
		p := must[*Proc](t)(c.Host("h").Start(ctx, shell("echo the reason")))
		if _, err := p.Wait(ctx); err != nil {
			t.Fatal(err)
		}
		for _, f := range r.cleanups {
			f()
		}
		if got := strings.Contains(r.log, "sh@h printed:") && strings.Contains(r.log, "the reason"); got != failed {
			t.Errorf("failed %v, and the log has the output: %v\n%s", failed, got, r.log)
		}
		if _, err := os.Stat(c.Dir()); err == nil {
			t.Error("the cluster was not closed")
		}
		if r.words != "" {
			t.Error(r.words)
		}
	}
}

func TestWaitFor(t *testing.T) {
	t.Parallel()
	n := 0
	if err := WaitFor(t.Context(), "three", func() error {
		if n++; n < 3 {
			return errors.New("not yet")
		}
		return nil
	}); err != nil || n != 3 {
		t.Errorf("WaitFor: %v after %d calls", err, n)
	}

	sentinel := errors.New("the last word")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	err := WaitFor(ctx, "what never is", func() error { return sentinel })
	if !errors.Is(err, sentinel) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "for what never is: the last word") {
		t.Errorf("WaitFor: %v", err)
	}

	var r recorder
	Eventually(&r, time.Millisecond, "it", func() error { return sentinel })
	if !strings.Contains(r.words, "for it: the last word") {
		t.Errorf("Eventually says %q", r.words)
	}
}

// The torc binary is called by the name asked for.
func TestTorcByName(t *testing.T) {
	// A script stands in for it, and says what it is called.
	script := filepath.Join(t.TempDir(), "stand-in")
	if err := os.WriteFile(script, []byte("#!/bin/sh\necho \"${0##*/} $*\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TORC_BIN", script)
	ctx, c := testContext(t), ForTest(t, Options{})
	for _, name := range []string{"torc", "watchdog", "watchdog", "fleet-client"} {
		p := must[*Proc](t)(c.Host("h").Torc(ctx, name, "--flag", "arg"))
		must[Line](t)(p.WaitLine(ctx, time.Time{}, func(text string) bool { return text == name+" --flag arg" }))
	}
}

// Without TORC_BIN it is built, from this module's source.
func TestTorcIsBuilt(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		lack(t, "needs the go command")
	}
	root := must[string](t)(moduleRoot())
	if _, err := os.Stat(filepath.Join(root, "cmd", "torc")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TORC_BIN", "")
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // a first build
	defer cancel()
	c := ForTest(t, Options{})
	p := must[*Proc](t)(c.Host("h").Torc(ctx, "torc", "version"))
	if code, err := p.Wait(ctx); code != 0 || err != nil {
		t.Errorf("torc version ends with %d, %v:\n%s", code, err, p.Tail(5))
	}
}
