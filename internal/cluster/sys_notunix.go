//go:build !unix

package cluster

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

func sysProcAttr() *syscall.SysProcAttr { return nil }

func (l *life) killGroup() error {
	err := l.cmd.Process.Kill()
	if errors.Is(err, os.ErrProcessDone) {
		return ErrNotRunning
	}
	return err
}

func (l *life) freezeGroup() error {
	return fmt.Errorf("freezing a process: %w on this system", errors.ErrUnsupported)
}

func (l *life) thawGroup() error { return l.freezeGroup() }

func (l *life) reap() {
	_ = l.cmd.Wait() // its error says what the exit code says
	l.mu.Lock()
	l.mu.gone = true
	l.mu.Unlock()
	l.code = l.cmd.ProcessState.ExitCode()
}

// lockFile locks nothing here: two processes that build at once may disturb
// each other.
func lockFile(string) (unlock func(), err error) { return func() {}, nil }
