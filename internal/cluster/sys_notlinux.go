//go:build !linux

package cluster

import (
	"net"
	"sync"
)

// loopback is 127.0.0.1, which is all there is, and free ports on it.
type loopback struct {
	mu struct {
		sync.Mutex
		ports map[hostPort]int
	}
}

type hostPort struct {
	host string
	port int
}

func claimLoopback() (*loopback, error) { return &loopback{}, nil }

func (l *loopback) ip(int) string { return "127.0.0.1" }
func (l *loopback) close() error  { return nil }

// port is a port that was free when it was first asked for.
func (l *loopback) port(host string, port int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := hostPort{host, port}
	if p := l.mu.ports[key]; p != 0 {
		return p
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return port
	}
	defer func() { _ = ln.Close() }()
	if l.mu.ports == nil {
		l.mu.ports = make(map[hostPort]int)
	}
	l.mu.ports[key] = ln.Addr().(*net.TCPAddr).Port
	return l.mu.ports[key]
}

// network and nic can't be had here: newNetwork says so, and nothing else of
// them is ever called.
type network struct{}

type nic struct{ ip net.IP }

func newNetwork() (*network, error)               { return nil, ErrNoNamespaces }
func (*network) plugIn(string, int) (*nic, error) { return nil, ErrNoNamespaces }
func (*network) close() error                     { return nil }
func (*nic) do(func() error) error                { return ErrNoNamespaces }
func (*nic) setInterface(bool) error              { return ErrNoNamespaces }
func (*nic) setPort(bool) error                   { return ErrNoNamespaces }
func (*nic) setCut(*nic, bool) error              { return ErrNoNamespaces }
func (*nic) setLoss(float64) error                { return ErrNoNamespaces }
