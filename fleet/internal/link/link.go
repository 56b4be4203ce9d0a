// Package link is a TCP link that tests can cut: a relay in front of a server.
package link

import (
	"errors"
	"io"
	"net"
	"sync"
)

// Link relays connections to a server, until it is told otherwise. A cut is
// silent, as a pulled cable is: nobody is told, bytes just stop.
type Link struct {
	// Addr is where the link listens.
	Addr string

	listener net.Listener
	target   string
	running  sync.WaitGroup

	mu struct {
		sync.Mutex
		healed   *sync.Cond
		up, down bool // cut, towards the server and from it
		closed   bool
		conns    map[net.Conn]bool
		relayed  int
	}
}

// New makes a link to target. Close it.
func New(target string) (*Link, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &Link{Addr: listener.Addr().String(), listener: listener, target: target}
	l.mu.healed = sync.NewCond(&l.mu)
	l.mu.conns = make(map[net.Conn]bool)
	l.running.Go(l.accept)
	return l, nil
}

func (l *Link) accept() {
	for {
		near, err := l.listener.Accept()
		if err != nil {
			return
		}
		l.running.Go(func() { l.relay(near) })
	}
}

func (l *Link) relay(near net.Conn) {
	if !l.keep(near) {
		return
	}
	defer l.drop(near)
	l.pass(true) // while cut, a connection is not answered
	far, err := net.Dial("tcp", l.target)
	if err != nil || !l.keep(far) {
		return
	}
	defer l.drop(far)
	var both sync.WaitGroup
	both.Go(func() { l.copy(far, near, true) })
	both.Go(func() { l.copy(near, far, false) })
	both.Wait()
}

func (l *Link) copy(to, from net.Conn, up bool) {
	defer to.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			l.pass(up)
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
			l.mu.Lock()
			l.mu.relayed += n
			l.mu.Unlock()
		}
		if err != nil {
			if errors.Is(err, io.EOF) {
				l.pass(up) // a cut link does not tell of this either
			}
			return
		}
	}
}

// pass returns when the link is whole in the direction given, or closed.
func (l *Link) pass(up bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for !l.mu.closed && (up && l.mu.up || !up && l.mu.down) {
		l.mu.healed.Wait()
	}
}

func (l *Link) keep(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.closed {
		c.Close()
		return false
	}
	l.mu.conns[c] = true
	return true
}

func (l *Link) drop(c net.Conn) {
	c.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.mu.conns, c)
}

// Cut stops all bytes, both ways.
func (l *Link) Cut() { l.set(true, true) }

// CutAnswers stops the bytes that come from the server: it hears what is asked.
func (l *Link) CutAnswers() { l.set(false, true) }

// Heal lets the bytes go on, those that were stopped first.
func (l *Link) Heal() { l.set(false, false) }

func (l *Link) set(up, down bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.up, l.mu.down = up, down
	l.mu.healed.Broadcast()
}

// Break closes the connections that there are; new ones are relayed again.
func (l *Link) Break() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.mu.conns {
		c.Close()
	}
}

// Relayed returns the number of bytes that passed.
func (l *Link) Relayed() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.relayed
}

// Close ends all connections and waits until nothing is left.
func (l *Link) Close() {
	l.mu.Lock()
	l.mu.closed = true
	for c := range l.mu.conns {
		c.Close()
	}
	l.mu.healed.Broadcast()
	l.mu.Unlock()
	l.listener.Close()
	l.running.Wait()
}
