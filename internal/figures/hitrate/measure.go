package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/torc-dht/torc/internal/cluster"
	"github.com/torc-dht/torc/memcache"
)

// plan is what is measured.
type plan struct {
	servers int // of each contender
	keys    int
	rate    int // reads a second of each contender
	// before the kill, while the server is dead, and after its return
	before, dead, after time.Duration
	// calm refuses figures that the machine's other work has spoilt.
	calm bool
}

var fullPlan = plan{
	servers: 8, keys: 4000, rate: 2000,
	before: 5 * time.Second, dead: 10 * time.Second, after: 10 * time.Second,
	calm: true,
}

func (p plan) length() time.Duration { return p.before + p.dead + p.after }

func (p plan) key(i int) string { return "user:" + strconv.Itoa(i) }

// curve is what the callers of one contender saw.
type curve struct {
	name string
	// share is the part of all entries that the killed server held.
	share   float64
	windows []tally
}

// measure runs all contenders at the same time and kills a server of each.
func measure(ctx context.Context, p plan) (curves []curve, err error) {
	c, err := cluster.New(cluster.Options{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	zk, err := c.Host("zk").ZooKeeper(ctx, cluster.ZooKeeperOptions{})
	if err != nil {
		return nil, err
	}
	victims := make([]*cluster.Proc, len(contenders))
	caches := make([]cache, len(contenders))
	curves = make([]curve, len(contenders))
	for i, contender := range contenders {
		s := &site{cluster: c, zookeeper: zk, id: contender.id}
		for n := range p.servers {
			proc, err := c.Host(fmt.Sprintf("%s-%d", s.id, n+1)).Memcached(ctx)
			if err != nil {
				return nil, err
			}
			s.servers = append(s.servers, proc)
		}
		if caches[i], err = contender.open(ctx, s); err != nil {
			return nil, fmt.Errorf("%s: %w", contender.name, err)
		}
		defer caches[i].close()
		for k := range p.keys {
			if err := caches[i].put(ctx, p.key(k), []byte(valueAt(p.key(k)))); err != nil {
				return nil, fmt.Errorf("%s: %w", contender.name, err)
			}
		}
		curves[i].name = contender.name
		if victims[i], curves[i].share, err = mostAverage(ctx, s); err != nil {
			return nil, err
		}
	}

	began := time.Now()
	loading, stop := context.WithDeadline(ctx, began.Add(p.length()))
	defer stop()
	var running errgroup.Group
	for i := range contenders {
		running.Go(func() error {
			curves[i].windows = load(loading, caches[i], p, began)
			return nil
		})
	}
	running.Go(func() error {
		defer stop()
		return killAndRestart(loading, victims, p, began)
	})
	if err := running.Wait(); err != nil {
		return nil, err
	}
	return curves, errors.Join(context.Cause(ctx), check(p, curves))
}

// mostAverage returns that server of the contender that holds nearest to an even
// share of the entries, and the share.
func mostAverage(ctx context.Context, s *site) (*cluster.Proc, float64, error) {
	counts := make([]float64, len(s.servers))
	total := 0.0
	for i, proc := range s.servers {
		client := memcache.NewClient(proc.Addr, memcache.Config{Conns: 1})
		stats, err := client.Stats(ctx, "")
		client.Close()
		if err != nil {
			return nil, 0, err
		}
		if counts[i], err = strconv.ParseFloat(stats["curr_items"], 64); err != nil {
			return nil, 0, fmt.Errorf("%s says of its curr_items: %w", proc.Addr, err)
		}
		total += counts[i]
	}
	best := 0
	for i, n := range counts {
		even := total / float64(len(counts))
		if math.Abs(n-even) < math.Abs(counts[best]-even) {
			best = i
		}
	}
	return s.servers[best], counts[best] / total, nil
}

// killAndRestart kills the victims as the plan has it, starts them again, and
// returns when the measurement is over.
func killAndRestart(ctx context.Context, victims []*cluster.Proc, p plan, began time.Time) error {
	each := func(do func(*cluster.Proc) error) error {
		var all errgroup.Group
		for _, v := range victims {
			all.Go(func() error { return do(v) })
		}
		return all.Wait()
	}
	for _, step := range []struct {
		at time.Duration
		do func(*cluster.Proc) error
	}{
		{p.before, (*cluster.Proc).Kill},
		{p.before + p.dead, func(v *cluster.Proc) error { return v.Restart(ctx) }},
	} {
		select {
		case <-time.After(time.Until(began.Add(step.at))):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err := each(step.do); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return nil
}

// check says why the curves can't be what they are taken for.
func check(p plan, curves []curve) error {
	for _, c := range curves {
		for i, w := range c.windows {
			at := time.Duration(i)*window - p.before
			switch {
			case w.wrong > 0:
				return fmt.Errorf("%s returned a value that was never put at its key", c.name)
			case p.calm && w.reads == 0:
				return fmt.Errorf("%s: no read began in the %v from %v on: the machine has too much else to do for figures to mean anything", c.name, window, at)
			case p.calm && at < 0 && w.hits < w.reads:
				return fmt.Errorf("%s: not every read hit, %v before the kill: the machine has too much else to do for figures to mean anything", c.name, -at)
			}
		}
	}
	return nil
}

// summary is a curve in figures.
type summary struct {
	lowest float64       // hit rate of the worst window from the kill on
	below  time.Duration // for how long in all it was below 99 %, from the kill on
	errors int
	// slowest is the longest that a read took.
	slowest time.Duration
}

func summarize(p plan, c curve) summary {
	s := summary{lowest: 1}
	for _, w := range c.windows[p.before/window:] {
		if w.reads > 0 {
			s.lowest = min(s.lowest, w.hitRate())
		}
		if w.reads > 0 && w.hitRate() < 0.99 {
			s.below += window
		}
		s.errors += w.errors
		s.slowest = max(s.slowest, w.slowest)
	}
	return s
}
