package keep

import (
	"net"
	"sync"
	"testing"
)

// link relays connections to ZooKeeper, until it is told otherwise. A cut is silent,
// as a pulled cable is.
type link struct {
	addr, target string
	listener     net.Listener
	running      sync.WaitGroup

	mu struct {
		sync.Mutex
		healed        *sync.Cond
		cutUp, cutOff bool // towards ZooKeeper, and from it
		closed        bool
		conns         map[net.Conn]bool
	}
}

// linked puts a link between a master with the options and its ZooKeeper.
func linked(t testing.TB, o ElectionOptions) (*link, ElectionOptions) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &link{addr: listener.Addr().String(), target: o.Hosts[0], listener: listener}
	l.mu.healed = sync.NewCond(&l.mu)
	l.mu.conns = make(map[net.Conn]bool)
	l.running.Go(func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			l.running.Go(func() { l.relay(near) })
		}
	})
	t.Cleanup(l.close)
	o.Hosts = []string{l.addr}
	return l, o
}

func (l *link) relay(near net.Conn) {
	defer near.Close()
	l.pass(true)
	far, err := net.Dial("tcp", l.target)
	if err != nil {
		return
	}
	defer far.Close()
	l.mu.Lock()
	l.mu.conns[near], l.mu.conns[far] = true, true
	closed := l.mu.closed
	l.mu.Unlock()
	if closed {
		return
	}
	var both sync.WaitGroup
	both.Go(func() { l.copy(far, near, true) })
	both.Go(func() { l.copy(near, far, false) })
	both.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.mu.conns, near)
	delete(l.mu.conns, far)
}

func (l *link) copy(to, from net.Conn, up bool) {
	defer to.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		l.pass(up) // nor does it tell of an end, while it is cut
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// pass returns when the link is whole in a direction, or closed.
func (l *link) pass(up bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for !l.mu.closed && (up && l.mu.cutUp || !up && l.mu.cutOff) {
		l.mu.healed.Wait()
	}
}

// set cuts the link, or heals it, in each direction. What was held up goes on.
func (l *link) set(cutUp, cutOff bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.cutUp, l.mu.cutOff = cutUp, cutOff
	l.mu.healed.Broadcast()
}

func (l *link) cut()        { l.set(true, true) }
func (l *link) cutAnswers() { l.set(false, true) }
func (l *link) heal()       { l.set(false, false) }

// snap closes the connections that there are; the next ones are relayed again.
func (l *link) snap() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.mu.conns {
		c.Close()
	}
}

func (l *link) close() {
	l.listener.Close()
	l.mu.Lock()
	l.mu.closed = true
	l.mu.healed.Broadcast()
	l.mu.Unlock()
	l.snap()
	l.running.Wait()
}
