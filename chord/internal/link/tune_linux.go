package link

import (
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// lostAfter is how long the machine of a peer may acknowledge nothing of what it is
// sent. TCP would try again at longer and longer intervals, and come back long after a
// network has; a new call gets through within a second or so.
const lostAfter = 3 * time.Second

// tune has the kernel give up c after lostAfter.
func tune(c net.Conn) {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return
	}
	if sc, err := tcp.SyscallConn(); err == nil {
		_ = sc.Control(func(fd uintptr) {
			_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(lostAfter/time.Millisecond))
		})
	}
}
