package cluster

import (
	"errors"
	"fmt"
	"os"
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
		cuts   map[[2]*Host]bool // what the first sends to the second is lost
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
func (c *Cluster) Cut(a, b *Host) error {
	return errors.Join(c.setCut(a, b, true), c.setCut(b, a, true))
}

// CutOneWay drops all that from sends to to, as Cut does; what to sends to from
// arrives.
func (c *Cluster) CutOneWay(from, to *Host) error { return c.setCut(from, to, true) }

// Heal undoes Cut and CutOneWay between a and b.
func (c *Cluster) Heal(a, b *Host) error {
	return errors.Join(c.setCut(a, b, false), c.setCut(b, a, false))
}

func (c *Cluster) setCut(from, to *Host, cut bool) error {
	if err := errors.Join(from.usable(), to.usable()); err != nil {
		return err
	}
	if from.nic == nil || to.nic == nil {
		return ErrSharedNetwork
	}
	if from == to {
		return fmt.Errorf("cluster: %s can't be cut from itself", from.Name)
	}
	pair := [2]*Host{from, to}
	c.mu.Lock()
	defer c.mu.Unlock()
	if cut {
		c.mu.cuts[pair] = true
	} else {
		delete(c.mu.cuts, pair)
	}
	return from.nic.setCut(to.nic, cut)
}
