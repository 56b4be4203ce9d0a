package server

import (
	"cmp"
	"slices"
	"time"

	"github.com/torc-dht/torc/shard/internal/msg"
	"github.com/torc-dht/torc/shard/slots"
)

// Time is what two clocks say at one instant, in nanoseconds.
type Time struct {
	// Mono never goes back and goes on while the process is stopped: promises
	// are counted by it.
	Mono int64
	// Wall is since 1970: entries expire by it.
	Wall int64
}

// Defaults of a Config.
const (
	// DefaultLease is longer than a master takes to see that a server is dead,
	// so that a living primary's copies are dropped before its promises end; and
	// short enough that a dead one's slots are served again within 3 s.
	DefaultLease = 1500 * time.Millisecond
	// DefaultMargin is taken off a promise by who gets it, for clocks that run
	// at different rates: 3 % of the lease.
	DefaultMargin = 50 * time.Millisecond
	// DefaultRenew lets a promise be asked for five times before it ends.
	DefaultRenew = 250 * time.Millisecond
	// DefaultPatience is how long a primary waits for a copy's answer before it
	// asks the master to go on without it: half of what makes a server dead.
	DefaultPatience = 500 * time.Millisecond
	// DefaultDistrust is how long a connection has to be good, when it was lost
	// again and again, before copies are made over it; the first time it is an
	// eighth of that.
	DefaultDistrust = 5 * time.Second
	// DefaultWait is how long a call may wait for a slot that can't be served yet
	// but may be soon: longer than a slot stops for that is handed over, so that
	// nobody notices. A dead server's slots take longer; but whoever waits for one
	// of those holds up all that is behind him on his connection, so he is told to
	// come again.
	DefaultWait = 40 * time.Millisecond
	// DefaultHold is for how long an answer is held back for copies, or for who
	// has to allow it: longer than it takes to go on without who is dead. Nobody
	// may come to allow it, and a connection that waits takes nothing else.
	DefaultHold = 5 * time.Second
	// DefaultRemember is for how long a client's last writes are known, so that
	// one that is repeated is not carried out twice.
	DefaultRemember = 10 * time.Minute
	// DefaultWindow is how many bytes of fills may be on their way to one peer:
	// little enough that a write behind them waits for milliseconds only.
	DefaultWindow = 256 << 10
)

// Config says how a server is. Addr, Boot and Limit have to be set.
type Config struct {
	Addr  string // host:port, where everybody reaches it
	Boot  slots.Boot
	Limit uint64 // bytes that it may hold, by its own count

	// Zero values mean the defaults.
	Lease, Margin, Renew, Patience, Distrust, Wait, Hold, Remember time.Duration
	Window                                                         int

	// Planted are mistakes that tests make on purpose, to see that they are
	// found.
	Planted Planted
	// Sometimes, if not nil, is told where a rule was put to use that seldom is,
	// for tests to see that it was.
	Sometimes func(place string)
}

// Planted switches mistakes on.
type Planted struct {
	AnswerEarly bool // a write is answered before the copies have it
	ServePast   bool // promises are taken for endless
	ServeAtOnce bool // a new primary doesn't wait for promises to end
	SwitchEarly bool // a fill is called done before it is
	Forgetful   bool // repeats of a write are carried out again
}

func (c *Config) setDefaults() {
	c.Lease = cmp.Or(c.Lease, DefaultLease)
	c.Margin = cmp.Or(c.Margin, DefaultMargin)
	c.Renew = cmp.Or(c.Renew, DefaultRenew)
	c.Patience = cmp.Or(c.Patience, DefaultPatience)
	c.Distrust = cmp.Or(c.Distrust, DefaultDistrust)
	c.Wait = cmp.Or(c.Wait, DefaultWait)
	c.Hold = cmp.Or(c.Hold, DefaultHold)
	c.Remember = cmp.Or(c.Remember, DefaultRemember)
	c.Window = cmp.Or(c.Window, DefaultWindow)
}

// Master is where messages for the master go, in place of a peer's boot ID.
const Master slots.Boot = 0

// Out is a message to be sent.
type Out struct {
	To      slots.Boot
	Message msg.Message
}

// Server is one server's state. It is for one goroutine.
type Server struct {
	cfg Config
	now Time // of the call under way

	promised slots.Epoch // the master that it follows: Term and Boot
	cur      *slots.Map  // what it stands on; nil before its first
	me       int16       // its index in cur, or slots.None
	member   bool        // it is in cur, or was in an earlier map
	skipped  bool        // there may have been maps between the last one and cur
	acked    slots.Epoch // see msg.Beat
	acking   []barrier   // what stands between acked and cur.Epoch
	reigns   uint64      // see slot.reign

	slots   []slot
	peers   map[slots.Boot]*peer
	order   []*peer // the same, by boot ID
	byIndex []*peer // the same, by index in cur; nil for itself
	master  masterLink

	call    *Call   // being executed
	parked  []*Call // waiting for a slot to be served
	unpark  bool    // something has changed for them
	held    int     // calls whose answer waits for a write
	done    []*Call
	starved []slots.Slot // with writes that wait for something else than copies
	writes  genCount     // unanswered, by the generation in which they came

	handing  []slots.Slot // being given up, or given up and nobody's yet
	waking   bool         // slots wait for promises to end
	out      []Out
	ticked   int64 // when the last Tick was, by Mono
	awake    int64 // since when this server has run without a gap, by Mono
	sweepAt  int
	heldAt   int64 // when it was last seen to answers that are held too long, by Mono
	keys     uint64
	bytes    uint64
	reset    bool
	goAway   bool // it wants to leave
	askedGo  int64
	released bool
	faults   uint64
}

// masterLink is the connection to the master.
type masterLink struct {
	up        bool
	following bool // the promise that it asked for was given, on this connection
	beatAt    int64
	heard     int64 // when the last message came, or the connection, by Mono
	granted   int64 // until when it promises, by Mono
}

// New makes a server that belongs to no table yet.
func New(cfg Config) *Server {
	cfg.setDefaults()
	s := &Server{cfg: cfg, me: slots.None, slots: make([]slot, slots.Count), peers: make(map[slots.Boot]*peer)}
	for i := range s.slots {
		s.slots[i].id = slots.Slot(i)
	}
	s.writes = genCount{first: 1, open: []int{0}}
	return s
}

func (s *Server) sometimes(place string) {
	if s.cfg.Sometimes != nil {
		s.cfg.Sometimes(place)
	}
}

// Boot is the server's own.
func (s *Server) Boot() slots.Boot { return s.cfg.Boot }

// Map is what it stands on, nil if nothing yet.
func (s *Server) Map() *slots.Map { return s.cur }

// Reset says that the table has gone on without this server: what it holds
// counts for nothing. A new Server has to take its place.
func (s *Server) Reset() bool { return s.reset }

// Released says that the server, having been told to Leave, may go.
func (s *Server) Released() bool { return s.released }

// Faults counts what can't happen while everyone keeps to the rules, a map that
// makes this server the primary of what it hasn't got, say. It doesn't serve then.
func (s *Server) Faults() uint64 { return s.faults }

// Usage says what it holds, copies and all: entries, and bytes as they count
// against Config.Limit.
func (s *Server) Usage() (keys, bytes uint64) { return s.keys, s.bytes }

// Out returns the messages that have come up since the last call, in order. The
// slice is good until the next call of any method.
func (s *Server) Out() []Out {
	out := s.out
	s.out = s.out[len(s.out):]
	if cap(s.out) == 0 {
		s.out = nil
	}
	return out
}

// Done returns the calls that have come to an end since the last call. The slice
// is good until the next call of any method.
func (s *Server) Done() []*Call {
	done := s.done
	s.done = s.done[:0]
	return done
}

func (s *Server) send(to slots.Boot, m msg.Message) { s.out = append(s.out, Out{to, m}) }

// tell sends to the master, if there is one that this server follows.
func (s *Server) tell(m msg.Message) {
	if s.master.up && s.master.following {
		s.send(Master, m)
	}
}

// Connected says that there is a connection to a peer, or to the Master.
func (s *Server) Connected(now Time, to slots.Boot) {
	s.now = now
	if to == Master {
		s.master.up, s.master.following, s.master.heard = true, false, now.Mono
		s.send(Master, &msg.Hello{Version: msg.Version, Addr: s.cfg.Addr, Boot: s.cfg.Boot, Promised: s.promised})
		return
	}
	s.connected(s.peer(to)) // it may be in the next map only
}

// Disconnected says that there is none any more. What was sent may be lost.
func (s *Server) Disconnected(now Time, to slots.Boot) {
	s.now = now
	if to == Master {
		s.master.up, s.master.following = false, false
		return
	}
	if p := s.peers[to]; p != nil && p.up {
		p.up = false
		s.distrust(p)
	}
}

// Gone says that a peer's process is proven to be dead: another one answers at
// its address.
func (s *Server) Gone(now Time, boot slots.Boot) {
	s.now = now
	if p := s.peers[boot]; p != nil {
		p.gone, p.promised, p.exposed = true, 0, 0
		s.wake()
	}
}

// Leave makes the server hand over what it has, until it is Released.
func (s *Server) Leave(now Time) {
	s.now = now
	s.goAway = true
	s.askToGo()
}

func (s *Server) askToGo() {
	if s.goAway && s.master.following {
		s.askedGo = s.now.Mono
		s.tell(&msg.Leave{})
	}
}

// Receive takes in a message of a peer, or of the Master.
func (s *Server) Receive(now Time, from slots.Boot, m msg.Message) {
	s.now = now
	if s.reset {
		return
	}
	if m, ok := m.(*msg.MapUpdate); ok {
		if p := s.peers[from]; p != nil {
			p.known = later(p.known, m.Map.Epoch)
		}
		s.adopt(m.Map)
		return
	}
	if from == Master {
		s.master.heard = now.Mono
		s.receiveFromMaster(m)
		return
	}
	p := s.peers[from]
	if p == nil {
		// Whoever is not in its map yet will ask again when both are on one map;
		// who is no more is shown the map that says so.
		if s.cur != nil {
			s.send(from, &msg.MapUpdate{Map: s.cur})
		}
		return
	}
	p.heard = now.Mono
	switch m := m.(type) {
	case *msg.Ask:
		s.receiveAsk(p, m)
	case *msg.Granted:
		s.receiveGranted(p, m)
	case *msg.Batch:
		s.receiveBatch(p, m)
	case *msg.Ack:
		s.receiveAck(p, m)
	}
}

func (s *Server) receiveFromMaster(m msg.Message) {
	switch m := m.(type) {
	case *msg.Prepare:
		s.receivePrepare(m)
	case *msg.Granted:
		if s.master.following && s.cur != nil && m.Epoch == s.cur.Epoch {
			s.master.granted = max(s.master.granted, m.Sent+int64(s.cfg.Lease-s.cfg.Margin))
			s.unpark = true
			s.feed()
		}
	case *msg.HandOver:
		s.receiveHandOver(m)
	case *msg.Released:
		if s.goAway {
			s.released = true
		}
	}
}

// receivePrepare follows a master, and no other of a lower term from now on, or
// says why not.
func (s *Server) receivePrepare(m *msg.Prepare) {
	if m.Term < s.promised.Term || m.Term == s.promised.Term && m.Boot != s.promised.Boot {
		s.send(Master, &msg.Refuse{Reason: "this server follows a master of a later term", Promised: s.promised})
		return
	}
	if m.Term > s.promised.Term {
		s.master.granted = 0 // what the former one said
	}
	s.promised = slots.Epoch{Term: m.Term, Boot: m.Boot}
	s.master.following = true
	s.tell(&msg.Report{Term: m.Term, Boot: m.Boot, Map: s.cur, Acked: s.acked, GaveUp: s.gaveUp(), Leaving: s.goAway})
	s.askToGo()
	s.beat()
}

func later(a, b slots.Epoch) slots.Epoch {
	if a.Before(b) {
		return b
	}
	return a
}

// peer returns the state kept for a boot ID.
func (s *Server) peer(b slots.Boot) *peer {
	p := s.peers[b]
	if p == nil {
		p = &peer{boot: b, index: slots.None, cursor: -1}
		s.peers[b] = p
		i, _ := slices.BinarySearchFunc(s.order, b, func(p *peer, b slots.Boot) int { return cmp.Compare(p.boot, b) })
		s.order = slices.Insert(s.order, i, p)
	}
	return p
}
