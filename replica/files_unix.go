//go:build unix

package replica

import "syscall"

// openFiles is how many files and connections this process may have open at once;
// false where that isn't limited, or not known.
func openFiles() (limit uint64, limited bool) {
	var r syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r) != nil || r.Cur > 1<<62 {
		return 0, false
	}
	return uint64(r.Cur), true //nolint:unconvert // int64 on FreeBSD
}
