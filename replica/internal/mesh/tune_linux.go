package mesh

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// tune makes the kernel give up a connection whose other end acknowledges nothing
// for lostAfter, whether there is something to be sent or not.
func tune(c net.Conn) {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return
	}
	keepAlive(tcp)
	if sc, err := tcp.SyscallConn(); err == nil {
		_ = sc.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(lostAfter/time.Millisecond))
		})
	}
}
