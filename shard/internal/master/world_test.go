package master

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/torc-dht/torc/shard/internal/msg"
	"github.com/torc-dht/torc/shard/slots"
)

const (
	ms     = int64(1e6)
	second = 1000 * ms
)

// sampled are the slots whose data the fakes model.
const sampledEvery = 396

func sampled() (s []slots.Slot) {
	for i := 0; i < slots.Count; i += sampledEvery {
		s = append(s, slots.Slot(i))
	}
	return s
}

// world is a master, fake servers that obey the protocol, and connections between
// them that are slow and break. All of it is decided by a seed.
type world struct {
	now     int64
	rng     *rand.Rand
	cfg     Config
	m       *Master
	conns   map[Conn]*conn
	order   []*conn
	lastID  uint64
	servers []*fake // those that were, too
	down    bool    // there is no master
	state   *slots.Map

	history  []*slots.Map // of the present reign
	ackedBy  map[slots.Boot]uint64
	answered map[slots.Slot]uint64
	writes   uint64
	forgot   map[slots.Boot]bool
	reads    int
	// witness stays well until witnessed.
	witness   *fake
	witnessed int64
	err       error

	takeHeld bool // fakes take maps in which rows are held
	maps     int
	log      func(string, ...any)
}

// conn is a connection between a fake and the master. Messages come in order, or
// not at all.
type conn struct {
	id       Conn
	f        *fake
	up, down []msg.Message // to the master, to the server
	broken   bool          // the master hasn't noticed yet
}

func newWorld(seed uint64, cfg Config) *world {
	w := &world{
		rng: rand.New(rand.NewPCG(seed, 5)), cfg: cfg, conns: make(map[Conn]*conn),
		answered: make(map[slots.Slot]uint64), forgot: make(map[slots.Boot]bool), now: second, log: func(string, ...any) {},
	}
	w.startMaster(nil)
	return w
}

func (w *world) id() uint64 { w.lastID++; return w.lastID }

func (w *world) startMaster(recovered *slots.Map) {
	w.cfg.Boot, w.cfg.Start, w.cfg.Recovered = slots.Boot(1000+w.id()), w.now, recovered
	w.m = New(w.now, w.cfg)
	w.down = false
	w.history, w.ackedBy = nil, make(map[slots.Boot]uint64)
}

// killMaster ends the master and its connections.
func (w *world) killMaster() {
	w.down = true
	for _, c := range w.order {
		c.f.conn = nil
	}
	w.order, w.conns = nil, make(map[Conn]*conn)
}

func (w *world) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf("at %d ms: "+format, append([]any{w.now / ms}, args...)...)
	}
}

// start makes a server at an address, which comes by itself.
func (w *world) start(addr string) *fake {
	f := &fake{w: w, addr: addr, alive: true, linked: true}
	f.reset()
	w.servers = append(w.servers, f)
	return f
}

func (w *world) byBoot(b slots.Boot) *fake {
	for _, f := range w.servers {
		if f.boot == b && f.alive {
			return f
		}
	}
	return nil
}

// reach says whether two servers can talk.
func (w *world) reach(a, b *fake) bool {
	return a != b && a.running() && b.running() && !a.cut[b.addr] && !b.cut[a.addr]
}

// connect gives a server a connection to the master, with its Hello on the way.
func (w *world) connect(f *fake) {
	c := &conn{id: Conn(w.id()), f: f}
	w.conns[c.id], w.order = c, append(w.order, c)
	f.conn = c
	w.m.Connected(w.now, c.id)
	c.up = append(c.up, &msg.Hello{Version: msg.Version, Addr: f.addr, Boot: f.boot, Promised: f.promised})
	w.drain()
}

// breakConn breaks a server's connection. What was on its way to the master may
// still come.
func (w *world) breakConn(f *fake) {
	if f.conn != nil {
		c := f.conn
		c.broken, c.down, f.conn = true, nil, nil
		c.up = c.up[:w.rng.IntN(len(c.up)+1)]
	}
}

func (w *world) remove(c *conn) {
	delete(w.conns, c.id)
	w.order = slices.DeleteFunc(w.order, func(d *conn) bool { return c == d })
	if c.f.conn == c {
		c.f.conn = nil
	}
}

// drain does what the master asks for, and checks each map.
func (w *world) drain() {
	for {
		out := w.m.Drain()
		for _, e := range out.Send {
			if c := w.conns[e.To]; c != nil && !c.broken {
				c.down = append(c.down, e.Message)
				w.trace("to", c.f, e.Message)
			}
		}
		for _, id := range out.Close {
			if c := w.conns[id]; c != nil {
				if c.broken {
					w.remove(c)
				} else {
					c.down = append(c.down, nil) // closed
				}
			}
		}
		w.checkMap()
		if out.Persist == nil {
			return
		}
		w.state = out.Persist
		w.m.Persisted(w.now, out.Persist.Epoch)
	}
}

// trace logs a message, if it is of those that say something.
func (w *world) trace(way string, f *fake, m msg.Message) {
	switch m.(type) {
	case *msg.Beat, *msg.Granted, *msg.MapUpdate, *msg.Report, *msg.Prepare, nil:
		return
	}
	w.log("%d ms: %s %s: %T %s", w.now/ms, way, f.addr, m, short(m))
}

// short is a message for a trace.
func short(m msg.Message) string {
	switch m := m.(type) {
	case *msg.HandOver:
		return fmt.Sprintf("%d slots", len(m.Slots))
	case *msg.GaveUp:
		return fmt.Sprintf("%d slots", len(m.Slots))
	case *msg.Refuse:
		return m.Reason
	}
	return ""
}

// summary counts a map's rows.
func summary(m *slots.Map) string {
	if m == nil {
		return "no map"
	}
	s := fmt.Sprint("epoch ", m.Epoch.Counter, ":")
	type count struct{ p, i, j, f int }
	n := make([]count, len(m.Servers))
	none, held := 0, 0
	for r := range m.Rows {
		row := &m.Rows[r]
		if row.Held != 0 {
			held++
		}
		if row.Primary == slots.None {
			none++
			continue
		}
		n[row.Primary].p++
		for _, c := range row.Copies() {
			switch c.State {
			case slots.InSync:
				n[c.Server].i++
			case slots.Joining:
				n[c.Server].j++
			default:
				n[c.Server].f++
			}
		}
	}
	for i := range m.Servers {
		s += fmt.Sprintf(" %s", m.Servers[i].Addr)
		if m.Servers[i].Dead {
			s += "(dead)"
		}
		if m.Servers[i].Leaving {
			s += "(leaving)"
		}
		s += fmt.Sprintf(" %d", n[i].p)
		if n[i].i+n[i].j+n[i].f > 0 {
			s += fmt.Sprintf("+%d", n[i].i)
		}
		if n[i].j > 0 {
			s += fmt.Sprintf(" joining %d", n[i].j)
		}
		if n[i].f > 0 {
			s += fmt.Sprintf(" filling %d", n[i].f)
		}
		s += ";"
	}
	if none > 0 {
		s += fmt.Sprintf(" nobody's %d", none)
	}
	if held > 0 {
		s += fmt.Sprintf(" held %d", held)
	}
	return s
}

// step lets a few milliseconds pass.
func (w *world) step(dt int64) {
	w.now += dt
	for _, c := range slices.Clone(w.order) {
		w.deliver(c)
	}
	for _, f := range w.servers {
		if f.running() {
			f.tick()
		}
	}
	if !w.down {
		w.m.Tick(w.now)
		w.drain()
	}
}

// deliver brings some of a connection's messages.
func (w *world) deliver(c *conn) {
	if w.conns[c.id] == nil || w.down {
		return
	}
	for n := w.rng.IntN(4); n > 0 && len(c.up) > 0; n-- {
		m := c.up[0]
		c.up = c.up[1:]
		switch b := m.(type) {
		case *msg.Beat:
			w.heardAck(c.f.boot, b.Acked)
		case *msg.Report:
			w.heardAck(c.f.boot, b.Acked)
		}
		w.trace("from", c.f, m)
		w.m.Receive(w.now, c.id, m)
		w.drain()
		if w.conns[c.id] == nil {
			return
		}
	}
	if c.broken && len(c.up) == 0 {
		w.remove(c)
		w.m.Disconnected(w.now, c.id)
		w.drain()
		return
	}
	if !c.f.running() {
		return
	}
	for n := w.rng.IntN(4); n > 0 && len(c.down) > 0; n-- {
		m := c.down[0]
		c.down = c.down[1:]
		if m == nil {
			w.remove(c)
			w.m.Disconnected(w.now, c.id)
			return
		}
		c.f.receive(m)
		if c.f.conn != c {
			return
		}
	}
}

func (w *world) heardAck(b slots.Boot, e slots.Epoch) {
	if len(w.history) > 0 && e.Term == w.history[0].Epoch.Term {
		w.ackedBy[b] = max(w.ackedBy[b], e.Counter)
	}
}

// checkMap checks a new map by itself and against all that came before it.
func (w *world) checkMap() {
	m := w.m.Map()
	if m == nil || !w.m.begun || len(w.history) > 0 && w.history[len(w.history)-1] == m {
		return
	}
	w.maps++
	w.log("%d ms: %s", w.now/ms, summary(m))
	if err := m.Check(); err != nil {
		w.fail("%v", err)
		return
	}
	if len(w.history) == 0 || w.history[0].Epoch.Term != m.Epoch.Term {
		w.history = []*slots.Map{m}
		for _, s := range sampled() {
			if old := w.cfg.Recovered; old != nil && old.Rows[s].Primary == slots.None {
				delete(w.answered, s) // all had left
			}
		}
		return
	}
	last := w.history[len(w.history)-1]
	if m.Epoch.Counter != last.Epoch.Counter+1 {
		w.fail("epoch %s follows %s", m.Epoch, last.Epoch)
	}
	for _, s := range sampled() {
		w.checkRow(s, last, m)
	}
	w.history = append(w.history, m)
	if len(w.history) > 400 {
		w.history = append(w.history[:1:1], w.history[200:]...)
	}
}

func bootAt(m *slots.Map, i int16) slots.Boot {
	if i == slots.None {
		return 0
	}
	return m.Servers[i].Boot
}

// stateIn returns how a boot stands in a row: -1 if it is no copy.
func stateIn(m *slots.Map, s slots.Slot, b slots.Boot) int {
	i := m.Index(b)
	if i == slots.None {
		return -1
	}
	if st, ok := m.Rows[s].Copy(i); ok {
		return int(st)
	}
	return -1
}

// checkRow holds R1, R2 and R3 against a record of what each primary may believe.
func (w *world) checkRow(s slots.Slot, last, m *slots.Map) {
	was, is := bootAt(last, last.Rows[s].Primary), bootAt(m, m.Rows[s].Primary)
	if was != is && was != 0 && (is == 0 || m.Rows[s].Fresh) {
		if !w.forgot[was] && !w.allLeft(last) {
			w.fail("slot %d begins anew though %s was not forgotten", s, was)
		}
		delete(w.answered, s)
	}
	if was == 0 && is != 0 {
		delete(w.answered, s) // by who left last, before it heard that it may
	}
	if last.Rows[s].Held != 0 {
		return
	}
	if was != is && was != 0 && is != 0 && !m.Rows[s].Fresh {
		switch {
		case stateIn(last, s, is) != int(slots.InSync):
			w.fail("R1: slot %d went from %s to %s, which was not in sync", s, was, is)
		default:
			w.checkPromoted(s, was, is)
			w.checkGivenUp(s, was, m)
		}
	}
	if was != is {
		return
	}
	for _, c := range m.Rows[s].Copies() {
		b := bootAt(m, c.Server)
		before := stateIn(last, s, b)
		if int(c.State) > before+1 {
			w.fail("R2: slot %d: copy %s goes from %d to %s", s, b, before, c.State)
		}
	}
}

// allLeft says whether all servers of a map wanted to leave.
func (w *world) allLeft(m *slots.Map) bool {
	for i := range m.Servers {
		f := w.byBoot(m.Servers[i].Boot)
		if !w.forgot[m.Servers[i].Boot] && (f == nil || !f.leaving) {
			return false
		}
	}
	return true
}

// checkGivenUp holds that who isn't deposed doesn't believe that it still has the slot.
func (w *world) checkGivenUp(s slots.Slot, was slots.Boot, m *slots.Map) {
	f, i := w.byBoot(was), m.Index(was)
	if f == nil || i == slots.None || m.Servers[i].Deposed == m.Epoch {
		return
	}
	if d := f.data[s]; d != nil && d.primary && !f.gone[s] {
		w.fail("R1: slot %d is taken from %s as if it had given it up, and it has not at epoch %d", s, f.addr, f.cur.Epoch.Counter)
	}
}

// checkPromoted holds that whoever is promoted is someone whom the old primary does
// nothing without, in whichever epoch since its last acknowledgement it is.
func (w *world) checkPromoted(s slots.Slot, was, is slots.Boot) {
	for i := len(w.history) - 1; i >= 0; i-- {
		h := w.history[i]
		if h.Epoch.Counter < w.ackedBy[was] || bootAt(h, h.Rows[s].Primary) != was || h.Rows[s].Held != 0 {
			return
		}
		if stateIn(h, s, is) < int(slots.Joining) {
			w.fail("R1: slot %d: %s is promoted, and %s may be at epoch %d, where it is no copy that counts", s, is, was, h.Epoch.Counter)
			return
		}
	}
}
