package master

import (
	"slices"

	"github.com/torc-dht/torc/shard/internal/msg"
	"github.com/torc-dht/torc/shard/slots"
)

const lease = 1500 * ms

// fake is a server as the rules have it: it models the values of sampled slots,
// with one key each.
type fake struct {
	w              *world
	addr           string
	boot           slots.Boot
	alive, frozen  bool
	linked         bool // it may reach the master
	cut            map[string]bool
	leaving, freed bool

	conn     *conn
	promised slots.Epoch
	cur      *slots.Map
	me       int16
	acked    slots.Epoch
	gaveUp   []msg.GaveUp
	gone     map[slots.Slot]bool

	data    map[slots.Slot]*datum
	fills   map[slots.Boot]*fill
	targets []slots.Boot         // who is to be filled
	grants  map[slots.Boot]int64 // until when others promised
	granted map[slots.Boot]int64 // until when it promised others
	waits   map[slots.Slot]int64 // promoted: serves from then on
	master  int64                // until when the master promised
	beatAt  int64
}

// datum is what a server has of a slot: the value of its one key, and who of its
// copies has not got it yet.
type datum struct {
	value   uint64
	pending map[slots.Boot]bool
	primary bool
}

// fill is the filling of a peer.
type fill struct {
	until int64
	whole map[slots.Slot]bool
}

func (f *fake) running() bool { return f.alive && !f.frozen }

// reset makes the fake a process that has just begun.
func (f *fake) reset() {
	w := f.w
	f.boot = slots.Boot(w.id())
	f.conn, f.promised, f.cur, f.acked, f.gaveUp = nil, slots.Epoch{}, nil, slots.Epoch{}, nil
	f.leaving, f.freed = false, false
	f.gone = make(map[slots.Slot]bool)
	f.data = make(map[slots.Slot]*datum)
	f.fills = make(map[slots.Boot]*fill)
	f.grants, f.granted = make(map[slots.Boot]int64), make(map[slots.Boot]int64)
	f.waits = make(map[slots.Slot]int64)
	f.master, f.beatAt = 0, 0
	if f.cut == nil {
		f.cut = make(map[string]bool)
	}
}

func (f *fake) send(m msg.Message) {
	if f.conn != nil {
		f.conn.up = append(f.conn.up, m)
	}
}

func (f *fake) receive(m msg.Message) {
	switch m := m.(type) {
	case *msg.Prepare:
		if m.Term < f.promised.Term || m.Term == f.promised.Term && m.Boot != f.promised.Boot {
			f.send(&msg.Refuse{Promised: f.promised})
			return
		}
		f.promised = slots.Epoch{Term: m.Term, Boot: m.Boot}
		f.send(&msg.Report{Term: m.Term, Boot: m.Boot, Map: f.cur, Acked: f.acked, GaveUp: f.gaveUp, Leaving: f.leaving})
	case *msg.MapUpdate:
		f.offered(m.Map)
	case *msg.Granted:
		f.master = m.Sent + lease
	case *msg.HandOver:
		f.handOver(m)
	case *msg.Released:
		f.freed, f.alive = true, false
		f.w.breakConn(f)
	}
}

// offered takes a map, from the master or a peer: none of a lower term than it has
// promised to follow, and none in which rows are held.
func (f *fake) offered(m *slots.Map) {
	e := slots.Epoch{Term: m.Epoch.Term, Boot: m.Epoch.Boot}
	if e.Term < f.promised.Term || e.Term == f.promised.Term && e.Boot != f.promised.Boot ||
		len(m.Held) > 0 && !f.w.takeHeld || f.cur != nil && !f.cur.Epoch.Before(m.Epoch) {
		return
	}
	f.promised = e
	f.adopt(m)
}

func (f *fake) adopt(m *slots.Map) {
	old := f.cur
	f.cur, f.me = m, m.Index(f.boot)
	if f.me == slots.None {
		if old != nil && old.Index(f.boot) != slots.None {
			f.w.breakConn(f)
			if f.leaving { // a peer's map was faster than Released
				f.freed, f.alive = true, false
			} else {
				f.reset()
			}
		}
		return
	}
	f.gaveUp, f.gone = nil, make(map[slots.Slot]bool)
	f.setTargets()
	for _, s := range sampled() {
		f.adoptRow(s, old)
	}
}

// setTargets notes who has Filling copies of this server's slots.
func (f *fake) setTargets() {
	f.targets = nil
	for s := range f.cur.Rows {
		r := &f.cur.Rows[s]
		if r.Primary != f.me {
			continue
		}
		for _, c := range r.Copies() {
			if b := bootAt(f.cur, c.Server); c.State == slots.Filling && !slices.Contains(f.targets, b) {
				f.targets = append(f.targets, b)
			}
		}
	}
	for b := range f.fills {
		if !slices.Contains(f.targets, b) {
			delete(f.fills, b)
		}
	}
}

// adoptRow takes the role in a slot that the new map has for it.
func (f *fake) adoptRow(s slots.Slot, old *slots.Map) {
	r, d := &f.cur.Rows[s], f.data[s]
	state, isCopy := r.Copy(f.me)
	switch {
	case r.Primary == f.me && (d == nil || !d.primary):
		if r.Fresh {
			f.data[s] = &datum{primary: true, pending: make(map[slots.Boot]bool)}
			return
		}
		if d == nil {
			f.w.fail("%s is made primary of slot %d and has nothing of it", f.addr, s)
			return
		}
		d.primary, d.pending = true, make(map[slots.Boot]bool)
		for _, c := range r.Copies() {
			d.pending[bootAt(f.cur, c.Server)] = true
		}
		f.waits[s] = f.waitFor(s, old)
	case r.Primary == f.me:
	case isCopy && d != nil:
		d.primary, d.pending = false, nil
		if was := stateIn(old, s, f.boot); state == slots.Filling && was > int(slots.Filling) {
			delete(f.data, s)
		}
	default:
		delete(f.data, s)
	}
	if d := f.data[s]; d != nil && d.primary {
		for b := range d.pending {
			if stateIn(f.cur, s, b) < 0 {
				delete(d.pending, b)
			}
		}
	}
}

// waitFor returns when promises are over that a new primary gave to others. Whoever
// got the slot by a hand-over needn't wait.
func (f *fake) waitFor(s slots.Slot, old *slots.Map) (until int64) {
	for b, end := range f.granted {
		if i := f.cur.Index(b); i == slots.None || f.cur.Servers[i].Dead ||
			old != nil && old.Epoch.Before(f.cur.Servers[i].Deposed) {
			until = max(until, end)
		}
	}
	return until
}

func (f *fake) handOver(h *msg.HandOver) {
	if f.cur == nil || h.Epoch.Term != f.cur.Epoch.Term {
		return
	}
	g := msg.GaveUp{Epoch: f.cur.Epoch, To: h.To}
	to := f.cur.Index(h.To)
	if to == slots.None {
		return
	}
	for _, s := range h.Slots {
		r := &f.cur.Rows[s]
		if st, ok := r.Copy(to); r.Primary != f.me || !ok || st != slots.InSync {
			continue
		}
		if d := f.data[s]; d != nil && len(d.pending) > 0 && !f.flush(s) {
			continue
		}
		g.Slots = append(g.Slots, s)
	}
	if len(g.Slots) == 0 {
		return
	}
	for _, s := range g.Slots {
		f.gone[s] = true
	}
	f.gaveUp = append(f.gaveUp, g)
	f.send(&g)
}

// deliver gives c the value of a slot, if c takes it.
func (f *fake) deliver(s slots.Slot, c *fake) bool {
	if !f.w.reach(f, c) {
		return false
	}
	if c.cur == nil || c.cur.Epoch.Before(f.cur.Epoch) {
		c.offered(f.cur)
	}
	if c.cur == nil || c.me == slots.None || c.cur.Epoch.Before(f.cur.Epoch) {
		return false
	}
	if f.cur.Epoch.Before(c.cur.Epoch) {
		f.offered(c.cur)
		return false
	}
	if c.data[s] == nil || c.data[s].primary {
		return false
	}
	c.data[s].value = f.data[s].value
	return true
}

// flush delivers what copies have not got yet, and says whether all have that count.
func (f *fake) flush(s slots.Slot) bool {
	d := f.data[s]
	boots := make([]slots.Boot, 0, 4)
	for _, c := range f.cur.Rows[s].Copies() {
		boots = append(boots, bootAt(f.cur, c.Server))
	}
	whole := true
	for _, b := range boots {
		if d.pending[b] {
			c := f.w.byBoot(b)
			if c != nil && f.deliver(s, c) {
				delete(d.pending, b)
			} else if f.data[s] != d || !d.primary {
				return false // it heard of a later map
			} else if stateIn(f.cur, s, b) > int(slots.Filling) {
				whole = false
			}
		}
	}
	return whole
}

// serves says whether the server may answer for a slot, by its own map, lease and
// clock.
func (f *fake) serves(s slots.Slot) bool {
	d := f.data[s]
	if !f.running() || f.cur == nil || f.me == slots.None || d == nil || !d.primary || f.gone[s] || f.w.now < f.waits[s] {
		return false
	}
	alone := true
	for _, c := range f.cur.Rows[s].Copies() {
		if c.State != slots.Filling {
			alone = false
			if f.grants[bootAt(f.cur, c.Server)] <= f.w.now {
				return false
			}
		}
	}
	return !alone || f.master > f.w.now
}

// write tries a write, and then a read, of a slot.
func (f *fake) write(s slots.Slot, alsoWrite bool) {
	if !f.serves(s) {
		return
	}
	w, d := f.w, f.data[s]
	if alsoWrite {
		w.writes++
		d.value = w.writes
		for _, c := range f.cur.Rows[s].Copies() {
			d.pending[bootAt(f.cur, c.Server)] = true
		}
	}
	if !f.flush(s) || !f.serves(s) || f.data[s] != d {
		return
	}
	w.reads++
	if d.value < w.answered[s] {
		w.fail("%s, at epoch %v, answers for slot %d with %d, and %d was answered before", f.addr, f.cur.Epoch.Counter, s, d.value, w.answered[s])
	}
	w.answered[s] = d.value
}

// tick does what a server does by itself.
func (f *fake) tick() {
	w := f.w
	if f.conn == nil && f.linked && !w.down && w.rng.IntN(5) == 0 {
		w.connect(f)
	}
	if f.cur == nil || f.me == slots.None {
		f.beat()
		return
	}
	for _, do := range []func(){f.renew, f.fill, f.acknowledge} {
		if do(); f.cur == nil || f.me == slots.None {
			return
		}
	}
	f.beat()
}

// renew asks peers for promises.
func (f *fake) renew() {
	for i := range f.cur.Servers {
		b := f.cur.Servers[i].Boot
		c := f.w.byBoot(b)
		if c == nil || !f.w.reach(f, c) || f.w.rng.IntN(8) != 0 {
			continue
		}
		if f.cur.Epoch.Before(epochOf(c)) {
			f.offered(c.cur)
			return
		}
		c.offered(f.cur)
		if f.grants == nil || c.cur == nil {
			continue
		}
		if j := c.cur.Index(f.boot); j != slots.None && !c.cur.Servers[j].Dead && !f.cur.Epoch.Before(c.cur.Servers[j].Deposed) {
			f.grants[b] = f.w.now + lease
			c.granted[f.boot] = f.w.now + lease + 50*ms
		}
	}
}

func epochOf(f *fake) slots.Epoch {
	if f.cur == nil {
		return slots.Epoch{}
	}
	return f.cur.Epoch
}

// fill fills Filling copies, a peer at a time, and says so when all have it.
func (f *fake) fill() {
	w := f.w
	for _, b := range f.targets {
		p := f.fills[b]
		if p == nil {
			p = &fill{until: w.now + int64(w.rng.IntN(300))*ms, whole: make(map[slots.Slot]bool)}
			f.fills[b] = p
		}
		if c := w.byBoot(b); w.now >= p.until && c != nil && w.reach(f, c) {
			f.fillPeer(b, c, p)
			if f.cur == nil || f.me == slots.None {
				return
			}
		}
	}
}

func (f *fake) fillPeer(b slots.Boot, c *fake, p *fill) {
	for _, s := range sampled() {
		d := f.data[s]
		if d == nil || !d.primary || stateIn(f.cur, s, b) != int(slots.Filling) {
			delete(p.whole, s)
			continue
		}
		if p.whole[s] {
			continue
		}
		c.offered(f.cur)
		if f.cur.Epoch.Before(epochOf(c)) {
			f.offered(c.cur)
			return
		}
		if epochOf(c) != f.cur.Epoch || c.me == slots.None {
			return
		}
		c.data[s] = &datum{value: d.value}
		delete(d.pending, b)
		p.whole[s] = true
	}
	if f.w.rng.IntN(3) == 0 {
		f.send(&msg.Filled{Epoch: f.cur.Epoch, Boot: b})
	}
}

// acknowledge notes the epoch in full force, when all Joining copies have all.
func (f *fake) acknowledge() {
	epoch := f.cur.Epoch
	for _, s := range sampled() {
		r := &f.cur.Rows[s]
		if r.Primary != f.me || f.data[s] == nil {
			continue
		}
		for _, c := range r.Copies() {
			if c.State == slots.Joining && !f.flush(s) {
				return
			}
		}
		if epochOf(f) != epoch {
			return
		}
	}
	f.acked = f.cur.Epoch
}

func (f *fake) beat() {
	w := f.w
	if f.conn == nil || w.now < f.beatAt || f.promised.Term == 0 {
		return
	}
	f.beatAt = w.now + 250*ms
	if w.rng.IntN(3) > 0 {
		f.beatAt = w.now + 20*ms
	}
	b := &msg.Beat{Sent: w.now, Epoch: epochOf(f), Acked: f.acked}
	if f.cur != nil && f.me != slots.None {
		for i := range f.cur.Servers {
			c := w.byBoot(f.cur.Servers[i].Boot)
			if c != nil && c != f && c.running() && !w.reach(f, c) {
				b.Distrusted = append(b.Distrusted, c.boot)
				f.send(&msg.DropCopy{Epoch: f.cur.Epoch, Boot: c.boot})
			}
		}
	}
	f.send(b)
}

// leave asks to go.
func (f *fake) leave() {
	f.leaving = true
	f.send(&msg.Leave{})
}
