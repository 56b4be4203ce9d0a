package fleet

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/memcache"
)

// List is a directory without a ZooKeeper: a list of servers, which this
// process checks itself and leaves out while they don't answer. Processes that
// hold the same list agree on placement, but each finds out about a fault by
// itself.
//
// A server that comes back may hold what it held before it went, and others
// took its keys meanwhile. So a list flushes a server that it has left out
// before it places keys there again, unless Keep is set; other processes that
// never missed the server lose what they had cached on it.
//
// Add, Drain, Undrain and Remove change the list while it is followed. All methods
// are safe for concurrent use; one Follow at a time.
//
// A list remembers, for as long as it is followed, who was on it since the last
// rebalance: what this process writes is deleted where it was before, so that
// nothing older can be moved over it. Other processes that hold the same list
// don't know.
type List struct {
	cfg  ListConfig
	path string // of the file that the list is kept in, or empty

	mu struct {
		sync.Mutex
		servers map[string]*listed
		// former is the stays of the servers that were removed, so that one which
		// is added again is taken for one that was away.
		former  map[string]int
		version uint64
		follow  *following // nil while nobody follows
		past    []Past     // what was reported since the last rebalance
		done    uint64     // the version that was rebalanced last
	}
}

// ListConfig is how a List works; the zero value is the default.
type ListConfig struct {
	// Config is the placement; zero fields mean the defaults.
	Config Config
	Probe  ProbeConfig
	// Keep places keys on a server that is back without flushing it first.
	Keep bool
	// TLS, if not nil, is how the servers are spoken to.
	TLS *tls.Config
}

// listed is one server of a list.
type listed struct {
	Server
	known bool // checked at least once
	// stays is how often it came into use. Who has stayed before and comes into
	// use again was away meanwhile.
	stays int
	stop  context.CancelFunc
}

type following struct {
	ctx     context.Context
	changed chan struct{} // holds one token when something changed
	probes  sync.WaitGroup
}

// NewList returns a list of servers, of which it reads Addr, Weight and Name.
func NewList(cfg ListConfig, servers []Server) (*List, error) {
	cfg.Config = cfg.Config.WithDefaults()
	cfg.Probe.TrustFirst = true
	cfg.Probe.TLS = cfg.TLS
	l := &List{cfg: cfg}
	l.mu.servers = make(map[string]*listed)
	l.mu.former = make(map[string]int)
	for _, s := range servers {
		if err := l.checkLocked(s.Addr); err != nil {
			return nil, err
		}
		l.addLocked(s)
	}
	return l, nil
}

// Add puts the server at addr on the list; weight 0 means 1. It is an error if
// addr is none or is on the list. A list that came from a file is written there.
func (l *List) Add(addr string, weight uint32) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.checkLocked(addr); err != nil {
		return err
	}
	s := Server{Addr: addr, Weight: max(weight, 1)}
	if l.path != "" {
		if err := addToFile(l.path, s); err != nil {
			return err
		}
	}
	l.addLocked(s)
	return nil
}

// Drain takes all keys from the server at addr, and it off the list once a
// rebalance has emptied it: until then it is drained. A server that is down is
// off the list at once. It is an error if it isn't there. A list that came from a
// file is written there.
func (l *List) Drain(_ context.Context, addr string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.mu.servers[addr]
	if s == nil {
		return fmt.Errorf("%w: %s is not on the list", torc.ErrInvalid, addr)
	}
	if l.path != "" && !s.Drained {
		if err := removeFromFile(l.path, addr); err != nil {
			return err
		}
	}
	if s.Down != "" || s.Drained || l.mu.follow == nil {
		l.removeLocked(addr)
		return nil
	}
	s.Drained = true
	l.changedLocked()
	return nil
}

// Undrain takes back what Drain said, if the server is still on the list. It may
// hold what others have overwritten elsewhere meanwhile, if they hold the same
// list.
func (l *List) Undrain(_ context.Context, addr string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.mu.servers[addr]
	if s == nil || !s.Drained {
		return fmt.Errorf("%w: %s is not being drained", torc.ErrInvalid, addr)
	}
	if l.path != "" {
		if err := addToFile(l.path, s.Server); err != nil {
			return err
		}
	}
	s.Drained = false
	l.changedLocked()
	return nil
}

// SetDone takes note that a rebalance is finished under the given version, and
// takes those who were drained then off the list. It implements [Finisher].
func (l *List) SetDone(_ context.Context, _, version uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if version <= l.mu.done || version != l.mu.version {
		return nil // nobody who asks for less will be misled
	}
	l.mu.done = version
	l.mu.past = slices.DeleteFunc(l.mu.past, func(p Past) bool { return p.Version < version })
	l.noticeLocked()
	for addr, s := range l.mu.servers {
		if s.Drained {
			l.removeLocked(addr)
		}
	}
	return nil
}

// Remove takes the server at addr off the list. It is an error if it isn't
// there. A list that came from a file is written there.
func (l *List) Remove(addr string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.servers[addr] == nil {
		return fmt.Errorf("%w: %s is not on the list", torc.ErrInvalid, addr)
	}
	if l.path != "" && !l.mu.servers[addr].Drained {
		if err := removeFromFile(l.path, addr); err != nil {
			return err
		}
	}
	l.removeLocked(addr)
	return nil
}

// forget makes the server at addr, when it is added again, as good as one that
// was never there: what it holds counts.
func (l *List) forget(addr string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.mu.former, addr)
}

// checkLocked says whether addr can be added.
func (l *List) checkLocked(addr string) error {
	if err := torc.CheckAddr(addr); err != nil {
		return fmt.Errorf("%w: %w", torc.ErrInvalid, err)
	}
	if l.mu.servers[addr] != nil {
		return fmt.Errorf("%w: %s is on the list already", torc.ErrInvalid, addr)
	}
	return nil
}

func (l *List) addLocked(s Server) {
	s.Weight = max(s.Weight, 1)
	entry := &listed{Server: s, stays: l.mu.former[s.Addr]}
	l.mu.servers[s.Addr] = entry
	l.changedLocked()
	if l.mu.follow != nil {
		l.probeLocked(entry)
	}
}

func (l *List) removeLocked(addr string) {
	s := l.mu.servers[addr]
	if s.stop != nil {
		s.stop()
		// Clients may have used it before the first check was over, and what it
		// held when it was down is no fresher than what it held in use.
		s.stays = max(s.stays, 1)
	}
	l.mu.former[addr] = s.stays
	delete(l.mu.servers, addr)
	l.changedLocked()
}

func (l *List) changedLocked() {
	l.mu.version++
	l.noticeLocked()
}

// noticeLocked has the membership reported anew.
func (l *List) noticeLocked() {
	if l.mu.follow != nil {
		select {
		case l.mu.follow.changed <- struct{}{}:
		default:
		}
	}
}

// firstLook is how long Follow waits for the first check of each server before
// it reports. A server that is there or refuses has answered within a
// millisecond or two; one that is silent is taken for up until it is known not
// to be.
const firstLook = 100 * time.Millisecond

// Follow implements [Directory].
func (l *List) Follow(ctx context.Context, report func(Membership)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	f := &following{ctx: ctx, changed: make(chan struct{}, 1)}
	l.mu.Lock()
	if l.mu.follow != nil {
		l.mu.Unlock()
		return errors.New("fleet: a list is followed by one table at a time")
	}
	l.mu.follow = f
	for _, s := range l.mu.servers {
		l.probeLocked(s)
	}
	if l.path != "" {
		f.probes.Go(func() { l.followFile(ctx) })
	}
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		l.mu.follow = nil
		l.mu.Unlock()
		cancel()
		f.probes.Wait()
	}()

	look := time.NewTimer(firstLook)
	defer look.Stop()
	for waiting := true; waiting && !l.allKnown(); {
		select {
		case <-f.changed:
		case <-look.C:
			waiting = false
		case <-ctx.Done():
			return nil
		}
	}
	for {
		report(l.membership())
		select {
		case <-f.changed:
		case <-ctx.Done():
			return nil
		}
	}
}

func (l *List) allKnown() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.mu.servers {
		if !s.known {
			return false
		}
	}
	return true
}

// maxPast is how many views a list remembers. Where there were more since the last
// rebalance, the next one looks at every key.
const maxPast = 256

// membership is what is to be reported now; it is remembered.
func (l *List) membership() Membership {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := Membership{Version: l.mu.version, Config: l.cfg.Config, Past: slices.Clone(l.mu.past), Done: l.mu.done}
	for _, s := range l.mu.servers {
		m.Servers = append(m.Servers, s.Server)
	}
	slices.SortFunc(m.Servers, func(a, b Server) int { return cmp.Compare(a.Addr, b.Addr) })
	if n := len(l.mu.past); n == 0 || l.mu.past[n-1].Version < m.Version {
		l.mu.past = append(l.mu.past, Past{Version: m.Version, Recorded: time.Now(), Servers: m.Servers})
		l.mu.past = l.mu.past[max(0, len(l.mu.past)-maxPast):]
	}
	return m
}

// probeLocked begins to check s, until it is removed or following ends.
func (l *List) probeLocked(s *listed) {
	ctx, cancel := context.WithCancel(l.mu.follow.ctx)
	s.stop = cancel
	s.known, s.Down = false, ""
	if s.stays > 0 && !l.cfg.Keep {
		s.Down = "it was away, and is to be checked and flushed first"
	}
	l.mu.follow.probes.Go(func() {
		defer cancel()
		for ctx.Err() == nil {
			l.probe(ctx, s)
		}
	})
}

// probe checks s until ctx is done, or until s is back but could not be flushed:
// then it returns after a while, to be called again.
func (l *List) probe(ctx context.Context, s *listed) {
	checking, stop := context.WithCancel(ctx)
	defer stop()
	Probe(checking, s.Addr, l.cfg.Probe, func(v Verdict) {
		if !l.judge(ctx, s, v) {
			stop()
		}
	})
	select {
	case <-time.After(flushAgain):
	case <-ctx.Done():
	}
}

// flushAgain is how long a list waits before it tries again to flush a server.
const flushAgain = time.Second

// judge takes in what a check of s has found; false means that s is back but
// could not be flushed. Only s's own prober calls it.
func (l *List) judge(ctx context.Context, s *listed, v Verdict) (ok bool) {
	l.mu.Lock()
	away := s.known || s.stays > 0
	l.mu.Unlock()
	down, ok := "", true
	if !v.Up {
		down = v.Reason.Error()
	} else if away && !l.cfg.Keep {
		if err := l.flush(ctx, s.Addr); err != nil {
			down, ok = fmt.Sprintf("it is back, but could not be flushed: %v", err), false
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if ctx.Err() != nil {
		return true // removed, or followed no more: maybe judged by another prober by now
	}
	first := !s.known
	s.known = true
	if !first && s.Down == down {
		return ok
	}
	if down == "" {
		s.stays++
		s.Incarnation = strconv.Itoa(s.stays)
	}
	s.Down = down
	l.changedLocked()
	return ok
}

// flush empties the server at addr.
func (l *List) flush(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	c := memcache.NewClient(addr, memcache.Config{Conns: 1, TLS: l.cfg.TLS})
	defer c.Close()
	return c.FlushAll(ctx)
}
