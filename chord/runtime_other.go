//go:build !unix

package chord

import (
	"errors"
	"fmt"
)

// checkPrivate fails: whose a folder is can't be told here.
func checkPrivate(dir string) error {
	return fmt.Errorf("%s: %w on this system: name nodes ID@HOST:PORT", dir, errors.ErrUnsupported)
}

func tryLock(string) (unlock func(), err error) { return nil, errors.ErrUnsupported }

func pidLives(int) bool { return true }
