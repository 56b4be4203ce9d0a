//go:build unix && !linux

package cluster

import "syscall"

// Without a parent-death signal, processes outlive a program that dies without
// Close.
func sysProcAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// awaitEnd returns when the process has ended. It may be reaped then, so the
// group's number is only almost surely its own in the moment after.
func (l *life) awaitEnd() { _, _ = l.cmd.Process.Wait() }

// awaitStandstill: the signal that was sent takes effect soon.
func (l *life) awaitStandstill() error { return nil }
