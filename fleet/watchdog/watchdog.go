package watchdog

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/fleet"
	"github.com/torc-dht/torc/fleet/zookeeper"
	"github.com/torc-dht/torc/memcache"
)

// Config says what to watch and where to announce it. Addr and Directory.Hosts
// have to be given.
type Config struct {
	// Addr is the memcached's host:port. It is checked over this address, so it
	// is to be the one that clients use.
	Addr string
	// Announce is the address to announce if clients reach the memcached by
	// another one than Addr (through a port that a container forwards, say).
	// Nobody checks that they do. It may be a loopback address too, for a fleet
	// whose clients are all on this machine though its ZooKeeper isn't.
	Announce string
	// Weight is the server's share of the keys; 0 means 1.
	Weight uint32
	// Directory says which fleet in which ZooKeeper.
	Directory zookeeper.Options
	// Probe says how the memcached is checked; its TLS is used to flush too.
	Probe fleet.ProbeConfig
	// NoFlush announces the memcached with what it holds, stale or not. A fleet
	// whose values are stamped doesn't need it: nothing is flushed there.
	NoFlush bool
	// Report is told what happens, in order, from one goroutine. It must not
	// block for long. nil is allowed.
	Report func(Event)
}

// announced is the address to announce.
func (c Config) announced() string {
	if c.Announce != "" {
		return c.Announce
	}
	return c.Addr
}

// Validate says everything that is wrong with c; the error wraps
// torc.ErrInvalid.
func (c Config) Validate() error {
	var errs []error
	for _, addr := range []string{c.Addr, c.announced()} {
		if err := torc.CheckAddr(addr); err != nil {
			errs = append(errs, err)
			break // the same, most often
		}
	}
	if len(errs) == 0 {
		errs = append(errs, c.checkReach())
	}
	errs = append(errs, c.Directory.Validate())
	if c.Weight > fleet.MaxWeight {
		errs = append(errs, fmt.Errorf("weight %d: the most is %d", c.Weight, fleet.MaxWeight))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("%w: %w", torc.ErrInvalid, err)
	}
	return nil
}

// checkReach says whether clients elsewhere would be sent to themselves.
func (c Config) checkReach() error {
	host, _, err := net.SplitHostPort(c.announced())
	if err != nil {
		return err
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
		return fmt.Errorf("%s is an address to listen on, not one to connect to: name the one that clients use", c.announced())
	}
	if c.Announce != "" || !isLoopback(host) {
		return nil
	}
	for _, zk := range c.Directory.Hosts {
		if host, _, err := net.SplitHostPort(zk); err == nil && !isLoopback(host) {
			return fmt.Errorf("%s can be reached from this machine alone, but the ZooKeeper at %s serves others too: name the address that clients use, with --announce HOST:PORT if this machine has to check another one", c.Addr, zk)
		}
	}
	return nil
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

const (
	// flushTimeout bounds a flush_all, which takes memcached microseconds.
	flushTimeout = time.Second
	// minPause and maxPause bound the pause after a failure that nothing would
	// tell the end of. With half a second at most, what was refused for a while
	// is announced within a second of its being allowed.
	minPause = 50 * time.Millisecond
	maxPause = 500 * time.Millisecond
	// patience is how long a lost connection is not spoken of: long enough for
	// another of ZooKeeper's servers to be found.
	patience = 500 * time.Millisecond
)

// Run watches and announces until ctx is done, and then withdraws, at once if
// ZooKeeper can be reached. It returns nil then, or an error at the beginning if
// the Config is wrong. Nothing that happens to memcached or ZooKeeper ends it.
func Run(ctx context.Context, cfg Config) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	announcer, err := zookeeper.NewAnnouncer(cfg.Directory, cfg.announced(), cfg.Weight)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	w := &watchdog{
		cfg:       cfg,
		core:      core{noFlush: cfg.NoFlush},
		announcer: announcer,
		verdicts:  make(chan fleet.Verdict),
		outcomes:  make(chan outcome, 1),
	}
	cfg.Probe.Restarts = true
	w.running.Go(func() {
		fleet.Probe(ctx, cfg.Addr, cfg.Probe, func(v fleet.Verdict) {
			select {
			case w.verdicts <- v:
			case <-ctx.Done():
			}
		})
	})
	w.loop(ctx)
	cancel()
	at, _ := announcer.Contact()
	announcer.Close()
	w.running.Wait()
	if own := w.core.own; own != "" {
		reason := errors.New("the watchdog ends")
		if !at.Connected {
			reason = fmt.Errorf("the watchdog ends, and ZooKeeper, which can't be told, will notice when the session has been silent for %v", at.Granted)
		}
		w.report(Event{Kind: Withdrawn, Znode: own, Reason: reason})
	}
	return nil
}

// watchdog carries out what its core decides.
type watchdog struct {
	cfg       Config
	core      core
	announcer *zookeeper.Announcer
	verdicts  chan fleet.Verdict
	outcomes  chan outcome
	running   sync.WaitGroup

	disturbed    zookeeper.Disturbance // of the announcement, since the last look
	reconfigured zookeeper.Disturbance // of the fleet
}

// outcome is how an action ended.
type outcome struct {
	action
	standing zookeeper.Standing
	name     string
	err      error
}

func (w *watchdog) loop(ctx context.Context) {
	var pause, silence <-chan time.Time
	silence = time.After(patience)
	for {
		at, changed := w.announcer.Contact()
		if at.Connected {
			silence = nil
		} else if w.core.connected {
			silence = time.After(patience)
		}
		w.core.contact(at)
		if a := w.core.next(); a.verb != nothing {
			w.running.Go(func() { w.outcomes <- w.do(ctx, a) })
		}
		for _, e := range w.core.take() {
			w.report(e)
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case v := <-w.verdicts:
			w.core.probed(v.Up, v.Reason)
		case o := <-w.outcomes:
			if o.verb == look && o.err == nil {
				w.disturbed, w.reconfigured = o.standing.Disturbed, o.standing.Reconfigured
			}
			if w.core.done(o.action, o.standing, o.name, o.err) {
				pause = time.After(backoff(w.core.failures))
			}
		case <-w.disturbed:
			w.disturbed = nil
			w.core.disturbed()
		case <-w.reconfigured:
			w.reconfigured = nil
			w.core.disturbed()
		case <-pause:
			pause = nil
			w.core.woken()
		case <-silence:
			silence = nil
			at, _ := w.announcer.Contact() // for what is the trouble by now
			w.core.outOfTouch(at.Trouble)
		}
	}
}

// backoff is the pause after so many failures, at least one.
func backoff(failures int) time.Duration {
	return min(maxPause, minPause<<min(failures-1, 10))
}

// do carries out one action.
func (w *watchdog) do(ctx context.Context, a action) outcome {
	o := outcome{action: a}
	switch a.verb {
	case look:
		o.standing, o.err = w.announcer.Look(ctx)
	case flush:
		o.err = w.flush(ctx)
	case announce:
		o.name, o.err = w.announcer.Announce(ctx, a.znode, a.stamped)
	case withdraw:
		o.err = w.announcer.Withdraw(ctx, a.znode)
	}
	return o
}

// flush empties the memcached.
func (w *watchdog) flush(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, flushTimeout)
	defer cancel()
	client := memcache.NewClient(w.cfg.Addr, memcache.Config{Conns: 1, TLS: w.cfg.Probe.TLS})
	defer client.Close()
	err := client.FlushAll(ctx)
	var refused *memcache.ServerError
	if errors.As(err, &refused) {
		return fmt.Errorf("%w: was it started with -F, which forbids that? Then run the watchdog with --no-flush, if stale values do no harm", err)
	}
	return err
}

func (w *watchdog) report(e Event) {
	if w.cfg.Report == nil {
		return
	}
	e.Time = time.Now()
	e.Addr = w.cfg.announced()
	if e.Kind == Session {
		e.Asked = w.cfg.Directory.SessionTimeout
		if e.Asked == 0 {
			e.Asked = zookeeper.DefaultSessionTimeout
		}
	}
	w.cfg.Report(e)
}
