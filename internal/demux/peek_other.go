//go:build !linux && !darwin && !dragonfly && !freebsd && !netbsd && !openbsd

package demux

import (
	"errors"
	"net"
)

const canPeek = false

func peek(*net.TCPConn) (http2 bool, err error) { return false, errors.ErrUnsupported }
