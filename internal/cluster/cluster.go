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
	"strings"
	"sync"
)

// Options are what a cluster can be told. The zero value serves.
type Options struct {
	// Namespaces makes each host a network namespace of its own, whose links
	// can be cut. Needs Linux and root: New says so, with an error that wraps
	// ErrNoNamespaces, when it can't.
	Namespaces bool
	// Torc is the torc binary that Host.Torc runs. Empty, it is the one that
	// the environment's TORC_BIN names, and without that one it is built with
	// the go command from this module's source.
	Torc string
}

// The kinds of failure.
var (
	// ErrClosed: the cluster was closed.
	ErrClosed = errors.New("cluster: closed")
	// ErrNotRunning: the process to be signalled has ended, or never started.
	ErrNotRunning = errors.New("not running")
	// ErrNoNamespaces: this user or this system can't make network namespaces.
	ErrNoNamespaces = errors.New("cluster: network namespaces need Linux and root")
	// ErrSharedNetwork: hosts without a namespace of their own have no links
	// that could be cut.
	ErrSharedNetwork = errors.New("cluster: links can be cut only between hosts made with Options.Namespaces")
)

// Cluster is a group of processes on hosts of their own. Safe for concurrent
// use.
type Cluster struct {
	options  Options
	dir      string
	launcher *launcher
	loopback *loopback // nil with namespaces
	network  *network  // nil without

	mu struct {
		sync.Mutex
		closed bool
		hosts  map[string]*Host
		procs  []*Proc           // in the order in which they were first started
		names  map[string]int    // how many processes have had each name
		cuts   map[[2]*Host]bool // the pairs that Cut has cut
	}
	torc struct { // the torc binary, made when first wanted
		sync.Mutex
		path string
	}
}

// New makes a cluster without hosts or processes. Close it when done.
func New(o Options) (*Cluster, error) {
	c := &Cluster{options: o}
	c.mu.hosts = make(map[string]*Host)
	c.mu.names = make(map[string]int)
	c.mu.cuts = make(map[[2]*Host]bool)
	var err error
	if o.Namespaces {
		c.network, err = newNetwork()
	} else {
		c.loopback, err = claimLoopback()
	}
	if err != nil {
		return nil, err
	}
	if c.dir, err = os.MkdirTemp("", "torc-cluster-"); err != nil {
		return nil, errors.Join(fmt.Errorf("cluster: %w", err), c.releaseAddresses())
	}
	c.launcher = newLauncher()
	return c, nil
}

// Dir is the cluster's folder: a folder for each process, with all that it ever
// printed in output.log. Close removes it.
func (c *Cluster) Dir() string { return c.dir }

// Procs returns the processes in the order in which they were first started,
// those that have ended too.
func (c *Cluster) Procs() []*Proc {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]*Proc(nil), c.mu.procs...)
}

// Close kills all processes, waits until they and what they started are gone,
// and gives back folder, addresses and namespaces. It may be called more than
// once. Calls under way fail with ErrClosed.
func (c *Cluster) Close() error {
	c.mu.Lock()
	again := c.mu.closed
	c.mu.closed = true
	c.mu.Unlock()
	if again {
		return nil
	}
	lives := c.launcher.close() // no process starts from here on
	for _, l := range lives {
		_ = l.killGroup() // ErrNotRunning is as well
	}
	for _, l := range lives {
		<-l.done
	}
	return errors.Join(c.releaseAddresses(), os.RemoveAll(c.dir))
}

func (c *Cluster) releaseAddresses() error {
	if c.network != nil {
		return c.network.close()
	}
	return c.loopback.close()
}

// Host returns the host of that name, and makes it when it is asked for first:
// a name is letters, digits and hyphens, at most 15 of them. A cluster has room
// for 250 hosts. What keeps a host from being made is reported when something
// is to be done on it.
func (c *Cluster) Host(name string) *Host {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.mu.hosts[name]; h != nil {
		return h
	}
	h := c.newHostLocked(name)
	c.mu.hosts[name] = h
	return h
}

func (c *Cluster) newHostLocked(name string) *Host {
	h := &Host{Name: name, cluster: c}
	index := len(c.mu.hosts) + 1
	switch {
	case c.mu.closed:
		h.err = ErrClosed
	case name == "" || len(name) > 15 || strings.Trim(strings.ToLower(name), "abcdefghijklmnopqrstuvwxyz0123456789-") != "":
		h.err = fmt.Errorf("cluster: %q is no name for a host: letters, digits and hyphens, 1 to 15 of them", name)
	case index > maxHosts:
		h.err = fmt.Errorf("cluster: no room for host %s: a cluster has at most %d", name, maxHosts)
	case c.network != nil:
		h.nic, h.err = c.network.plugIn(name, index)
		if h.err == nil {
			h.IP = h.nic.ip.String()
		}
	default:
		h.IP = c.loopback.ip(index)
	}
	return h
}

// maxHosts is how many hosts a /24 holds, with a few addresses to spare.
const maxHosts = 250

// Cut drops, without a word to anybody, all that a and b send to each other:
// their calls get no answer, not even a refusal, as when a switch between them
// has failed. What they send to others passes. Cutting twice is cutting once.
func (c *Cluster) Cut(a, b *Host) error { return c.setCut(a, b, true) }

// Heal undoes Cut.
func (c *Cluster) Heal(a, b *Host) error { return c.setCut(a, b, false) }

func (c *Cluster) setCut(a, b *Host, cut bool) error {
	if err := errors.Join(a.usable(), b.usable()); err != nil {
		return err
	}
	if a.nic == nil || b.nic == nil {
		return ErrSharedNetwork
	}
	if a == b {
		return fmt.Errorf("cluster: %s can't be cut from itself", a.Name)
	}
	pair := [2]*Host{a, b}
	if a.Name > b.Name {
		pair = [2]*Host{b, a}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if cut {
		c.mu.cuts[pair] = true
	} else {
		delete(c.mu.cuts, pair)
	}
	return errors.Join(a.nic.setCut(b.nic, cut), b.nic.setCut(a.nic, cut))
}

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
			for i, a := range pair {
				if a == h {
					err = errors.Join(err, n.setCut(pair[1-i].nic, true))
				}
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
