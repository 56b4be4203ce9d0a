package chord

import (
	"context"
	"fmt"
	"math/big"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/chord"
)

// extent is how much Required measures.
type extent struct {
	nodes    []int
	bits     []int
	replicas []int
	lookups  int // and as many reads and additions
	keys     int // there are when nodes fail
	failures func(nodes int) int
}

var required = extent{
	nodes: []int{10, 100}, bits: []int{10, 100}, replicas: []int{1, 2, 3, 4, 5},
	lookups: 1000, keys: 2000,
	failures: func(nodes int) int {
		if nodes > 10 {
			return 11
		}
		return 15
	},
}

// Required measures what the requirement's graphs are to show, over r = 1 to 5 replicas:
// in rings of 10 and of 100 nodes, each at n = 10 and at n = 100 bits, since the text's n
// can be read as either. Each node is a process, by starter, and all are on this machine.
// It writes an SVG and a CSV each for lookups, additions and recovery into dir, and to
// the CSVs the processes' numbers. It says by progress, a line each, what is done.
//
// One ring is measured at a time, and nothing at the same time in it.
func Required(ctx context.Context, dir string, starter Starter, progress func(string)) error {
	return measureRequired(ctx, dir, starter, required, progress)
}

// measured is what came of one ring.
type measured struct {
	nodes, bits, replicas int
	started               time.Duration // until all was settled
	memory                float64       // MiB a node, resident; 0: not known
	load                  string        // average of the machine, before
	hops                  float64       // a lookup, on average
	lookup                []time.Duration
	read, add             []time.Duration
	answered, whole       []time.Duration
	pids                  []int
}

func measureRequired(ctx context.Context, dir string, starter Starter, e extent, progress func(string)) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	var all []*measured
	for _, nodes := range e.nodes {
		for _, bits := range e.bits {
			for _, replicas := range e.replicas {
				began := time.Now()
				m, err := measureRing(ctx, starter, e, nodes, bits, replicas)
				if err != nil {
					return fmt.Errorf("%d nodes, n = %d, r = %d: %w", nodes, bits, replicas, err)
				}
				all = append(all, m)
				progress(fmt.Sprintf("%d nodes, n = %d, r = %d: settled after %.1f s, %.0f MiB a node; lookup %s in %.1f hops, get %s, add %s; after a kill answered again in %s, all copies in %s (%.1f s, load %s)",
					nodes, bits, replicas, m.started.Seconds(), m.memory, ms(median(m.lookup)), m.hops, ms(median(m.read)), ms(median(m.add)),
					ms(median(m.answered)), ms(median(m.whole)), time.Since(began).Seconds(), m.load))
			}
			// What there is so far: large rings take long.
			if err := writeRequired(dir, all); err != nil {
				return err
			}
		}
	}
	return nil
}

func measureRing(ctx context.Context, starter Starter, e extent, nodes, bits, replicas int) (m *measured, err error) {
	m = &measured{nodes: nodes, bits: bits, replicas: replicas, load: loadAverage()}
	began := time.Now()
	r, err := startRing(ctx, starter, nodes, bits, replicas)
	defer func() {
		if closeErr := r.close(); err == nil {
			err = closeErr
		}
	}()
	if err != nil {
		return nil, err
	}
	m.started = time.Since(began)
	t, err := torc.Open(ctx, "chord://"+r.members[0].Addr())
	if err != nil {
		return nil, err
	}
	defer t.Close()
	if err := r.measureAdditions(ctx, t, m, e); err != nil {
		return nil, err
	}
	if err := r.measureLookups(ctx, t, m, e); err != nil {
		return nil, err
	}
	m.memory = resident(r.members)
	for range e.failures(nodes) {
		if err := r.measureFailure(ctx, t, m, e); err != nil {
			return nil, err
		}
	}
	m.pids = r.pids
	return m, nil
}

// keyAt is the i-th key: a number, so that it lies at its place modulo 2^n, all over the
// circle.
func keyAt(i, bits int) string {
	return place(rand.New(rand.NewPCG(uint64(i), 7)), max(bits, 64))
}

// place is a number of so many bits by chance, in decimal.
func place(rnd *rand.Rand, bits int) string {
	v := new(big.Int)
	for range (bits + 63) / 64 {
		v.Lsh(v, 64).Or(v, new(big.Int).SetUint64(rnd.Uint64()))
	}
	end := new(big.Int).Lsh(big.NewInt(1), uint(bits))
	return v.Mod(v, end).String()
}

// measureAdditions adds keys one after another; the first ones teach the table who owns
// what, and don't count.
func (r *ring) measureAdditions(ctx context.Context, t torc.Table, m *measured, e extent) error {
	value := []byte(strings.Repeat("v", 100))
	for i := range e.keys {
		began := time.Now()
		if err := t.Put(ctx, keyAt(i, r.bits), value, torc.IfAbsent()); err != nil {
			return err
		}
		if i >= e.keys-e.lookups {
			m.add = append(m.add, time.Since(began))
		}
	}
	return nil
}

// measureLookups reads keys through the table, which knows who owns what, and has nodes
// by chance look for keys' owners, which they ask other nodes for, as the paper's do.
func (r *ring) measureLookups(ctx context.Context, t torc.Table, m *measured, e extent) error {
	for range e.lookups {
		key := keyAt(r.rnd.IntN(e.keys), r.bits)
		began := time.Now()
		if _, err := t.Get(ctx, key); err != nil {
			return err
		}
		m.read = append(m.read, time.Since(began))
	}
	hops := 0
	for range e.lookups {
		found, err := r.admin.Lookup(ctx, r.members[r.rnd.IntN(len(r.members))].Addr(), r.place())
		if err != nil {
			return err
		}
		m.lookup = append(m.lookup, found.Took)
		hops += len(found.Hops)
	}
	m.hops = float64(hops) / float64(e.lookups)
	return nil
}

// measureFailure kills a node as kill -9 does. It is answered again when a key of that
// node is read, and whole when each node that had copies of its, or whose copies it had,
// has as many copies as before. Then another node takes its place.
func (r *ring) measureFailure(ctx context.Context, t torc.Table, m *measured, e extent) error {
	victim := r.members[1+r.rnd.IntN(len(r.members)-1)]
	key := ""
	for i := 0; i < e.keys && key == ""; i++ {
		at, err := t.Locate(ctx, keyAt(i, r.bits))
		if err != nil {
			return err
		}
		if len(at.Owners) > 0 && at.Owners[0].Addr == victim.Addr() {
			key = keyAt(i, r.bits)
		}
	}
	before, err := r.admin.Status(ctx, victim.Addr())
	if err != nil {
		return err
	}
	// Who is to have other holders than before: those before it that it held copies for,
	// and who follows it, for what it takes over.
	all := r.around()
	at := slices.Index(all, victim)
	concerned := []*member{all[(at+1)%len(all)]}
	for i := range min(r.replicas, len(all)-2) {
		concerned = append(concerned, all[(at-1-i+2*len(all))%len(all)])
	}
	began := time.Now()
	if err := victim.Kill(); err != nil {
		return err
	}
	answered := make(chan error, 1)
	go func() {
		if key == "" { // it owned nothing
			answered <- nil
			return
		}
		limit, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		for {
			if _, err := t.Get(limit, key); err == nil || limit.Err() != nil {
				answered <- err
				return
			}
		}
	}()
	if err := <-answered; err != nil {
		return fmt.Errorf("key %s of node %s: %w", key, victim.name(), err)
	}
	if key != "" {
		m.answered = append(m.answered, time.Since(began))
	}
	r.members = slices.DeleteFunc(r.members, func(o *member) bool { return o == victim })
	limit, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for i, c := range concerned {
		if err := r.await(limit, c, func(s *chord.Status) string {
			switch {
			case i == 0 && (s.Owns == nil || s.Predecessor == nil || s.Predecessor.ID == victim.id || before.Owns != nil && s.Owns.From == before.Owns.To):
				return "it has not taken over"
			case !s.Serving || !s.Whole || len(s.Holders) < min(r.replicas, len(r.members)-1):
				return fmt.Sprintf("%d have copies", len(s.Holders))
			case slices.ContainsFunc(s.Holders, func(h chord.Holder) bool { return h.ID == victim.id }):
				return "it counts on " + victim.name()
			}
			return ""
		}); err != nil {
			return err
		}
	}
	m.whole = append(m.whole, time.Since(began))
	next, err := r.start(ctx, r.free(victim.id), r.members[0].name())
	if err != nil {
		return err
	}
	r.pids = append(r.pids, next.Pid())
	r.members = append(r.members, next)
	return r.settled(ctx, r.members)
}

// free is an identifier that nobody has, and had least of all just now.
func (r *ring) free(but string) string {
	for {
		id := r.place()
		if id != but && !slices.ContainsFunc(r.members, func(m *member) bool { return m.id == id }) {
			return id
		}
	}
}

// resident is how many MiB a process has in memory, on average; 0 where it can't be told.
func resident(members []*member) float64 {
	total := 0.0
	for _, m := range members {
		b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(m.Pid()), "statm"))
		fields := strings.Fields(string(b))
		if err != nil || len(fields) < 2 {
			return 0
		}
		pages, err := strconv.ParseFloat(fields[1], 64)
		if err != nil {
			return 0
		}
		total += pages * float64(os.Getpagesize()) / (1 << 20)
	}
	return total / float64(len(members))
}

// loadAverage is the system's over a minute, by the number of processors.
func loadAverage() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "not known"
	}
	return fmt.Sprintf("%s on %d cores", strings.Fields(string(b))[0], runtime.NumCPU())
}

func percentile(all []time.Duration, p int) time.Duration {
	if len(all) == 0 {
		return 0
	}
	all = slices.Sorted(slices.Values(all))
	return all[min(len(all)-1, len(all)*p/100)]
}

func median(all []time.Duration) time.Duration { return percentile(all, 50) }

func ms(d time.Duration) string { return fmt.Sprintf("%.2f ms", 1000*d.Seconds()) }
