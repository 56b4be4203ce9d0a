package master

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/torc-dht/torc/shard/internal/msg"
	"github.com/torc-dht/torc/shard/slots"
)

// receive takes a message over a connection of v, which is nil before the Hello.
func (m *Master) receive(c Conn, v *member, message msg.Message) {
	if m.isDeposed() {
		m.refuse(c, "another master was elected", false)
		return
	}
	hello, isHello := message.(*msg.Hello)
	switch {
	case v == nil && isHello:
		m.hello(c, hello)
		return
	case v == nil || isHello:
		m.refuse(c, "a connection begins with Hello, and has one", false)
		return
	}
	m.alive(v)
	switch t := message.(type) {
	case *msg.Report:
		m.report(v, t)
		return
	case *msg.Refuse:
		if !m.promisedElsewhere(t.Promised) {
			m.closeConn(c)
		}
		return
	}
	if !v.reported {
		return // it answers something of an earlier term
	}
	switch t := message.(type) {
	case *msg.Beat:
		m.beat(v, t)
	case *msg.Filled:
		m.filled(v, t)
	case *msg.GaveUp:
		m.gaveUp(v, t)
	case *msg.DropCopy:
		m.dropCopy(v, t)
	case *msg.Leave:
		m.leave(v)
	}
}

// hello takes a server's first message on a connection. An older connection of the
// same boot is over; an older boot at the same address is dead. But where that one was
// heard a moment ago over a connection that is still open, two servers call themselves
// by one address, as those of two machines do that were not told what theirs is: the
// one with the data stays. Of a process that was killed the connection ends, and the
// next one, which tries again, comes in.
func (m *Master) hello(c Conn, h *msg.Hello) {
	if h.Version != msg.Version {
		m.refuse(c, fmt.Sprintf("this master speaks version %d of the protocol, the server %d: start both from one release", msg.Version, h.Version), true)
		return
	}
	if err := checkAddr(h.Addr); err != nil || h.Boot == 0 {
		if err == nil {
			err = fmt.Errorf("it has no boot ID")
		}
		m.refuse(c, fmt.Sprintf("the server's address %q is of no use: %v", h.Addr, err), true)
		return
	}
	if v := m.byBoot[h.Boot]; v != nil && v.replaced {
		m.refuse(c, fmt.Sprintf("another server has come at %s since: start this one at an address of its own", h.Addr), true)
		return
	}
	others := func(w *member) bool { return w.addr == h.Addr && w.boot != h.Boot && !w.replaced }
	if i := slices.IndexFunc(m.members, func(w *member) bool {
		return others(w) && w.conn != 0 && m.now-w.last < m.cfg.silentAfter()
	}); i >= 0 {
		m.refuse(c, fmt.Sprintf("a server at %s is alive, heard %v ago: if it is not an earlier one that has just ended, start this one at an address of its own",
			h.Addr, time.Duration(m.now-m.members[i].last).Round(time.Millisecond)), false)
		return
	}
	for _, w := range m.members {
		if others(w) {
			w.replaced = true
			if w.conn != 0 {
				m.closeConn(w.conn)
			}
		}
	}
	v := m.known(h.Boot, h.Addr)
	if v.conn != 0 {
		m.closeConn(v.conn)
	}
	v.conn, m.conns[c] = c, v
	m.alive(v)
	if !m.promisedElsewhere(h.Promised) {
		m.prepare(v)
	}
}

// checkAddr says what keeps an address from being one that others can reach.
func checkAddr(addr string) error {
	host, port, ok := cutPort(addr)
	switch {
	case len(addr) > slots.MaxAddr:
		return fmt.Errorf("it has over %d bytes", slots.MaxAddr)
	case !ok || host == "" || port == "":
		return fmt.Errorf("it isn't HOST:PORT")
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
		return fmt.Errorf("others can't reach %s: name the address to be reached at", host)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("%q is no port from 1 to 65535", port)
	}
	return nil
}

func cutPort(addr string) (host, port string, ok bool) {
	i := strings.LastIndexByte(addr, ':')
	if i < 0 {
		return "", "", false
	}
	host, port = addr[:i], addr[i+1:]
	if len(host) > 2 && host[0] == '[' && host[len(host)-1] == ']' {
		return host[1 : len(host)-1], port, true
	}
	return host, port, !strings.ContainsAny(host, ":[] ")
}

// report takes a server's promise. Its map counts if it is of another reign; its
// slots given up if they were under the newest epoch, else the newest map, which is
// sent next, gives them back.
func (m *Master) report(v *member, r *msg.Report) {
	if r.Term != m.term || r.Boot != m.cfg.Boot {
		return // it answers the Prepare of an earlier reign: another is on its way
	}
	if r.Map != nil && !m.own(r.Map.Epoch) && !m.takeReport(v, r.Map) {
		return
	}
	v.reported, v.heard = true, true
	v.wasIn = r.Map != nil && r.Map.Index(v.boot) != slots.None
	v.leaving = r.Leaving
	v.drops, v.gaveUp, v.distrusted = nil, nil, nil
	m.acknowledged(v, r.Acked)
	if r.Map != nil && m.begun && r.Map.Epoch == m.newest.Epoch {
		for i := range r.GaveUp {
			m.gaveUp(v, &r.GaveUp[i])
		}
	}
	m.atOnceIf(m.newest != nil && m.newest.Index(v.boot) != slots.None && m.newest.Servers[m.newest.Index(v.boot)].Dead)
	m.must = m.must || !m.begun
	m.soon()
	if m.rebuild == nil {
		m.catchUp()
	}
}

// takeReport learns from a map of another reign. False says that the server was
// refused.
func (m *Master) takeReport(v *member, reported *slots.Map) bool {
	if m.cfg.Recovered != nil && m.cfg.Recovered.Epoch.Before(reported.Epoch) {
		if !m.laterThanState(v, reported) {
			return false
		}
	}
	if m.anew && reported.Epoch.Boot != m.cfg.Boot && inRows(reported, reported.Index(v.boot)) {
		m.refuse(v.conn, fmt.Sprintf("this master began a new table before it heard of the one that %s is of (map %s): "+
			"to take that up, stop the new one's servers and start the master again where the others can reach it; "+
			"to give it up, start %s again", v.addr, reported.Epoch, v.addr), false)
		return false
	}
	if m.rebuild != nil {
		m.rebuild.take(reported)
	}
	return true
}

// inRows says whether a server has anything by a map.
func inRows(m *slots.Map, server int16) bool {
	return server != slots.None && slices.ContainsFunc(m.Rows, func(r slots.Row) bool {
		_, isCopy := r.Copy(server)
		return isCopy || r.Primary == server
	})
}

func (m *Master) atOnceIf(yes bool) {
	if yes {
		m.atOnce()
	}
}

// beat takes a sign of life, and grants what it asks for: this master won't give
// away what the server alone has, until the lease from now is over (R4). Who may
// have been deposed gets that only when it knows. Under a draft it is granted what
// the server has by its own map, since it goes on under that.
func (m *Master) beat(v *member, b *msg.Beat) {
	changed := v.full != b.Full || !slices.Equal(v.distrusted, b.Distrusted)
	v.epoch, v.full, v.distrusted, v.fills = b.Epoch, b.Full, b.Distrusted, b.Fills
	v.keys, v.bytes, v.limit = b.Keys, b.Bytes, b.Limit
	m.acknowledged(v, b.Acked)
	if changed {
		m.soon()
	}
	if m.newest == nil {
		return
	}
	i := m.newest.Index(v.boot)
	if i == slots.None || m.newest.Servers[i].Dead {
		return
	}
	epoch, deposed := m.epoch(), m.newest.Servers[i].Deposed
	if len(m.newest.Held) > 0 {
		epoch, deposed = b.Epoch, m.rebuild.deposed(v.boot)
	}
	if b.Epoch.Before(deposed) {
		return
	}
	v.promise = m.now
	m.send(v.conn, &msg.Granted{Sent: b.Sent, Epoch: epoch})
}

func (m *Master) epoch() slots.Epoch {
	if m.issued == nil {
		return slots.Epoch{}
	}
	return m.issued.Epoch
}

// counterOf is the counter of an epoch of this reign, which makes a thousand maps a
// second at the most.
func counterOf(e slots.Epoch) uint32 { return uint32(e.Counter) }

// acknowledged notes the last epoch in full force at a server (R2).
func (m *Master) acknowledged(v *member, e slots.Epoch) {
	if !m.own(e) || counterOf(e) <= v.acked {
		return
	}
	v.acked = counterOf(e)
	if m.survey.awaits(v.boot, v.acked) {
		m.soon()
	}
}

// filled notes that copies have everything (R2).
func (m *Master) filled(v *member, f *msg.Filled) {
	if !m.own(f.Epoch) || counterOf(f.Epoch) <= v.filled[f.Boot] {
		return
	}
	if v.filled == nil {
		v.filled = make(map[slots.Boot]uint32)
	}
	v.filled[f.Boot] = counterOf(f.Epoch)
	m.soon()
}

// dropCopy notes a copy that a primary can't reach (R6). Until its next Beat says
// more, it counts as distrusted: else it would be made a copy again at once.
func (m *Master) dropCopy(v *member, d *msg.DropCopy) {
	if !m.own(d.Epoch) {
		return
	}
	v.drops = append(v.drops, drop{d.Boot, counterOf(d.Epoch)})
	if !slices.Contains(v.distrusted, d.Boot) {
		v.distrusted = append(slices.Clip(v.distrusted), d.Boot)
	}
	m.atOnce()
}

// leave notes that a server wants to go (R8).
func (m *Master) leave(v *member) {
	if !v.leaving {
		v.leaving = true
		m.atOnce()
	}
	m.catchUp()
}
