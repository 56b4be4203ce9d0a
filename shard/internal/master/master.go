package master

import (
	"github.com/torc-dht/torc/shard/internal/msg"
	"github.com/torc-dht/torc/shard/slots"
)

// Conn names a connection of a server. It is not 0.
type Conn uint64

// Envelope is a message to a connection.
type Envelope struct {
	To      Conn
	Message msg.Message
}

// Outbox is what there is to do. Messages go out before connections are closed.
type Outbox struct {
	Send  []Envelope
	Close []Conn
	// Persist is the map to be made durable, or nil.
	Persist *slots.Map
}

// Master is a master's state. Its zero value is of no use; New makes one. Times are
// nanoseconds of a clock that never goes back and goes on while the process is
// stopped.
type Master struct {
	cfg   Config
	now   int64 // of the call under way
	began int64
	heard int64 // when anybody was heard last

	term    uint64
	reigns  int64       // since when: of the term
	deposed slots.Epoch // whose term ended this master's reign, if its Term isn't 0

	members []*member
	byBoot  map[slots.Boot]*member
	conns   map[Conn]*member // nil before the Hello

	rebuild *rebuild   // nil when no row is held any more
	newest  *slots.Map // the last one made; nil where there is none in this term and none was recovered
	issued  *slots.Map // the last one sent: newest, once it is persisted
	begun   bool       // a map was made in this term
	anew    bool       // the table began with this master, as far as anybody had said
	ages    []age      // of newest's rows
	numbers uint32     // the highest Number that a server has had

	goal      slots.Goal
	goalFor   []slots.Boot // whom goal was made for
	rebalance bool
	want      []slots.Want // goal, in newest's indices
	wantFor   []slots.Boot

	survey    survey
	handovers []handover

	due    int64 // when a map is to be made, if there is something to change; 0 is never
	urgent bool  // whatever is being handed over
	must   bool  // although nothing changes

	out Outbox
}

// New returns a master that begins at now.
func New(now int64, cfg Config) *Master {
	m := &Master{
		cfg: cfg.withDefaults(), now: now, began: now, heard: now, reigns: now,
		byBoot: make(map[slots.Boot]*member), conns: make(map[Conn]*member),
	}
	m.term = uint64(cfg.Start)
	if cfg.Recovered != nil {
		m.term = max(m.term, cfg.Recovered.Epoch.Term+1)
		if len(cfg.Recovered.Held) == 0 {
			m.adopt(cfg.Recovered.Clone())
			return m
		}
	}
	m.rebuild = newRebuild()
	if cfg.Recovered != nil { // whoever made it had not heard all
		m.rebuild.take(cfg.Recovered)
		m.cfg.Recovered = nil
	}
	return m
}

// adopt makes a map of an earlier reign, which is the last one, the newest.
func (m *Master) adopt(last *slots.Map) {
	m.newest = last
	m.ages = make([]age, slots.Count)
	for i := range m.ages {
		m.ages[i] = newAge(1)
	}
	for i := range last.Servers {
		m.expect(&last.Servers[i])
	}
	m.goal = slots.GoalOf(last)
}

// Connected notes a new connection, which will say Hello first.
func (m *Master) Connected(now int64, c Conn) {
	m.begin(now)
	m.conns[c] = nil
	m.end()
}

// Disconnected notes that a connection is over.
func (m *Master) Disconnected(now int64, c Conn) {
	m.begin(now)
	m.forgetConn(c)
	m.prune()
	m.end()
}

// Receive takes a message. What comes over a connection that is closed, or that
// the sender has replaced by another, is passed over.
func (m *Master) Receive(now int64, c Conn, message msg.Message) {
	m.begin(now)
	if v, ok := m.conns[c]; ok {
		m.receive(c, v, message)
	}
	m.end()
}

// Gone says that the address of a server without a connection refuses connections:
// it counts as dead at once. It is no proof; should the same boot come again, it
// lives.
func (m *Master) Gone(now int64, b slots.Boot) {
	m.begin(now)
	if v := m.byBoot[b]; v != nil && v.conn == 0 {
		v.gone = true
	}
	m.end()
}

// Tick lets time pass.
func (m *Master) Tick(now int64) {
	m.begin(now)
	m.end()
}

// NextTick returns when Tick should be called next, if nothing else comes first.
func (m *Master) NextTick() int64 {
	const most = 50e6
	next := m.now + most
	if m.due == 0 || m.persisting() {
		return next
	}
	due := m.due
	if !m.ready() {
		due = max(due, m.reigns+int64(m.cfg.StartWait))
	}
	return max(m.now, min(next, due))
}

// Persisted says that a map, and all before it, is durable.
func (m *Master) Persisted(now int64, e slots.Epoch) {
	m.begin(now)
	if m.persisting() && m.newest.Epoch == e {
		m.issue()
	}
	m.end()
}

// Rebalance makes the goal anew from who has what now. It is for tables that were
// left uneven by hand, or by other rules.
func (m *Master) Rebalance(now int64) {
	m.begin(now)
	m.rebalance = true
	m.soon()
	m.end()
}

// Map returns the last map that was issued, or nil. With Persist it is the one that
// was persisted.
func (m *Master) Map() *slots.Map { return m.issued }

// Deposed returns the epoch of the master that was elected after this one, if
// there is one. A deposed master sends nothing and makes no map any more.
func (m *Master) Deposed() (slots.Epoch, bool) { return m.deposed, m.isDeposed() }

func (m *Master) isDeposed() bool { return m.deposed.Term != 0 }

// Drain returns what there is to do since it was called last.
func (m *Master) Drain() Outbox {
	out := m.out
	m.out = Outbox{}
	return out
}

func (m *Master) send(c Conn, message msg.Message) {
	m.out.Send = append(m.out.Send, Envelope{c, message})
}

// closeConn ends a connection.
func (m *Master) closeConn(c Conn) {
	m.out.Close = append(m.out.Close, c)
	m.forgetConn(c)
}

// slept is how long a gap between two calls is this process's own sleep, in which
// it heard nobody, and no silence of others.
const slept = 200e6

func (m *Master) begin(now int64) {
	if gap := now - m.now; gap > slept {
		for _, v := range m.members {
			v.last += gap
		}
		m.heard += gap
	}
	m.now = max(m.now, now)
}

func (m *Master) end() {
	if m.isDeposed() {
		return
	}
	m.age()
	m.decide()
	m.handOver()
}

// soon asks for a map that may wait for what else comes.
func (m *Master) soon() {
	if m.due == 0 {
		m.due = m.now + int64(m.cfg.Pace)
	}
}

// atOnce asks for a map now.
func (m *Master) atOnce() {
	m.due, m.urgent = m.now, true
}

// persisting says whether a map is made and not yet durable.
func (m *Master) persisting() bool { return m.begun && m.newest != m.issued }

// decide makes the next map if it is time to.
func (m *Master) decide() {
	if m.due == 0 || m.now < m.due || m.persisting() || !m.ready() {
		return
	}
	if until := m.heldUntil(); !m.urgent && m.now < until {
		m.due = until
		return
	}
	m.due, m.urgent = 0, false
	next := m.next()
	if next == nil {
		m.catchUp()
		return
	}
	m.newest, m.begun = next, true
	m.soon() // what this one makes possible
	if m.cfg.Persist && len(next.Held) == 0 {
		m.out.Persist = next
		return
	}
	m.issue()
}

// issue sends the newest map to everybody.
func (m *Master) issue() {
	m.issued = m.newest
	m.takeStock()
	m.catchUp()
	m.prune()
}

// knowsNothing says whether a server that reported was never in a map, and isn't in
// one that is under way.
func (m *Master) knowsNothing(v *member) bool {
	return !v.wasIn && (m.newest == nil || m.newest.Index(v.boot) == slots.None)
}

// catchUp sends the last map, if it is of this term and no draft, to those who haven't
// got it; to who left instead that it may go.
func (m *Master) catchUp() {
	sends := m.begun && !m.persisting() && (len(m.issued.Held) == 0 || m.cfg.planted.sendHeld)
	for _, v := range m.members {
		if !v.reported {
			continue
		}
		if v.leaving && (sends && m.issued.Index(v.boot) == slots.None || m.knowsNothing(v)) {
			if !v.released {
				v.released = true
				m.send(v.conn, &msg.Released{})
			}
			continue
		}
		if sends && v.sent != m.issued.Epoch {
			v.sent = m.issued.Epoch
			m.send(v.conn, &msg.MapUpdate{Map: m.issued})
		}
	}
}
