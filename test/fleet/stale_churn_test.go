package fleet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/fleet/zookeeper"
	"github.com/torc-dht/torc/internal/check"
	"github.com/torc-dht/torc/internal/cluster"
)

// churnTime is how long each churn lasts.
func churnTime() time.Duration {
	if soak() {
		return 3 * time.Minute
	}
	return 12 * time.Second
}

// TestStaleReadsUnderEviction: one copy and rejoin=drop, on servers so small that
// they evict all the time, and every one of them comes and goes.
func TestStaleReadsUnderEviction(t *testing.T) {
	t.Parallel()
	g := startGrid(t, cluster.Options{}, 4, []way{{1, "on", "drop"}}, "-m", "2")
	g.churn(g.servers, workload{keys: 1200, size: 10000, hits: 0.03})
	if n := g.stat("evictions"); n == 0 {
		t.Error("nothing was evicted: the test shows nothing")
	} else {
		t.Logf("%d items were evicted", n)
	}
}

// TestStaleReadsUnderChurn: what is promised while nothing is evicted, and with
// three copies, of whose servers two at most are touched: one that took a write
// has been announced ever since.
func TestStaleReadsUnderChurn(t *testing.T) {
	t.Parallel()
	g := startGrid(t, cluster.Options{}, 4, []way{{1, "on", "check"}, {3, "on", "check"}, {3, "on", "drop"}})
	g.churn(g.servers[:2], workload{keys: 500, size: 20, hits: 0.1})
	if n := g.stat("evictions"); n > 0 {
		t.Errorf("%d items were evicted: the test asks too much", n)
	}
}

// workload is what the callers of a churn do.
type workload struct {
	keys, size int     // how many keys, and how long the values are
	hits       float64 // the least share of calls that are reads and hit
}

// churn does harm to the servers, while callers of two tables for each fleet read
// and write, and judges what they saw.
func (g *grid) churn(harmed []*post, l workload) {
	t := g.t
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	ctx, cancel := context.WithTimeout(t.Context(), churnTime())
	defer cancel()
	began := time.Now()
	logs := make([]*churnLog, len(g.fleets))
	var calling sync.WaitGroup
	for i, f := range g.fleets {
		logs[i] = &churnLog{way: f.way, began: began}
		for n, table := range []torc.Table{f.table, g.open(f)} {
			logs[i].watch(t, &calling, ctx, table)
			for c := range 4 {
				r := rand.New(rand.NewPCG(seed, uint64(100*i+10*n+c)))
				calling.Go(func() { logs[i].call(ctx, table, l, r, 10*n+c) })
			}
		}
	}
	var faults atomic.Int64
	var harming sync.WaitGroup
	for i, p := range harmed {
		r := rand.New(rand.NewPCG(seed, uint64(1000+i)))
		harming.Go(func() {
			for ctx.Err() == nil {
				g.harm(p, r)
				faults.Add(1)
			}
		})
	}
	calling.Wait()
	harming.Wait()
	for _, seen := range logs {
		seen.judge(t, l.hits)
	}
	t.Logf("%d faults", faults.Load())
	if faults.Load() < int64(len(harmed)) {
		t.Errorf("only %d faults", faults.Load())
	}
}

// harm does one thing to p and undoes it. It is not ended half-way, so that the
// servers are all there afterwards.
func (g *grid) harm(p *post, r *rand.Rand) {
	ctx := context.WithoutCancel(g.t.Context())
	away := func() { time.Sleep(time.Duration(r.IntN(1000)) * time.Millisecond) } // the fault itself
	start := func(w *cluster.Proc) error { return w.Restart(ctx) }
	var err error
	switch r.IntN(6) {
	case 0: // longer than its session
		err = p.each((*cluster.Proc).Kill)
		g.gone(p)
		away()
		err = errors.Join(err, p.each(start))
		g.back(p)
	case 1, 2:
		err = p.each((*cluster.Proc).Term)
		g.gone(p)
		away()
		err = errors.Join(err, p.each(start))
		g.back(p)
	case 3:
		err = p.memcached.Freeze()
		g.gone(p)
		away()
		err = errors.Join(err, p.memcached.Thaw())
		g.back(p)
	case 4:
		err = p.memcached.Kill()
		g.gone(p)
		away()
		err = errors.Join(err, p.memcached.Restart(ctx))
		g.back(p)
	case 5:
		for _, f := range g.fleets {
			err = errors.Join(err, g.directory(f).Drain(ctx, p.memcached.Addr))
		}
		g.rebalance(ctx)
		away()
		for _, f := range g.fleets {
			err = errors.Join(err, g.directory(f).Undrain(ctx, p.memcached.Addr))
		}
	}
	if err != nil {
		g.t.Error(err)
	}
	if r.IntN(3) == 0 {
		g.rebalance(ctx)
	}
	away()
}

// directory is the fleet's directory.
func (g *grid) directory(f *sub) *zookeeper.Directory {
	u, err := torc.ParseURL(f.url)
	g.must(err)
	at, _, err := zookeeper.ParseURL(u)
	g.must(err)
	d, err := zookeeper.New(at)
	g.must(err)
	return d
}

// rebalance has every fleet rebalanced, or begun to be: views change meanwhile.
func (g *grid) rebalance(ctx context.Context) {
	for _, f := range g.fleets {
		r, ok := f.table.(torc.Rebalancer)
		if !ok {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
		_, _ = r.Rebalance(ctx, torc.RebalanceOptions{}) // that it is interrupted is part of it
		cancel()
	}
}

// stat sums up a figure of memcached's over all servers.
func (g *grid) stat(name string) int {
	g.t.Helper()
	sum := 0
	for _, p := range g.servers {
		stats := g.stats(p)
		n, err := strconv.Atoi(stats[name])
		g.must(err)
		sum += n
	}
	return sum
}

// churnLog is what the callers on one fleet saw.
type churnLog struct {
	way   way
	began time.Time

	mu struct {
		sync.Mutex
		calls []churnCall
		views []sighting
	}
	serial atomic.Int64
}

// churnCall is a call, and the versions of the views that its client had when it
// was made and when it returned.
type churnCall struct {
	check.Seen
	before, after uint64
}

// sighting is that some client knew a view of this version at that time.
type sighting struct {
	at      time.Duration
	version uint64
}

// watch notes which views the table has, and when.
func (l *churnLog) watch(t *testing.T, wg *sync.WaitGroup, ctx context.Context, table torc.Table) {
	wg.Go(func() {
		for v, err := range table.Members(ctx) {
			if err != nil {
				t.Error(err)
				return
			}
			l.mu.Lock()
			l.mu.views = append(l.mu.views, sighting{time.Since(l.began), v.Version})
			l.mu.Unlock()
		}
	})
}

// call makes calls until ctx is done.
func (l *churnLog) call(ctx context.Context, table torc.Table, do workload, r *rand.Rand, id int) {
	var calls []churnCall
	padding := bytes.Repeat([]byte{'.'}, do.size)
	background := context.Background()
	for ctx.Err() == nil {
		key := fmt.Sprintf("%v %d", l.way, r.IntN(do.keys))
		value := fmt.Sprintf("%d", l.serial.Add(1))
		var c churnCall
		c.Client, c.Key = id, check.Text(key)
		c.before = version(table, key)
		c.Call = time.Since(l.began)
		var err error
		switch n := r.IntN(100); {
		case n < 75:
			c.Op = check.Get
			var e torc.Entry
			if e, err = table.Get(background, key); err == nil {
				read, _, _ := bytes.Cut(e.Value, []byte(" "))
				c.Value = check.Text(read)
			}
		case n < 80:
			c.Op = check.Delete
			err = table.Delete(background, key)
		default:
			c.Op, c.Value = check.Put, check.Text(value)
			var opts []torc.PutOption
			switch {
			case n < 83:
				c.TTL = time.Second
				opts = append(opts, torc.TTL(c.TTL))
			case n < 85:
				c.Op = check.PutIfAbsent
				opts = append(opts, torc.IfAbsent())
			}
			err = table.Put(background, key, append([]byte(value+" "), padding...), opts...)
		}
		c.Return = time.Since(l.began)
		c.after = version(table, key)
		c.Outcome = outcomeOf(err)
		if err != nil {
			c.Err = err.Error()
		}
		calls = append(calls, c)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.calls = append(l.mu.calls, calls...)
}

func version(table torc.Table, key string) uint64 {
	p, err := table.Locate(context.Background(), key)
	if err != nil {
		return 0
	}
	return p.Version
}

// outcomeOf is what the contract of torc.Table says that err means.
func outcomeOf(err error) check.Outcome {
	for _, o := range []struct {
		is  error
		out check.Outcome
	}{
		{nil, check.OK}, {torc.ErrUnknownOutcome, check.Unknown}, {torc.ErrUnavailable, check.Failed},
		{torc.ErrNotFound, check.Missing}, {torc.ErrExists, check.Exists}, {torc.ErrConflict, check.Conflict},
	} {
		if errors.Is(err, o.is) {
			return o.out
		}
	}
	return check.Unknown
}

// judge finds stale reads. A call is behind if, when it returned, its client's
// view was older than one that another client was known to have: from a call that
// it made, or from its Members. See check.FreshUnless for what becomes of calls
// that are behind: they are outside the promise, and counted.
func (l *churnLog) judge(t *testing.T, share float64) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	views := l.mu.views
	for _, c := range l.mu.calls {
		views = append(views, sighting{c.Call, c.before}, sighting{c.Return, c.after})
	}
	slices.SortFunc(views, func(a, b sighting) int { return int(a.at - b.at) })
	for i := 1; i < len(views); i++ {
		views[i].version = max(views[i].version, views[i-1].version)
	}
	all := make([]check.Seen, 0, len(l.mu.calls))
	var plain check.History
	writes := 0
	for _, c := range l.mu.calls {
		n, _ := slices.BinarySearchFunc(views, c.Return, func(s sighting, at time.Duration) int { return int(s.at - at) })
		c.Behind = n > 0 && views[n-1].version > c.after
		all = append(all, c.Seen)
		plain = append(plain, c.Operation)
		if c.Op != check.Get && c.Outcome == check.Unknown {
			writes++
		}
	}
	if err := check.Values(plain); err != nil {
		t.Errorf("%v: %v", l.way, err)
	}
	stale := 0
	for v := range check.StaleReads(all, 2*time.Second, nil) {
		if stale++; stale <= 3 {
			t.Errorf("%v: %v", l.way, v)
		}
	}
	hits, judged := check.Judged(all)
	for i := range all {
		all[i].Behind = false
	}
	outside := -stale
	for range check.StaleReads(all, 2*time.Second, nil) { //nolint:errcheck // what it yields is counted
		outside++
	}
	t.Logf("%v: %d calls over %d views, %d reads hit, %d of them stale; %d reads are left out because a client was behind its view, and %d of those were stale; the outcome of %d writes is unknown",
		l.way, len(all), views[len(views)-1].version, hits, stale, hits-judged, outside, writes)
	if judged < hits*9/10 || float64(hits) < share*float64(len(all)) {
		t.Errorf("%v: of %d calls %d hit and %d were judged: too few", l.way, len(all), hits, judged)
	}
}
