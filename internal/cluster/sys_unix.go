//go:build unix

package cluster

import (
	"errors"
	"os"
	"syscall"
)

func (l *life) killGroup() error { return l.signalGroup(syscall.SIGKILL) }
func (l *life) thawGroup() error { return l.signalGroup(syscall.SIGCONT) }

func (l *life) freezeGroup() error {
	if err := l.signalGroup(syscall.SIGSTOP); err != nil {
		return err
	}
	return l.awaitStandstill()
}

// signalGroup never hits a stranger: while gone is false the process has not
// been waited for, so its number is its own.
func (l *life) signalGroup(sig syscall.Signal) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.gone {
		return ErrNotRunning
	}
	err := syscall.Kill(-l.pid, sig)
	if errors.Is(err, syscall.ESRCH) {
		return ErrNotRunning
	}
	return err
}

// reap waits for the process to end, kills what it leaves in its process group,
// and sets the exit code.
func (l *life) reap() {
	l.awaitEnd()
	_ = l.killGroup() // nobody left is as well
	l.mu.Lock()
	l.mu.gone = true
	l.mu.Unlock()
	_ = l.cmd.Wait() // its error says what the exit code says
	status, _ := l.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if l.code = status.ExitStatus(); status.Signaled() {
		l.code = 128 + int(status.Signal())
	}
}

// lockFile holds a lock that other processes respect, and waits for it.
func lockFile(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX); !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return func() { _ = f.Close() }, nil
}
