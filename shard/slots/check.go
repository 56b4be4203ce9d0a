package slots

import (
	"errors"
	"fmt"
)

const (
	// MaxServers is the most servers that a map has room for.
	MaxServers = 4096
	// MaxAddr is the most bytes of a server's address.
	MaxAddr = 255
)

// Check returns what about m no map may be, or nil: an epoch of zero, a number
// beyond its limits, servers without a boot or an address or out of the order of
// their numbers, two of one boot, a row that names who isn't there or somebody
// twice, or that has copies and no primary, or is held in no epoch.
func (m *Map) Check() error {
	if err := m.checkHead(); err != nil {
		return fmt.Errorf("map %s: %w", m.Epoch, err)
	}
	if len(m.Rows) != Count {
		return fmt.Errorf("map %s: %d rows, not %d", m.Epoch, len(m.Rows), Count)
	}
	for s := range m.Rows {
		if err := m.Rows[s].check(len(m.Servers), len(m.Held)); err != nil {
			return fmt.Errorf("map %s: slot %d: %w", m.Epoch, s, err)
		}
	}
	return nil
}

// checkHead checks all but the rows.
func (m *Map) checkHead() error {
	switch {
	case m.Epoch == Epoch{}:
		return errors.New("epoch zero")
	case int(m.Placement) >= len(placementNames):
		return fmt.Errorf("unknown placement %d", m.Placement)
	case m.Copies < 1 || m.Copies > MaxCopies:
		return fmt.Errorf("%d copies, not 1 to %d", m.Copies, MaxCopies)
	case m.MinCopies < 1 || m.MinCopies > m.Copies:
		return fmt.Errorf("at least %d copies, not 1 to %d", m.MinCopies, m.Copies)
	case len(m.Servers) > MaxServers:
		return fmt.Errorf("%d servers, more than %d", len(m.Servers), MaxServers)
	}
	if len(m.Held) > Count {
		return fmt.Errorf("%d epochs of held rows, more than there are rows", len(m.Held))
	}
	for _, e := range m.Held {
		if !e.Before(m.Epoch) {
			return fmt.Errorf("rows are held in epoch %s, which is not an earlier one", e)
		}
	}
	boots := make(map[Boot]bool, len(m.Servers))
	for i := range m.Servers {
		v := &m.Servers[i]
		switch {
		case v.Addr == "" || len(v.Addr) > MaxAddr:
			return fmt.Errorf("server %d: an address of %d bytes, not 1 to %d", i, len(v.Addr), MaxAddr)
		case v.Boot == 0:
			return fmt.Errorf("server %s: boot zero", v.Addr)
		case boots[v.Boot]:
			return fmt.Errorf("server %s: boot %s twice", v.Addr, v.Boot)
		case i > 0 && v.Number <= m.Servers[i-1].Number:
			return fmt.Errorf("server %s: number %d after %d", v.Addr, v.Number, m.Servers[i-1].Number)
		case m.Epoch.Before(v.Deposed):
			return fmt.Errorf("server %s: deposed in the later epoch %s", v.Addr, v.Deposed)
		}
		boots[v.Boot] = true
	}
	return nil
}

func (r *Row) check(servers, held int) error {
	if r.Primary == None {
		if r.Fresh || r.Held > 0 || r.n > 0 {
			return errors.New("no primary, but fresh, held or with copies")
		}
		return nil
	}
	if r.Primary < 0 || int(r.Primary) >= servers {
		return fmt.Errorf("primary %d of %d servers", r.Primary, servers)
	}
	if int(r.Held) > held {
		return fmt.Errorf("held in epoch %d of %d", r.Held, held)
	}
	copies := r.Copies()
	for i, c := range copies {
		switch {
		case c.Server < 0 || int(c.Server) >= servers:
			return fmt.Errorf("a copy on %d of %d servers", c.Server, servers)
		case c.State > InSync:
			return fmt.Errorf("a copy in the unknown state %d", c.State)
		case c.Server == r.Primary:
			return fmt.Errorf("server %d is primary and a copy", c.Server)
		}
		for _, d := range copies[:i] {
			if c.Server == d.Server {
				return fmt.Errorf("server %d is a copy twice", c.Server)
			}
		}
	}
	return nil
}
