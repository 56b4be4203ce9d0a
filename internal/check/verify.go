package check

import (
	"errors"
	"io"
	"os"
	"path/filepath"
)

// TB is what Verify needs of a testing.TB, so that programs too can use this
// package without package testing in them.
type TB interface {
	Helper()
	Errorf(format string, args ...any)
	Logf(format string, args ...any)
}

// Verify judges h by all rules and fails t at the first that is broken. Then it
// leaves the history, and a drawing where there is one, in a new directory,
// which is not removed: t's log says where.
func Verify(t TB, h History, s Semantics) {
	t.Helper()
	err := Values(h)
	if err == nil {
		err = Fresh(h)
	}
	if err == nil {
		err = Linearizable(h, s, DefaultTimeout)
	}
	if err == nil {
		return
	}
	t.Errorf("%v", err)
	dir, err2 := os.MkdirTemp("", "torc-history-")
	if err2 == nil {
		err2 = leave(dir, h, err)
	}
	if err2 != nil {
		t.Logf("the history could not be saved: %v", err2)
		return
	}
	t.Logf("the history of %d operations is in %s", len(h), dir)
}

// leave writes what is known of a violation to files in dir.
func leave(dir string, h History, err error) error {
	saved := write(filepath.Join(dir, "history.jsonl"), h.Save)
	var v *Violation
	if errors.As(err, &v) && v.visual.ops != nil {
		saved = errors.Join(saved, write(filepath.Join(dir, "history.html"), v.Visualize))
	}
	return saved
}

func write(path string, to func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(to(f), f.Close())
}
