//go:build unix

package main

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// ownSession keeps a process out of the reach of the terminal.
func ownSession() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }

func replaceStderr(by *os.File) error { return unix.Dup2(int(by.Fd()), 2) }
