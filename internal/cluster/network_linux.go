package cluster

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// network is a switch: a bridge in a network namespace of its own. Neither it
// nor the hosts' namespaces have a name under /run/netns: what holds them is
// open files and processes alone, so they can't be left behind.
type network struct {
	ns     netns.NsHandle
	nl     *netlink.Handle
	bridge int // interface index
	nics   []*nic
}

// nic is one host's namespace and its cable to the switch.
type nic struct {
	ip  net.IP
	ns  netns.NsHandle
	nl  *netlink.Handle
	dev netlink.Link // eth0, in the host's namespace

	network *network
	port    netlink.Link // the cable's other end, in the switch's namespace
}

// nobody is a hardware address that no interface here has: the kernel draws
// theirs at random, and this one has a maker's prefix of zeros.
var nobody = net.HardwareAddr{0x02, 0, 0, 0, 0, 0}

func newNetwork() (*network, error) {
	if os.Geteuid() != 0 {
		return nil, ErrNoNamespaces
	}
	ns, nl, err := newNamespace()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoNamespaces, err)
	}
	n := &network{ns: ns, nl: nl}
	bridge := &netlink.Bridge{LinkAttrs: netlink.NewLinkAttrs()}
	bridge.Name = "switch"
	err = nl.LinkAdd(bridge)
	if err == nil {
		err = nl.LinkSetUp(bridge)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%w: bridge: %w", ErrNoNamespaces, err), n.close())
	}
	n.bridge = bridge.Index
	return n, nil
}

// newNamespace makes a network namespace with its loopback interface up.
func newNamespace() (netns.NsHandle, *netlink.Handle, error) {
	var ns netns.NsHandle
	err := onThread(func() error {
		var err error
		ns, err = netns.New() // and enters it
		return err
	})
	if err != nil {
		return netns.None(), nil, err
	}
	nl, err := netlink.NewHandleAt(ns)
	if err != nil {
		return netns.None(), nil, errors.Join(err, ns.Close())
	}
	lo, err := nl.LinkByName("lo")
	if err == nil {
		err = nl.LinkSetUp(lo)
	}
	if err != nil {
		nl.Close()
		return netns.None(), nil, errors.Join(err, ns.Close())
	}
	return ns, nl, nil
}

// onThread calls fn, which may change the thread's network namespace, and then
// brings the thread back to where it was.
func onThread(fn func() error) error {
	runtime.LockOSThread()
	home, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer func() { _ = home.Close() }()
	defer func() {
		// A thread that can't go home stays locked, so that it ends with its
		// goroutine and nobody else is ever run on it.
		if netns.Set(home) == nil {
			runtime.UnlockOSThread()
		}
	}()
	return fn()
}

// plugIn makes a host's namespace and connects it: the network is 10.77.0.0/24,
// which exists in these namespaces only.
func (n *network) plugIn(name string, index int) (*nic, error) {
	ns, nl, err := newNamespace()
	if err != nil {
		return nil, fmt.Errorf("cluster: namespace of %s: %w", name, err)
	}
	h := &nic{ip: net.IPv4(10, 77, 0, byte(index)), ns: ns, nl: nl, network: n}
	n.nics = append(n.nics, h)
	if err := h.connect(name); err != nil {
		return nil, fmt.Errorf("cluster: cable of %s: %w", name, err)
	}
	return h, nil
}

func (h *nic) connect(name string) error {
	sw := h.network.nl
	cable := &netlink.Veth{LinkAttrs: netlink.NewLinkAttrs(), PeerName: "eth0", PeerNamespace: netlink.NsFd(h.ns)}
	cable.Name = name
	if err := sw.LinkAdd(cable); err != nil {
		return err
	}
	var err error
	if h.port, err = sw.LinkByName(name); err != nil {
		return err
	}
	if h.dev, err = h.nl.LinkByName("eth0"); err != nil {
		return err
	}
	addr := &netlink.Addr{IPNet: &net.IPNet{IP: h.ip, Mask: net.CIDRMask(24, 32)}}
	if err := h.nl.AddrAdd(h.dev, addr); err != nil {
		return err
	}
	return errors.Join(sw.LinkSetUp(h.port), h.setPort(true), h.setInterface(true))
}

func (n *network) close() error {
	n.nl.Close()
	errs := []error{n.ns.Close()}
	for _, h := range n.nics {
		h.nl.Close()
		errs = append(errs, h.ns.Close())
	}
	return errors.Join(errs...)
}

func (h *nic) do(fn func() error) error {
	return onThread(func() error {
		if err := netns.Set(h.ns); err != nil {
			return fmt.Errorf("cluster: entering the namespace of %s: %w", h.ip, err)
		}
		return fn()
	})
}

func (h *nic) setInterface(up bool) error {
	if up {
		return h.nl.LinkSetUp(h.dev)
	}
	return h.nl.LinkSetDown(h.dev)
}

// setPort takes the cable out of the switch or puts it in. It doesn't just set
// the port down: the host's interface would lose its carrier, and the kernel
// takes up to a second to notice that it is back.
func (h *nic) setPort(plugged bool) error {
	if plugged {
		return h.network.nl.LinkSetMasterByIndex(h.port, h.network.bridge)
	}
	return h.network.nl.LinkSetNoMaster(h.port)
}

// setCut makes h send what it has for peer to a hardware address that nobody
// has, so that it is lost on the way without h noticing; or lets h find the
// right one again. A blackhole route would not do: h's own calls would fail at
// once and tell it.
func (h *nic) setCut(peer *nic, cut bool) error {
	entry := &netlink.Neigh{
		LinkIndex: h.dev.Attrs().Index, Family: netlink.FAMILY_V4, State: netlink.NUD_PERMANENT,
		IP: peer.ip, HardwareAddr: nobody,
	}
	if cut {
		return h.nl.NeighSet(entry)
	}
	err := h.nl.NeighDel(entry)
	if errors.Is(err, os.ErrNotExist) {
		return nil // an interface that went down forgot it
	}
	return err
}
