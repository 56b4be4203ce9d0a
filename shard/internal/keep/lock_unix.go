//go:build unix

package keep

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lockFile opens the file at path and locks it, until it is closed or the process
// ends. In it is the process's number, for others to name.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	for err = syscall.EINTR; errors.Is(err, syscall.EINTR); {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if errors.Is(err, syscall.EWOULDBLOCK) {
		pid := make([]byte, 32)
		n, _ := f.ReadAt(pid, 0)
		err = inUseError{pid: string(pid[:n])}
	}
	if err == nil {
		if err = f.Truncate(0); err == nil {
			_, err = fmt.Fprint(f, os.Getpid())
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// unlockFile unlocks a file that lockFile has locked. To close it would do, but for a
// child of this process that is just being started and still has it, too.
func unlockFile(f *os.File) error {
	return errors.Join(f.Truncate(0), syscall.Flock(int(f.Fd()), syscall.LOCK_UN), f.Close())
}
