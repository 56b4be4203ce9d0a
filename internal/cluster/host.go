package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
)

// Host is a machine of pretence: an address of its own, and processes that
// listen on it.
type Host struct {
	// Name is what the host was asked for by.
	Name string
	// IP is its address. Empty if the host could not be made.
	IP string

	cluster *Cluster
	nic     *nic  // nil on the loopback network
	err     error // why the host can't be used
}

// Addr is host:port for a server on this host. The same port gives the same
// address each time.
func (h *Host) Addr(port int) string {
	if h.cluster.loopback != nil {
		port = h.cluster.loopback.port(h.Name, port)
	}
	return net.JoinHostPort(h.IP, strconv.Itoa(port))
}

func (h *Host) usable() error {
	h.cluster.mu.Lock()
	defer h.cluster.mu.Unlock()
	if h.cluster.mu.closed {
		return ErrClosed
	}
	return h.err
}

// Do calls fn on the calling goroutine, in the host's network: sockets that fn
// itself makes belong to the host and stay there. Those that other goroutines
// make on fn's behalf don't: a name look-up for one, so use IP addresses.
func (h *Host) Do(fn func() error) error {
	if err := h.usable(); err != nil {
		return err
	}
	if h.nic == nil {
		return fn()
	}
	return h.nic.do(fn)
}

// Dial connects from the host to an address IP:port. It has the signature of
// net.Dialer.DialContext.
func (h *Host) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	var conn net.Conn
	err := h.Do(func() error {
		var err error
		conn, err = (&net.Dialer{}).DialContext(ctx, network, addr)
		return err
	})
	return conn, err
}

// InterfaceDown disables the host's network interface, as `ip link set eth0
// down` on the host does: its programs see that there is no network, and its
// own address is gone for itself too. InterfaceUp enables it again.
func (h *Host) InterfaceDown() error {
	return h.withNIC(func(n *nic) error { return n.setInterface(false) })
}

// InterfaceUp undoes InterfaceDown.
func (h *Host) InterfaceUp() error {
	return h.withNIC(func(n *nic) error {
		if err := n.setInterface(true); err != nil {
			return err
		}
		// An interface that goes down forgets the cuts at its end.
		c := h.cluster
		c.mu.Lock()
		defer c.mu.Unlock()
		var err error
		for pair := range c.mu.cuts {
			if pair[0] == h {
				err = errors.Join(err, n.setCut(pair[1].nic, true))
			}
		}
		return err
	})
}

// Unplug pulls the host's cable at the switch: nothing comes in or goes out,
// and its programs are told nothing; it still reaches its own address. Plug
// puts the cable back.
func (h *Host) Unplug() error { return h.withNIC(func(n *nic) error { return n.setPort(false) }) }

// Plug undoes Unplug.
func (h *Host) Plug() error { return h.withNIC(func(n *nic) error { return n.setPort(true) }) }

// Lose has the part of the frames that come in to the host be lost, 0 to 1, each
// at random; 0 ends it. Of a long stretch of data a frame is what TCP gives the
// interface at once, so up to 64 KiB are lost together.
func (h *Host) Lose(part float64) error {
	if part < 0 || part > 1 {
		return fmt.Errorf("cluster: %v is not a part of the frames: 0 to 1", part)
	}
	return h.withNIC(func(n *nic) error { return n.setLoss(part) })
}

func (h *Host) withNIC(fn func(*nic) error) error {
	if err := h.usable(); err != nil {
		return err
	}
	if h.nic == nil {
		return ErrSharedNetwork
	}
	if err := fn(h.nic); err != nil {
		return fmt.Errorf("cluster: network of %s: %w", h.Name, err)
	}
	return nil
}

// Start starts a process on the host and waits until it is ready. If it doesn't
// get there before ctx is done, or ends before, the process is killed and the
// error has the last lines it printed. ctx bounds the start alone.
func (h *Host) Start(ctx context.Context, s Spec) (*Proc, error) {
	if err := h.usable(); err != nil {
		return nil, err
	}
	path, err := exec.LookPath(s.Path)
	if err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	if path, err = filepath.Abs(path); err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	s.Path = path
	p, err := h.cluster.addProc(h, s)
	if err != nil {
		return nil, err
	}
	if err := p.start(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

// addProc gives the process its name, folder and log.
func (c *Cluster) addProc(h *Host, s Spec) (*Proc, error) {
	if s.Name == "" {
		s.Name = filepath.Base(s.Path)
	}
	name := s.Name + "@" + h.Name
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.closed {
		return nil, ErrClosed
	}
	c.mu.names[name]++
	if n := c.mu.names[name]; n > 1 {
		name += "#" + strconv.Itoa(n)
	}
	p := &Proc{Name: name, Addr: s.Addr, spec: s, host: h, dir: filepath.Join(c.dir, name)}
	if err := os.Mkdir(p.dir, 0o755); err != nil {
		return nil, fmt.Errorf("cluster: folder of %s: %w", name, err)
	}
	if s.prepare != nil {
		if err := s.prepare(p.dir); err != nil {
			return nil, fmt.Errorf("cluster: folder of %s: %w", name, err)
		}
	}
	p.out.logPath = filepath.Join(p.dir, "output.log")
	c.mu.procs = append(c.mu.procs, p)
	return p, nil
}
