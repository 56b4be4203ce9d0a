package fleet

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
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
// Add and Remove change the list while it is followed. All methods are safe for
// concurrent use; one Follow at a time.
type List struct {
	cfg ListConfig

	mu struct {
		sync.Mutex
		servers map[string]*listed
		version uint64
		follow  *following // nil while nobody follows
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
	stays int  // how often it came into use
	stop  context.CancelFunc
}

type following struct {
	ctx     context.Context
	changed chan struct{} // holds one token when something changed
	probes  sync.WaitGroup
}

// NewList returns a list of the servers at addrs, with weights, which is nil or
// has one for each.
func NewList(cfg ListConfig, servers []Server) (*List, error) {
	cfg.Config = cfg.Config.withDefaults()
	cfg.Probe.TrustFirst = true
	cfg.Probe.TLS = cfg.TLS
	l := &List{cfg: cfg}
	l.mu.servers = make(map[string]*listed)
	for _, s := range servers {
		if err := l.Add(s.Addr, s.Weight); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// withDefaults returns c with its zero fields filled in.
func (c Config) withDefaults() Config {
	return Config{
		Hash:   cmp.Or(c.Hash, DefaultHash),
		VNodes: cmp.Or(c.VNodes, DefaultVNodes),
		Copies: cmp.Or(c.Copies, 1),
	}
}

// Add puts the server at addr on the list; weight 0 means 1. It is an error if
// addr is none or is on the list.
func (l *List) Add(addr string, weight uint32) error {
	if err := torc.CheckAddr(addr); err != nil {
		return fmt.Errorf("%w: %w", torc.ErrInvalid, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.servers[addr] != nil {
		return fmt.Errorf("%w: %s is on the list already", torc.ErrInvalid, addr)
	}
	s := &listed{Server: Server{Addr: addr, Weight: max(weight, 1)}}
	l.mu.servers[addr] = s
	l.changedLocked()
	if l.mu.follow != nil {
		l.probeLocked(s)
	}
	return nil
}

// Remove takes the server at addr off the list, and says whether it was there.
func (l *List) Remove(addr string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.mu.servers[addr]
	if s == nil {
		return false
	}
	delete(l.mu.servers, addr)
	if s.stop != nil {
		s.stop()
	}
	l.changedLocked()
	return true
}

func (l *List) changedLocked() {
	l.mu.version++
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
	l.mu.Unlock()
	defer func() {
		cancel()
		f.probes.Wait()
		l.mu.Lock()
		l.mu.follow = nil
		l.mu.Unlock()
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

func (l *List) membership() Membership {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := Membership{Version: l.mu.version, Config: l.cfg.Config}
	for _, s := range l.mu.servers {
		m.Servers = append(m.Servers, s.Server)
	}
	slices.SortFunc(m.Servers, func(a, b Server) int { return cmp.Compare(a.Addr, b.Addr) })
	return m
}

// probeLocked begins to check s, until it is removed or following ends.
func (l *List) probeLocked(s *listed) {
	ctx, cancel := context.WithCancel(l.mu.follow.ctx)
	s.stop = cancel
	s.known, s.Down = false, ""
	l.mu.follow.probes.Go(func() {
		defer cancel()
		Probe(ctx, s.Addr, l.cfg.Probe, func(v Verdict) { l.judge(ctx, s, v) })
	})
}

// judge takes in what a check of s has found. Only s's own prober calls it.
func (l *List) judge(ctx context.Context, s *listed, v Verdict) {
	down := ""
	if !v.Up {
		down = v.Reason.Error()
	} else if s.known && !l.cfg.Keep {
		if err := l.flush(ctx, s.Addr); err != nil {
			down = fmt.Sprintf("it is back, but could not be flushed: %v", err)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	first := !s.known
	s.known = true
	if !first && s.Down == down {
		return
	}
	if down == "" {
		s.stays++
		s.Incarnation = strconv.Itoa(s.stays)
	}
	s.Down = down
	l.changedLocked()
}

// flush empties the server at addr.
func (l *List) flush(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	c := memcache.NewClient(addr, memcache.Config{Conns: 1, TLS: l.cfg.TLS})
	defer c.Close()
	return c.FlushAll(ctx)
}

// ParseList reads a list of servers from text: a line for each with its
// host:port and, if it isn't 1, its weight; blank lines and what follows a # are
// passed over. The error names every line that is wrong.
func ParseList(text []byte) ([]Server, error) {
	var servers []Server
	var errs []error
	seen := make(map[string]int)
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line, _, _ := strings.Cut(lines.Text(), "#")
		fields := strings.Fields(line)
		if len(fields) == 0 {
			continue
		}
		s := Server{Addr: fields[0], Weight: 1}
		err := torc.CheckAddr(s.Addr)
		switch {
		case err != nil:
		case len(fields) > 2:
			err = errors.New("a line has an address and at most a weight")
		case seen[s.Addr] > 0:
			err = fmt.Errorf("%s is on line %d already", s.Addr, seen[s.Addr])
		case len(fields) == 2:
			s.Weight, err = parseWeight(fields[1])
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("line %d: %w", n, err))
			continue
		}
		seen[s.Addr] = n
		servers = append(servers, s)
	}
	if err := lines.Err(); err != nil {
		errs = append(errs, err)
	}
	return servers, errors.Join(errs...)
}

// MaxWeight is the largest weight of a server.
const MaxWeight = 1_000_000

func parseWeight(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n < 1 || n > MaxWeight {
		return 0, fmt.Errorf("%q is not a weight: a number from 1 to %d", s, MaxWeight)
	}
	return uint32(n), nil
}

// readList reads the list in the file at path.
func readList(path string) ([]Server, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	servers, err := ParseList(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return servers, nil
}
