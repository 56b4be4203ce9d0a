package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/torc-dht/torc/memcache"
	"github.com/torc-dht/torc/shard"
)

const (
	callers     = 64    // goroutines that make requests
	requestKeys = 10000 // that they are about
	valueSize   = 100
)

// requests is how one server, or table, was asked.
type requests struct {
	name     string
	get, put rate
}

func (r *requests) add(get, put float64) {
	r.get.rounds = append(r.get.rounds, get)
	r.put.rounds = append(r.put.rounds, put)
}

// rate is of all rounds, in requests a second.
type rate struct{ rounds []float64 }

func median(all []float64) float64 {
	sorted := slices.Sorted(slices.Values(all))
	return sorted[len(sorted)/2]
}

func (r rate) median() float64 { return median(r.rounds) }

// times is how many times as many as peer: the median over the rounds.
func (r rate) times(peer rate) float64 {
	ratios := make([]float64, len(r.rounds))
	for i := range ratios {
		ratios[i] = r.rounds[i] / peer.rounds[i]
	}
	return median(ratios)
}

// contender is somebody who can be asked.
type contender struct {
	name  string
	get   func(ctx context.Context, key string) error
	put   func(ctx context.Context, key string, value []byte) error
	close func() error
}

// measureRequests asks all by turns. The first is what the others are compared to.
func measureRequests(ctx context.Context, m *machine, p plan, redis bool) (all []requests, err error) {
	var contenders []*contender
	defer func() {
		for _, c := range contenders {
			_ = c.close() // it was only read and written
		}
	}()
	add := func(c *contender, err error) error {
		if err == nil {
			contenders = append(contenders, c)
		}
		return err
	}
	one := []string{"GOMAXPROCS=1"}
	if err := add(direct(ctx, m, "memcached-compatible server, one thread, asked directly", "one", one)); err != nil {
		return nil, err
	}
	if err := add(table(ctx, m, "shard://, one server", "single", 1)); err != nil {
		return nil, err
	}
	if err := add(table(ctx, m, "shard://, two servers, two copies", "double", 2)); err != nil {
		return nil, err
	}
	if err := add(direct(ctx, m, "memcached-compatible server, all cores", "all", nil)); err != nil {
		return nil, err
	}
	if redis {
		if err := add(startRedis(ctx, m)); err != nil {
			return nil, err
		}
	}
	all = make([]requests, len(contenders))
	for i, c := range contenders {
		all[i].name = c.name
		if err := c.fill(ctx, requestKeys); err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
	}
	value := make([]byte, valueSize)
	own := requests{name: "Redis, asked by redis-benchmark"}
	for range p.rounds {
		for i, c := range contenders {
			get, err := turn(ctx, p.turn, func(ctx context.Context, key string) error { return c.get(ctx, key) })
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			put, err := turn(ctx, p.turn, func(ctx context.Context, key string) error { return c.put(ctx, key, value) })
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.name, err)
			}
			all[i].add(get, put)
		}
		if redis {
			get, put, err := redisBenchmark(ctx, m, p)
			if err != nil {
				return nil, err
			}
			own.add(get, put)
		}
	}
	if redis {
		all = append(all, own)
	}
	return all, nil
}

// turn has the callers make calls for so long, and returns how many a second.
func turn(ctx context.Context, d time.Duration, call func(ctx context.Context, key string) error) (float64, error) {
	var (
		calling sync.WaitGroup
		calls   atomic.Int64
		failed  atomic.Pointer[error]
	)
	began := time.Now()
	for c := range callers {
		calling.Go(func() {
			n := int64(0)
			for k := c * 997; failed.Load() == nil && (n%16 != 0 || time.Since(began) < d); k++ {
				if err := call(ctx, keyAt(k%requestKeys)); err != nil {
					failed.Store(&err)
				}
				n++
			}
			calls.Add(n)
		})
	}
	calling.Wait()
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return float64(calls.Load()) / time.Since(began).Seconds(), nil
}

// keyAt returns the i-th key.
func keyAt(i int) string { return "key-" + strconv.Itoa(i) }

// fill puts n keys.
func (c *contender) fill(ctx context.Context, n int) error {
	value := make([]byte, valueSize)
	var filling sync.WaitGroup
	var failed atomic.Pointer[error]
	for from := range callers {
		filling.Go(func() {
			for i := from; i < n && failed.Load() == nil; i += callers {
				if err := c.put(ctx, keyAt(i), value); err != nil {
					failed.Store(&err)
				}
			}
		})
	}
	filling.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

// direct is a memcache.Server in a process of its own, asked by the bare client.
func direct(ctx context.Context, m *machine, name, host string, env []string) (*contender, error) {
	addr := m.Host(host).Addr(11211)
	if _, err := m.start(ctx, host, "", env, "serve", "--listen", addr, "--memory", "256M"); err != nil {
		return nil, err
	}
	client := memcache.NewClient(addr, memcache.Config{})
	c := &contender{
		name:  name,
		get:   func(ctx context.Context, key string) error { _, err := client.Get(ctx, key); return err },
		close: client.Close,
	}
	c.put = func(ctx context.Context, key string, value []byte) error {
		_, err := client.Set(ctx, memcache.Item{Key: key, Value: value}, memcache.ModeSet)
		return err
	}
	return c, untilAnswered(ctx, c)
}

// untilAnswered waits until the contender takes a key.
func untilAnswered(ctx context.Context, c *contender) error {
	ctx, cancel := context.WithTimeout(ctx, startWithin)
	defer cancel()
	for {
		err := c.put(ctx, keyAt(0), nil)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", c.name, err)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// table is a sharded table.
func table(ctx context.Context, m *machine, name, host string, servers int) (*contender, error) {
	s, err := m.startTable(ctx, host, servers, 2)
	if err != nil {
		return nil, err
	}
	t, err := shard.New(ctx, []string{s.master}, shard.TableOptions{})
	if err != nil {
		return nil, err
	}
	return contenderOf(name, t), nil
}

func contenderOf(name string, t *shard.Table) *contender {
	return &contender{
		name:  name,
		get:   func(ctx context.Context, key string) error { _, err := t.Get(ctx, key); return err },
		put:   func(ctx context.Context, key string, value []byte) error { return t.Put(ctx, key, value) },
		close: t.Close,
	}
}
