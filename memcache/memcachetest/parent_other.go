//go:build !linux

package memcachetest

import "syscall"

// dieWithParent knows no way but the test's own clean-up.
func dieWithParent() *syscall.SysProcAttr { return nil }
