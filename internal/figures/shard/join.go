package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/torc-dht/torc/shard"
)

// joining is what came of a server that joined.
type joining struct {
	servers, copies int // before; of each key
	moved           uint64
	took            time.Duration // from the first key on its way until all was settled
	// 99 of 100 reads of keys that stayed took no longer, before and meanwhile.
	before, during time.Duration
	// slowest is the slowest read of a key that moved, meanwhile.
	slowest       time.Duration
	stayed, going int // reads meanwhile
}

// rate is in keys a second.
func (j joining) rate() float64 { return float64(j.moved) / j.took.Seconds() }

// probe is one read that was timed.
type probe struct {
	key         int
	began, took time.Duration // since the measurement began
}

const probers = 4

// join measures a server that joins servers with so many copies of each key.
func (f *figures) join(ctx context.Context, m *machine, p plan, servers, copies int) error {
	s, err := m.startTable(ctx, "join", servers, copies)
	if err != nil {
		return err
	}
	t, err := shard.New(ctx, []string{s.master}, shard.TableOptions{})
	if err != nil {
		return err
	}
	defer t.Close()
	if err := contenderOf("", t).fill(ctx, p.keys); err != nil {
		return err
	}
	if err := s.settled(ctx); err != nil {
		return err
	}
	owners := func() (map[int]string, error) {
		all := make(map[int]string)
		for i := 0; i < p.keys; i += max(1, p.keys/probed) {
			at, err := t.Locate(ctx, keyAt(i))
			if err != nil || len(at.Owners) == 0 {
				return nil, fmt.Errorf("locating %s: %v: %w", keyAt(i), at, err)
			}
			all[i] = at.Owners[0].Addr
		}
		return all, nil
	}
	was, err := owners()
	if err != nil {
		return err
	}
	keys := make([]int, 0, len(was))
	for i := range was {
		keys = append(keys, i)
	}
	slices.Sort(keys)

	began := time.Now()
	halt := probing(ctx, t, keys, began)
	defer func() { _, _ = halt() }()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(p.calm):
	}
	started := time.Since(began)
	addr, err := s.join(ctx, "")
	if err != nil {
		return err
	}
	of := func(st *shard.Status) *shard.ServerStatus {
		for i := range st.Servers {
			if st.Servers[i].Addr == addr {
				return &st.Servers[i]
			}
		}
		return new(shard.ServerStatus)
	}
	if err := s.await(ctx, func(st *shard.Status) bool { return of(st).Filling > 0 || of(st).Keys > 0 }); err != nil {
		return err
	}
	moving := time.Since(began)
	j := joining{servers: servers, copies: copies}
	if err := s.settled(ctx); err != nil {
		return err
	}
	settled := time.Since(began)
	// A status has what servers said with their last beat.
	if err := s.await(ctx, func(st *shard.Status) bool {
		j.moved, j.took = max(j.moved, of(st).Keys), settled-moving
		return time.Since(began) > settled+time.Second
	}); err != nil {
		return err
	}
	probes, err := halt()
	if err != nil {
		return err
	}
	is, err := owners()
	if err != nil {
		return err
	}
	var before, during []time.Duration
	for _, q := range probes {
		switch meanwhile := q.began+q.took > moving && q.began < settled; {
		case was[q.key] != is[q.key] && meanwhile:
			j.slowest = max(j.slowest, q.took)
			j.going++
		case was[q.key] != is[q.key]:
		case meanwhile:
			during = append(during, q.took)
		case q.began+q.took < started:
			before = append(before, q.took)
		}
	}
	j.before, j.during, j.stayed = percentile(before, 99), percentile(during, 99), len(during)
	f.joins = append(f.joins, j)
	return nil
}

// probed is how many keys are read.
const probed = 2000

// probing reads keys until halt is called, which returns how long each took.
func probing(ctx context.Context, t *shard.Table, keys []int, since time.Time) (halt func() ([]probe, error)) {
	var (
		reading sync.WaitGroup
		once    sync.Once
		stop    = make(chan struct{})
		seen    [probers][]probe
		errs    [probers]error
	)
	for c := range probers {
		reading.Go(func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(time.Duration(rand.IntN(1000)) * time.Microsecond):
				}
				q := probe{key: keys[rand.IntN(len(keys))], began: time.Since(since)}
				if _, errs[c] = t.Get(ctx, keyAt(q.key)); errs[c] != nil {
					return
				}
				q.took = time.Since(since) - q.began
				seen[c] = append(seen[c], q)
			}
		})
	}
	return func() ([]probe, error) {
		once.Do(func() { close(stop) })
		reading.Wait()
		var all []probe
		for c := range probers {
			if errs[c] != nil {
				return nil, errs[c]
			}
			all = append(all, seen[c]...)
		}
		return all, nil
	}
}

// percentile is the time that p of 100 were not above; 0 if there are none.
func percentile(all []time.Duration, p int) time.Duration {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[min(len(all)-1, len(all)*p/100)]
}
