package standin

import (
	"net"
	"sync"
)

// door is a server's listener, whose connections have faults.
type door struct {
	net.Listener
	server *Server

	mu struct {
		sync.Mutex
		conns map[*conn]struct{}
		shut  bool
	}
}

func (d *door) Accept() (net.Conn, error) {
	nc, err := d.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &conn{TCPConn: nc.(*net.TCPConn), door: d}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.conns[c] = struct{}{}
	if d.mu.shut {
		c.reset()
	}
	return c, nil
}

// kill resets all connections, and takes no more.
func (d *door) kill() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.shut = true
	_ = d.Listener.Close() // it may be closed
	for c := range d.mu.conns {
		c.reset()
	}
}

func (d *door) killed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mu.shut
}

// conn is a connection that does as its server is told.
type conn struct {
	*net.TCPConn
	door *door
}

// reset closes the connection as the system does for a process that was killed.
func (c *conn) reset() {
	_ = c.SetLinger(0)    // or it ends in order, which is as well
	_ = c.TCPConn.Close() // it may be closed
}

func (c *conn) Close() error {
	c.door.mu.Lock()
	delete(c.door.mu.conns, c)
	c.door.mu.Unlock()
	return c.TCPConn.Close()
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.TCPConn.Read(b)
	c.wait()
	return n, err
}

func (c *conn) Write(b []byte) (int, error) {
	c.wait()
	if s := c.door.server; s.loses() {
		c.reset()
	}
	return c.TCPConn.Write(b)
}

// wait waits while the server is frozen.
func (c *conn) wait() {
	c.door.server.mu.Lock()
	thawed := c.door.server.mu.thawed
	c.door.server.mu.Unlock()
	<-thawed
}

// loses tells whether this answer is to be lost.
func (s *Server) loses() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.lose == 0 {
		return false
	}
	s.mu.lose--
	return true
}
