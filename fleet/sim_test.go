package fleet_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/fleet"
	"github.com/torc-dht/torc/internal/check"
	"github.com/torc-dht/torc/memcache"
	"github.com/torc-dht/torc/store"
)

// A world is a fleet of pretence: real tables over real memcached servers of
// ours, with pipes for a network, in a directory that the test decides on, all
// in one synctest bubble. Each request takes a time that is drawn from the seed,
// so that requests of one call, and of several, overtake each other.
type world struct {
	setup    setup
	machines []*machine
	ops      sync.WaitGroup
	bug      bug

	mu struct {
		sync.Mutex
		// slow, if it is not nil, says how long a request is on its way.
		slow       func(*gate, *memcache.Request) time.Duration
		generation uint64
		version    uint64
		seen       [2]uint64 // generation and version of the newest view that a client was told of
		past       []fleet.Past
		done       uint64
		changed    chan struct{} // closed at the next change
		clients    []*simClient
		history    []check.Seen
		evictions  []eviction
		stays      map[string]*spell // of the servers that are announced, by address
		serial     int
		trace      []string
	}
	began time.Time
}

// setup is what a world begins with.
type setup struct {
	Seed     uint64
	Machines int
	Clients  int
	Keys     int
	Copies   int
	Stamps   string
	Rejoin   string
	Hash     string
	// Calm: requests and views take no time and no answer is lost, unless a
	// test says so with world.slowed.
	Calm bool
}

func (s setup) config() fleet.Config {
	return fleet.Config{Hash: s.Hash, Copies: s.Copies, Stamps: s.Stamps, Rejoin: s.Rejoin}.WithDefaults()
}

// fault is what ails a machine.
type fault uint8

const (
	well   fault = iota
	cut          // nothing comes through, and nobody is told
	frozen       // what comes is carried out later
	dead         // refuses, and has forgotten all
)

// machine is one memcached and its watchdog.
type machine struct {
	addr  string
	world *world

	mu struct {
		sync.Mutex
		store     *store.Store
		fault     fault
		healed    chan struct{} // closed when the fault is over
		announced bool
		drained   bool
		stay      int // the how-manieth
	}
}

// spell is one stay of a server in the directory, to see who stayed throughout.
type spell struct{ from, to time.Duration }

// eviction is that a machine forgot a key that it held.
type eviction struct {
	key string
	at  time.Duration
}

func newWorld(s setup, b bug) *world {
	w := &world{setup: s, bug: b, began: time.Now()}
	w.mu.generation = 1
	w.mu.changed = make(chan struct{})
	w.mu.stays = make(map[string]*spell)
	for i := range s.Machines {
		m := &machine{addr: fmt.Sprintf("10.0.0.%d:11211", i+1), world: w}
		m.mu.store = store.New(store.Config{MaxBytes: 1 << 20})
		m.mu.announced = true
		w.machines = append(w.machines, m)
	}
	w.change(func() {})
	for range s.Clients {
		w.addClient()
	}
	return w
}

func (w *world) now() time.Duration { return time.Since(w.began) }

// draw is a number below n that depends on the seed and what it is drawn for.
func (w *world) draw(n uint64, what ...any) uint64 {
	h := fnv.New64a()
	fmt.Fprint(h, w.setup.Seed, what)
	x := h.Sum64() // whose low bits alone are no good
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	return x % n
}

func (w *world) tracef(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.trace = append(w.mu.trace, fmt.Sprintf("%12v  ", w.now())+fmt.Sprintf(format, args...))
}

// change makes a new view after f has changed who is announced.
func (w *world) change(f func()) {
	w.mu.Lock()
	f()
	w.mu.version++
	now := w.now()
	for _, m := range w.machines {
		m.mu.Lock()
		in, stay := m.mu.announced, m.mu.stay
		m.mu.Unlock()
		name := spellName(m.addr, stay)
		if s := w.mu.stays[name]; in && s == nil {
			w.mu.stays[name] = &spell{from: now, to: forever}
		} else if !in && s != nil && s.to == forever {
			s.to = now
		}
	}
	close(w.mu.changed)
	w.mu.changed = make(chan struct{})
	v := w.membershipLocked()
	w.mu.Unlock()
	w.tracef("view %d/%d: %s", v.Generation, v.Version, addrs(v.Servers))
}

const forever = time.Duration(1<<63 - 1)

// spellName names one stay.
func spellName(addr string, stay int) string { return fmt.Sprintf("%s#%d", addr, stay) }

func addrs(servers []fleet.Server) string {
	var all []string
	for _, s := range servers {
		a := s.Addr
		if s.Drained {
			a += " (drained)"
		}
		all = append(all, a)
	}
	return strings.Join(all, ", ")
}

// membershipLocked is the directory's truth.
func (w *world) membershipLocked() fleet.Membership {
	m := fleet.Membership{Generation: w.mu.generation, Version: w.mu.version, Config: w.setup.config(), Done: w.mu.done}
	for _, x := range w.machines {
		x.mu.Lock()
		if x.mu.announced {
			m.Servers = append(m.Servers, fleet.Server{Addr: x.addr, Weight: 1, Incarnation: fmt.Sprint(x.mu.stay), Drained: x.mu.drained})
		}
		x.mu.Unlock()
	}
	i, _ := slices.BinarySearchFunc(w.mu.past, m.Version, func(p fleet.Past, v uint64) int { return cmp.Compare(p.Version, v) })
	m.Past = slices.Clip(w.mu.past[:i])
	return m
}

// take is the directory's truth, written down for those who come after.
func (w *world) take() (fleet.Membership, <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	m := w.membershipLocked()
	w.mu.seen = [2]uint64{m.Generation, m.Version}
	if n := len(w.mu.past); (n == 0 || w.mu.past[n-1].Version < m.Version) && !(w.bug == forgetsViews && m.Version%3 > 0) {
		w.mu.past = append(slices.Clip(w.mu.past), fleet.Past{Version: m.Version, Recorded: time.Now(), Servers: m.Servers})
	}
	return m, w.mu.changed
}

// wipe makes the directory lose its data.
func (w *world) wipe() {
	w.change(func() {
		w.mu.generation++
		w.mu.version = 0
		w.mu.past, w.mu.done = nil, 0
	})
}

// SetDone implements [fleet.Finisher].
func (c *simClient) SetDone(_ context.Context, generation, version uint64) error {
	w := c.world
	w.mu.Lock()
	if generation == w.mu.generation && version > w.mu.done {
		w.mu.done = version
		close(w.mu.changed)
		w.mu.changed = make(chan struct{})
	}
	w.mu.Unlock()
	w.tracef("client %d: done with view %d/%d", c.id, generation, version)
	return nil
}

// Machines.

// leave takes m out of the directory; what ails it by then is the caller's.
func (m *machine) leave() {
	m.world.change(func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.mu.announced = false
	})
}

// ail makes m ill.
func (m *machine) ail(f fault) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.fault == well {
		m.mu.healed = make(chan struct{})
	}
	m.mu.fault = f
	if f == dead {
		m.mu.store = store.New(store.Config{MaxBytes: 1 << 20})
	}
}

// heal makes m well, and returns when what was held up has been carried out.
func (m *machine) heal() {
	m.mu.Lock()
	if m.mu.fault != well {
		m.mu.fault = well
		close(m.mu.healed)
	}
	m.mu.Unlock()
	// A watchdog takes hundreds of milliseconds to trust a server that is back.
	time.Sleep(300 * time.Millisecond)
}

// back heals m and announces it.
func (m *machine) back() {
	m.heal()
	m.world.change(func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if !m.mu.announced {
			m.mu.announced = true
			m.mu.stay++
		}
	})
}

func (m *machine) drain(on bool) {
	m.world.change(func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.mu.drained = on
	})
}

// evict makes m forget key.
func (m *machine) evict(key string) {
	m.mu.Lock()
	was := m.mu.store.Delete([]byte(key))
	m.mu.Unlock()
	if was {
		w := m.world
		w.mu.Lock()
		w.mu.evictions = append(w.mu.evictions, eviction{key, w.now()})
		w.mu.Unlock()
		w.tracef("%s evicts %s", m.addr, key)
	}
}

// holds returns what m holds at key.
func (m *machine) holds(key string) (store.Item, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var item store.Item
	var found bool
	_, _ = m.mu.store.Update([]byte(key), func(it *store.Item, ok bool) store.Action {
		item, found = *it, ok
		return store.Keep
	})
	return item, found
}

// Clients.

// simClient is one process that uses the fleet: a table of its own.
type simClient struct {
	id    int
	world *world
	table *fleet.Table
	life  context.Context // ends with the process
	kill  context.CancelFunc
	// closed is closed when the table is.
	closed chan struct{}

	mu struct {
		sync.Mutex
		servers  map[string]*pipeServer
		crashed  bool
		budget   int // requests that it still makes before it dies; less than 0: no end
		requests map[string]uint64
		lost     time.Time // since when it has no contact with the directory
		touch    chan struct{}
		last     map[string]torc.Entry // what it read last, by key
	}
}

// addClient starts a process.
func (w *world) addClient() *simClient {
	c := &simClient{world: w, closed: make(chan struct{})}
	c.mu.servers = make(map[string]*pipeServer)
	c.mu.requests = make(map[string]uint64)
	c.mu.last = make(map[string]torc.Entry)
	c.mu.touch = make(chan struct{})
	c.mu.budget = -1
	c.life, c.kill = context.WithCancel(context.Background())
	w.mu.Lock()
	c.id = len(w.mu.clients)
	w.mu.clients = append(w.mu.clients, c)
	w.mu.Unlock()
	table, err := fleet.New(c.life, c, fleet.Options{
		Config: w.setup.config(), Dialer: c.dial, Conns: 1,
		ReadTimeout: 100 * time.Millisecond, WriteTimeout: 2 * time.Second,
	})
	if err != nil {
		panic(fmt.Sprintf("no table: %v", err))
	}
	c.table = table
	return c
}

// crash ends the process in the middle of whatever it does.
func (c *simClient) crash() {
	c.mu.Lock()
	c.mu.budget = 0 // whatever its table still tries on its way out
	again := c.mu.crashed
	c.mu.crashed = true
	c.mu.Unlock()
	c.kill()
	if again { // to wait for a mutex would keep a bubble's time from going on
		<-c.closed
		return
	}
	c.table.Close()
	close(c.closed)
}

// Follow implements [fleet.Directory]: views come after a while, which may be long.
func (c *simClient) Follow(ctx context.Context, report func(fleet.Membership)) error {
	for {
		m, changed := c.world.take()
		c.mu.Lock()
		touch := c.mu.touch
		c.mu.Unlock()
		report(m)
		select {
		case <-changed:
			lags := [...]time.Duration{0, 0, 0, 0, time.Millisecond, 3 * time.Millisecond, 10 * time.Millisecond, 50 * time.Millisecond}
			lag := lags[c.world.draw(uint64(len(lags)), "lag", c.id, m.Version)]
			if c.world.setup.Calm {
				lag = 0
			}
			if !pause(ctx, lag) {
				return nil
			}
		case <-touch:
		case <-ctx.Done():
			return nil
		}
		for { // no news while there is no contact
			c.mu.Lock()
			lost, touch := c.mu.lost, c.mu.touch
			c.mu.Unlock()
			if lost.IsZero() {
				break
			}
			m.LostContact = lost
			report(m)
			select {
			case <-touch:
			case <-ctx.Done():
				return nil
			}
		}
	}
}

// contact cuts the client from the directory, or brings it back.
func (c *simClient) contact(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.lost.IsZero() == on {
		return
	}
	c.mu.lost = time.Time{}
	if !on {
		c.mu.lost = time.Now()
	}
	close(c.mu.touch)
	c.mu.touch = make(chan struct{})
}

func pause(ctx context.Context, d time.Duration) bool {
	if d == 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

var errRefused = errors.New("connection refused")

// dial connects the client to the machine at addr.
func (c *simClient) dial(ctx context.Context, addr string) (net.Conn, error) {
	i := slices.IndexFunc(c.world.machines, func(m *machine) bool { return m.addr == addr })
	m := c.world.machines[i]
	for {
		m.mu.Lock()
		f, healed := m.mu.fault, m.mu.healed
		m.mu.Unlock()
		switch f {
		case dead:
			return nil, errRefused
		case cut:
			select {
			case <-healed:
				continue
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
		break
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.mu.servers[addr]
	if s == nil {
		s = newPipeServer(&gate{client: c, machine: m})
		c.mu.servers[addr] = s
	}
	return s.dial()
}

// close ends all that runs in w. Nothing may be under way but what a fault holds
// up.
func (w *world) close() {
	for _, m := range w.machines {
		m.heal()
	}
	w.mu.Lock()
	clients := w.mu.clients
	w.mu.Unlock()
	for _, c := range clients {
		c.crash()
		c.mu.Lock()
		servers := c.mu.servers
		c.mu.Unlock()
		for _, s := range servers {
			s.Close()
			s.server.Close()
			<-s.served
		}
	}
}
