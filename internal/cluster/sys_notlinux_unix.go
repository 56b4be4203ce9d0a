//go:build unix && !linux

package cluster

import "syscall"

// Without a parent-death signal, processes outlive a program that dies without
// Close.
func sysProcAttr() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// awaitEnd returns when the process has ended. It has been reaped then, so its
// group's number is only almost surely its own in the moment after.
func (l *life) awaitEnd() { _ = l.cmd.Wait() }

// awaitStandstill: the signal that was sent takes effect soon.
func (l *life) awaitStandstill() error { return nil }
