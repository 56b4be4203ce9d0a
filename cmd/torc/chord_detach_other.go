//go:build !unix

package main

import (
	"errors"
	"os"
	"syscall"
)

func ownSession() *syscall.SysProcAttr { return nil }

func replaceStderr(*os.File) error { return errors.ErrUnsupported }
