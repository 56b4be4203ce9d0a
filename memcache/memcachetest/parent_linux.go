package memcachetest

import "syscall"

// dieWithParent has a child killed when the test's process ends before it, as
// it does when a test takes too long.
func dieWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
