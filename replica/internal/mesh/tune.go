package mesh

import (
	"net"
	"time"
)

// lostAfter is how long a machine may acknowledge nothing. The nodes have missed it
// long before: this is for connections not to stay for ever.
const lostAfter = 5 * time.Second

func keepAlive(c *net.TCPConn) {
	_ = c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: lostAfter / 5, Interval: lostAfter / 5, Count: 4})
}
