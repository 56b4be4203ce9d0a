//go:build !linux

package mesh

import "net"

// tune makes the kernel give up an idle connection whose other end acknowledges
// nothing for lostAfter.
func tune(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		keepAlive(tcp)
	}
}
