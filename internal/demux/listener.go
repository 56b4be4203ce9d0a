package demux

import (
	"net"
	"sync"
	"time"
)

// listener is one side of a Demux.
type listener struct {
	d      *Demux
	queue  chan *waiting // without room: what nobody takes stays with who offers it
	closed chan struct{}
	once   sync.Once
}

func newListener(d *Demux) *listener {
	return &listener{d: d, queue: make(chan *waiting), closed: make(chan struct{})}
}

// Accept returns the next connection. Its error is net.ErrClosed, in a
// net.OpError.
func (l *listener) Accept() (net.Conn, error) {
	for {
		if l.isClosed() {
			return nil, l.errClosed()
		}
		select {
		case w := <-l.queue:
			if l.d.claim(w) {
				return w.ready, nil
			}
		case <-l.closed:
		case <-l.d.closed:
		}
	}
}

func (l *listener) isClosed() bool {
	select {
	case <-l.closed:
	case <-l.d.closed:
	default:
		return false
	}
	return true
}

func (l *listener) errClosed() error {
	return &net.OpError{Op: "accept", Net: l.Addr().Network(), Addr: l.Addr(), Err: net.ErrClosed}
}

// Close ends Accept. The other listener goes on.
func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	if l.d.grpc.isClosed() && l.d.data.isClosed() {
		return l.d.Close()
	}
	return nil
}

// Addr is the port's.
func (l *listener) Addr() net.Addr { return l.d.parent.Addr() }

// offer offers w until it is taken, or closed, or the time is over.
func (l *listener) offer(w *waiting, until time.Time) (taken bool) {
	select {
	case l.queue <- w:
		return true
	default:
	}
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	select {
	case l.queue <- w:
		return true
	case <-w.gone:
	case <-l.closed:
	case <-timer.C:
	}
	return false
}
