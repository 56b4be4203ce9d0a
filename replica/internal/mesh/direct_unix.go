//go:build unix

package mesh

import (
	"net"
	"syscall"
)

// directWriter returns a function that writes to c what its socket takes at once;
// nil if c is no bare socket.
func directWriter(c net.Conn) func([]byte) (int, error) {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return nil
	}
	var b []byte
	var n int
	var failed error
	write := func(fd uintptr) bool {
		n, failed = syscall.Write(int(fd), b)
		return true
	}
	return func(bytes []byte) (int, error) {
		b, n, failed = bytes, 0, nil
		err := raw.Write(write)
		b = nil
		if err == nil && failed != syscall.EAGAIN && failed != syscall.EINTR {
			err = failed
		}
		return max(n, 0), err
	}
}
