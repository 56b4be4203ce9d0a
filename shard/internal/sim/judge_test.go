package sim

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/torc-dht/torc/internal/check"
	"github.com/torc-dht/torc/internal/simnet"
	"github.com/torc-dht/torc/shard/internal/master"
	"github.com/torc-dht/torc/shard/internal/msg"
	"github.com/torc-dht/torc/shard/slots"
)

// saw takes note of a map: each has an epoch of its own, and is one that may be.
func (w *world) saw(m *slots.Map, at simnet.Addr) {
	switch was := w.maps[m.Epoch]; {
	case was == m:
		return
	case was != nil:
		w.fail("%s has another map of the epoch %s", at, m.Epoch)
	default:
		w.maps[m.Epoch] = m
		if err := m.Check(); err != nil {
			w.fail("%s: %v", at, err)
		}
	}
	if len(m.Held) == 0 && (w.newest == nil || w.newest.Epoch.Before(m.Epoch)) {
		w.newest = m
	}
}

// after looks at a server that has just done something.
func (w *world) after(n *serverNode) {
	if f := n.core.Faults(); f > 0 {
		w.fail("%s met what can't be, %d times", n.addr, f)
	}
	for _, s := range w.sampled {
		if w.serves(n, s) {
			w.alone(n, s)
		}
	}
}

// serves says whether a server would answer for a slot now.
func (w *world) serves(n *serverNode, s slots.Slot) bool {
	return n.core.Serves(n.time(w.net.Clock(n.addr)), s)
}

// alone holds that nobody but n serves a slot.
func (w *world) alone(n *serverNode, s slots.Slot) {
	for _, o := range w.live() {
		if o != n && w.serves(o, s) {
			w.fail("slot %d is served by %s, by map %s, and by %s, by map %s",
				s, n.addr, n.core.Map().Epoch, o.addr, o.core.Map().Epoch)
		}
	}
}

// survives says whether no slot is lost if a server dies now: by the newest map
// somebody else has each slot in sync that it has, who is in good contact. With
// one who isn't there would be two failures at once.
func (w *world) survives(a simnet.Addr) bool {
	n := w.nodes[a]
	if w.newest == nil || !w.net.Up(a) || len(w.masters) > 1 {
		return false
	}
	me := w.newest.Index(n.boot)
	if me == slots.None {
		return true
	}
	up := make([]bool, len(w.newest.Servers))
	for i := range up {
		s := &w.newest.Servers[i]
		up[i] = w.alive(s.Boot) && int16(i) != me && !s.Dead && w.steady(s)
	}
	for i := range w.newest.Rows {
		r := &w.newest.Rows[i]
		if r.Primary == slots.None || up[r.Primary] {
			continue
		}
		if !slices.ContainsFunc(r.Copies(), func(c slots.Copy) bool { return c.State == slots.InSync && up[c.Server] }) {
			return false
		}
	}
	return true
}

// steady says whether nothing is wrong with a server, nor has just been.
func (w *world) steady(s *slots.Server) bool {
	a := nodeOf(s.Addr)
	for _, f := range w.net.Faults() {
		switch f.Kind {
		case simnet.Split:
			return false
		case simnet.Kill, simnet.ClockRate:
		default:
			if f.A == a || f.B == a || w.isMaster(f.A) || w.isMaster(f.B) || f.B == simnet.Every {
				return false
			}
		}
	}
	if !w.net.Up(w.lead) {
		return true
	}
	for _, st := range w.master.core.Status(mono(w.net.Clock(w.lead))).Servers {
		if st.Boot == s.Boot && (st.State == master.Silent || st.State == master.Dead || st.Silence > 300*time.Millisecond) {
			return false
		}
	}
	return true
}

// quiet waits until the table has settled, with no new calls, and holds that
// everything is then as it shall be.
func (w *world) quiet(within time.Duration) {
	if w.failed() {
		return
	}
	w.resting = true
	defer func() { w.resting = false }()
	const calm = time.Second // no server is seen dead so late
	since := w.net.Now()
	patient := since + 5*time.Second // nobody is given up before he could have come
	for end := since + within; w.net.Now()-since < calm || w.busy(); w.run(50 * time.Millisecond) {
		if w.failed() {
			return
		}
		why := w.unsettled()
		if why != nil {
			since = w.net.Now()
		}
		if w.net.Now() >= end && why != nil {
			w.fail("not settled within %v: %s", within, why())
			return
		}
		if w.net.Now() > patient {
			w.operate()
		}
	}
	if !w.failed() {
		w.compare()
	}
}

// busy says whether some client has a call under way.
func (w *world) busy() bool {
	return slices.ContainsFunc(w.clients, func(c *clientNode) bool { return c.call != nil })
}

// operate does what a person would: servers that are dead for good are forgotten.
func (w *world) operate() {
	if !w.net.Up(w.lead) || w.net.Frozen(w.lead) || w.master.core.Map() == nil {
		return
	}
	now := mono(w.net.Clock(w.lead))
	for _, s := range w.master.core.Status(now).Servers {
		if !w.alive(s.Boot) && (s.State == master.Dead || s.State == master.Unheard) && s.WaitFor > 0 && s.Silence > 2*time.Second {
			w.net.Call(w.lead, func(now time.Duration) {
				if w.master.core.Forget(mono(now), s.Addr, 0) == nil {
					w.covered("forgotten")
				}
			})
		}
	}
}

// unsettled says what is not yet as it shall be, in words that are put together
// when they are asked for; nil is nothing.
func (w *world) unsettled() func() string {
	why := func(f string, args ...any) func() string { return func() string { return fmt.Sprintf(f, args...) } }
	if !w.net.Up(w.lead) || w.net.Frozen(w.lead) {
		return why("the master is down")
	}
	m := w.master.core.Map()
	if m == nil {
		return why("the master has no map")
	}
	if st := w.master.core.Status(mono(w.net.Clock(w.lead))); !st.Settled {
		return func() string { return fmt.Sprintf("the master isn't settled: %s, %+v", describe(m), st) }
	}
	live := w.live()
	if len(m.Servers) != len(live) {
		return why("%d servers in the map, %d alive", len(m.Servers), len(live))
	}
	for _, n := range live {
		switch {
		case n.core.Map() == nil || n.core.Map().Epoch != m.Epoch:
			return why("%s isn't on map %s", n.addr, m.Epoch)
		case !n.core.Settled():
			return why("%s isn't settled", n.addr)
		}
	}
	for s := range m.Rows {
		n := w.lives[m.Servers[m.Rows[s].Primary].Boot]
		if !w.serves(n, slots.Slot(s)) {
			return why("slot %d isn't served", s)
		}
	}
	return nil
}

// compare holds that everybody has as much as anybody else, and that the copies of
// each slot are equal.
func (w *world) compare() {
	m := w.master.core.Map()
	primaries, backups := make([]int, len(m.Servers)), make([]int, len(m.Servers))
	for s := range m.Rows {
		r := &m.Rows[s]
		primaries[r.Primary]++
		want := w.dump(m, r.Primary, slots.Slot(s))
		if r.Fresh || len(r.Copies()) != min(m.Copies, len(m.Servers))-1 {
			w.fail("slot %d: row %s of %s", s, describeRow(r), describe(m))
			return
		}
		for _, c := range r.Copies() {
			backups[c.Server]++
			if c.State != slots.InSync {
				w.fail("slot %d: row %s", s, describeRow(r))
				return
			}
			if got := w.dump(m, c.Server, slots.Slot(s)); got != want {
				w.fail("slot %d: %s has\n%s and its copy at %s\n%s", s, m.Servers[r.Primary].Addr, want, m.Servers[c.Server].Addr, got)
				return
			}
		}
	}
	for _, counts := range [][]int{primaries, backups} {
		if slices.Max(counts)-slices.Min(counts) > 1 {
			w.fail("uneven: %d primaries, %d backups", primaries, backups)
		}
	}
}

// dump prints what a server has of a slot. Of the writes that it would know again
// those count that their clients might yet repeat: what is before them a copy may
// have forgotten already, by a write that was undone.
func (w *world) dump(m *slots.Map, at int16, s slots.Slot) string {
	entries, ops := w.lives[m.Servers[at].Boot].core.Dump(s)
	if len(entries) == 0 && len(ops) == 0 {
		return ""
	}
	slices.SortFunc(entries, func(a, b msg.Entry) int { return strings.Compare(a.Key, b.Key) })
	var b bytes.Buffer
	for _, e := range entries {
		fmt.Fprintf(&b, "\t%s = %.20q version %d gone %v\n", e.Key, e.Value, e.Version, e.Gone)
	}
	slices.SortFunc(ops, func(a, b msg.Op) int { return int(a.Client) - int(b.Client) })
	for _, o := range ops {
		if o.Number < w.clients[o.Client-1].number {
			continue
		}
		fmt.Fprintf(&b, "\top %d.%d (oldest %d): version %d\n", o.Client, o.Number, o.Oldest, o.Version)
	}
	return b.String()
}

// readAll lets clients read every key: what was answered has to be there.
func (w *world) readAll() {
	if w.failed() {
		return
	}
	w.resting = true
	for i, key := range w.keys {
		c := w.clients[i%len(w.clients)]
		c.scripts = append(c.scripts, check.Operation{Op: check.Get, Key: check.Text(key)})
	}
	before := len(w.history)
	done := func() bool {
		return !w.busy() && !slices.ContainsFunc(w.clients, func(c *clientNode) bool { return len(c.scripts) > 0 })
	}
	if !w.until(4*giveUpAfter, done) && !w.failed() {
		w.fail("the last reads were not answered")
	}
	for _, o := range w.history[min(before, len(w.history)):] {
		if o.Op == check.Get && o.Outcome == check.Failed {
			w.fail("a last read failed: %v", o)
		}
	}
}

// verify judges what clients saw.
func (w *world) verify() {
	if w.failed() {
		return
	}
	if err := check.Values(w.history); err != nil {
		w.fail("%v", err)
	} else if err := check.Fresh(w.history); err != nil {
		w.fail("%v", err)
	} else if err := check.Linearizable(w.history, check.Register, check.DefaultTimeout); err != nil {
		w.fail("%v", err)
	}
}

// end lets the table settle, and judges everything.
func (w *world) end(t testing.TB) {
	t.Helper()
	w.quiet(30 * time.Second)
	w.readAll()
	w.verify()
	w.report(t)
}
