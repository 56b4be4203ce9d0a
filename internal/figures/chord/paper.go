package chord

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/torc-dht/torc/chord/ringsim"
)

// size is how large the experiments of Paper are.
type size struct {
	logs          []int // path lengths are measured in rings of 2^k nodes
	rings         func(k int) int
	lookups       int // a node, in each; with the whole list at most wholeLookups in all
	wholeLookups  int
	shares        int // the k of the distribution
	nodes         int // of the experiments that have 10^4 in the papers
	keysRings     int
	lostLookups   int
	walkNodes     int // of the tables of 2003, which have 1,000
	churnNodes    int // of the figure of 2001, which has 500
	churnLookups  int
	crashFactor   int // how many times as many there are where nodes crash
	unrepairedFor int // lookups
}

var papers = size{
	logs: []int{14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3}, // the longest first
	rings: func(k int) int {
		switch {
		case k <= 5:
			return 200
		case k <= 7:
			return 50
		case k <= 9:
			return 8
		}
		return 1
	},
	lookups: 100, wholeLookups: 100_000, shares: 12,
	nodes: 10_000, keysRings: 5, lostLookups: 100_000,
	walkNodes: 1000, churnNodes: 500, churnLookups: 10_000, crashFactor: 2, unrepairedFor: 10_000,
}

// Paper measures again what the papers' figures and tables show, and writes an SVG and a
// CSV for each into dir, which it makes. Each CSV has theirs, ours and by how many per
// cent ours is more. It says by progress, a line each, what is done; that is called by
// one goroutine at a time. It needs about 3 GiB.
func Paper(ctx context.Context, dir string, progress func(string)) error {
	return paper(ctx, dir, papers, progress)
}

// found is all that Paper measures.
type found struct {
	paths, whole map[int]*ringsim.Many
	states       []ringsim.State
	loads        []ringsim.Keys // for numbers of keys
	virtual      []ringsim.Keys // for numbers of virtual nodes
	lost         []ringsim.Lost
	unrepaired   []ringsim.Walks
	crashes      []ringsim.Churned
	departures   []ringsim.Churned
}

// experiment is one that can be made while others are.
type experiment struct {
	name string
	run  func(context.Context) (result string, err error)
}

func paper(ctx context.Context, dir string, z size, progress func(string)) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	f := found{paths: map[int]*ringsim.Many{}, whole: map[int]*ringsim.Many{}}
	var telling sync.Mutex
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, e := range f.experiments(z) {
		g.Go(func() error {
			began := time.Now()
			result, err := e.run(ctx)
			if err != nil {
				return fmt.Errorf("%s: %w", e.name, err)
			}
			telling.Lock()
			defer telling.Unlock()
			progress(fmt.Sprintf("%s: %s (%.1f s)", e.name, result, time.Since(began).Seconds()))
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for _, write := range []func(string, size) error{
		f.writePaths, f.writeShares, f.writeStates, f.writeLoads, f.writeVirtual, f.writeLost, f.writeUnrepaired, f.writeCrashes, f.writeDepartures,
	} {
		if err := write(dir, z); err != nil {
			return err
		}
	}
	return nil
}

// experiments are all, those that take longest first. Each writes to a place of its own,
// which is there before any begins.
func (f *found) experiments(z size) (all []experiment) {
	add := func(name string, run func(context.Context) (string, error)) { all = append(all, experiment{name, run}) }

	f.virtual = make([]ringsim.Keys, len(ringsim.PublishedVirtual))
	for i := len(f.virtual) - 1; i >= 0; i-- {
		v := ringsim.PublishedVirtual[i].Virtual
		add(fmt.Sprintf("keys on %d nodes of %d virtual ones", z.nodes, v), func(ctx context.Context) (string, error) {
			ks, err := ringsim.KeysPerNode(ctx, keysConfig(uint64(v)), z.nodes, v, max(1, z.keysRings/v), []int{100 * z.nodes})
			if err != nil {
				return "", err
			}
			f.virtual[i] = ks[0]
			return percentiles(&ks[0].Tally), nil
		})
	}
	f.states = make([]ringsim.State, len(z.logs))
	for i, k := range z.logs {
		paths, whole := new(ringsim.Many), new(ringsim.Many)
		f.paths[k], f.whole[k] = paths, whole
		add(fmt.Sprintf("paths among %d nodes", 1<<k), func(ctx context.Context) (result string, err error) {
			*paths, err = ringsim.PathsIn(ctx, ringsim.Paper(uint64(1000*k)), 1<<k, z.rings(k), z.lookups<<k)
			f.states[i] = paths.State
			return percentiles(&paths.Tally) + "; " + paths.State.String(), err
		})
		add(fmt.Sprintf("paths among %d nodes by the whole list", 1<<k), func(ctx context.Context) (result string, err error) {
			c := ringsim.Paper(uint64(1000 * k))
			c.WholeList = true
			*whole, err = ringsim.PathsIn(ctx, c, 1<<k, z.rings(k), min(z.lookups<<k, z.wholeLookups))
			return percentiles(&whole.Tally), err
		})
	}
	f.lost = make([]ringsim.Lost, len(ringsim.PublishedLost))
	for i, p := range ringsim.PublishedLost {
		add(fmt.Sprintf("%.3f of %d nodes fail, and the ring settles", p.At, z.nodes), func(ctx context.Context) (result string, err error) {
			c := ringsim.Paper(uint64(i) + 1)
			c.List = 16
			f.lost[i], err = ringsim.Lose(ctx, c, z.nodes, p.At, z.lostLookups)
			return fmt.Sprintf("%.4f of the lookups fail", f.lost[i].Rate()), err
		})
	}
	f.crashes = make([]ringsim.Churned, len(ringsim.PublishedCrashes))
	for i, p := range ringsim.PublishedCrashes {
		add(fmt.Sprintf("%.2f of %d nodes crash a second, and as many join", p.At, z.churnNodes), func(ctx context.Context) (result string, err error) {
			e := ringsim.Crashes(uint64(i)+1, p.At, z.crashFactor*z.churnLookups)
			e.Nodes = z.churnNodes
			e.PerSecond *= float64(z.crashFactor)
			f.crashes[i], err = e.Run(ctx)
			return fmt.Sprintf("%.4f of the lookups fail at the first try", f.crashes[i].Rate()), err
		})
	}
	f.departures = make([]ringsim.Churned, len(ringsim.PublishedDepartures))
	for i, p := range ringsim.PublishedDepartures {
		add(fmt.Sprintf("%.2f of %d nodes leave a second, and as many join", p.At, z.walkNodes), func(ctx context.Context) (result string, err error) {
			e := ringsim.Departures(uint64(i)+1, p.At, z.churnLookups)
			e.Nodes = z.walkNodes
			f.departures[i], err = e.Run(ctx)
			return walk(&f.departures[i].Walks), err
		})
	}
	f.unrepaired = make([]ringsim.Walks, len(ringsim.PublishedUnrepaired))
	for i, p := range ringsim.PublishedUnrepaired {
		add(fmt.Sprintf("%d nodes fail with a probability of %.1f, and nothing is repaired", z.walkNodes, p.At), func(ctx context.Context) (result string, err error) {
			c := ringsim.Paper(uint64(i) + 1)
			c.List, c.WholeList = 20, true
			f.unrepaired[i], err = ringsim.Unrepaired(ctx, c, z.walkNodes, p.At, z.unrepairedFor)
			return walk(&f.unrepaired[i]), err
		})
	}
	f.loads = make([]ringsim.Keys, 0, len(ringsim.PublishedLoads))
	add(fmt.Sprintf("keys on %d nodes", z.nodes), func(ctx context.Context) (string, error) {
		var keys []int
		for _, p := range ringsim.PublishedLoads {
			keys = append(keys, p.Keys/10_000*z.nodes)
		}
		ks, err := ringsim.KeysPerNode(ctx, keysConfig(1000), z.nodes, 1, z.keysRings, keys)
		if err != nil {
			return "", err
		}
		f.loads = ks
		return percentiles(&ks[len(ks)-1].Tally), nil
	})
	return all
}

// keysConfig is that of experiments in which only arcs count: identifiers of 64 bits are
// as good, and take less memory.
func keysConfig(seed uint64) ringsim.Config {
	c := ringsim.Paper(seed)
	c.Circle = 64
	return c
}

func percentiles(t *ringsim.Tally) string {
	return fmt.Sprintf("mean %.2f, 1st and 99th percentile %d and %d", t.Mean(), t.Percentile(1), t.Percentile(99))
}

func walk(w *ringsim.Walks) string {
	return fmt.Sprintf("paths of %.2f (%d, %d), time-outs %.2f (%d, %d), %d wrong", w.Mean(), w.Percentile(1), w.Percentile(99),
		w.Silent.Mean(), w.Silent.Percentile(1), w.Silent.Percentile(99), w.Wrong)
}
