//go:build linux || darwin || dragonfly || freebsd || netbsd || openbsd

package demux

import (
	"io"
	"net"
	"syscall"
)

const canPeek = true

// peek says whether the first bytes of conn are those of HTTP/2, as soon as that
// is certain, and leaves them to be read. conn has a deadline.
func peek(conn *net.TCPConn) (http2 bool, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return false, err
	}
	var first [len(preface)]byte
	var failed error
	err = raw.Read(func(fd uintptr) (done bool) {
		for {
			n, _, err := syscall.Recvfrom(int(fd), first[:], syscall.MSG_PEEK)
			switch {
			case err == syscall.EINTR:
				continue
			case err == syscall.EAGAIN:
				return false
			case err != nil:
				failed = err
			case n == 0:
				failed = io.EOF
			default:
				// What is there stays there. These systems' pollers, as the
				// runtime uses them, tell when more comes,
				// not that it is there.
				http2, done = tell(first[:n])
				return done
			}
			return true
		}
	})
	if err == nil {
		err = failed
	}
	return http2, err
}
