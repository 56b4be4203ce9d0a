package memcache_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/torc-dht/torc/memcache"
	"github.com/torc-dht/torc/memcache/memcachetest"
)

// openClients opens a client for each of n memcached servers.
func openClients(t testing.TB, n int, cfg memcache.Config) []*memcache.Client {
	t.Helper()
	clients := make([]*memcache.Client, n)
	for i := range clients {
		clients[i] = openClient(t, memcachetest.Start(t), cfg)
	}
	return clients
}

func TestGroup(t *testing.T) {
	t.Parallel()
	clients := openClients(t, 3, memcache.Config{})
	ctx := t.Context()
	var g memcache.Group
	g.Wait(ctx) // for nothing
	for round := range 3 {
		g.Reset()
		for i, c := range clients {
			key := fmt.Sprintf("key %d %d", round, i)
			ttl := time.Duration(i) * time.Minute
			set := g.Set(c, memcache.Item{Key: key, Value: []byte(key), Flags: uint32(i), TTL: ttl}, memcache.ModeAdd)
			again := g.Set(c, memcache.Item{Key: key}, memcache.ModeAdd)
			get := g.Get(c, key)
			head := g.Head(c, key)
			missing := g.Get(c, "nobody")
			bad := g.Get(c, "")
			deleted := g.Delete(c, key, 0)
			gone := g.Head(c, key)
			if bad != 8*i+5 || g.Len() != 8*i+8 {
				t.Fatalf("index %d of %d", bad, g.Len())
			}
			_, _, _, _, _, _, _ = set, again, get, head, missing, deleted, gone
		}
		g.Wait(ctx)
		for i := range clients {
			at := 8 * i
			if cas, err := g.CAS(at); cas == 0 || err != nil {
				t.Errorf("set: %d, %v", cas, err)
			}
			if _, err := g.CAS(at + 1); !errors.Is(err, memcache.ErrNotStored) {
				t.Errorf("second add: %v", err)
			}
			key := fmt.Sprintf("key %d %d", round, i)
			if item, err := g.Item(at + 2); err != nil || item.Key != key || string(item.Value) != key || item.Flags != uint32(i) {
				t.Errorf("get: %+v, %v", item, err)
			}
			item, err := g.Item(at + 3)
			cas, _ := g.CAS(at)
			if err != nil || item.Value != nil || item.Flags != uint32(i) || item.CAS != cas || item.TTL != time.Duration(i)*time.Minute {
				t.Errorf("head: %+v, %v", item, err)
			}
			for _, at := range []int{at + 4, at + 7} {
				if _, err := g.Item(at); !errors.Is(err, memcache.ErrNotFound) {
					t.Errorf("%d: %v", at, err)
				}
			}
			if err := g.Err(at + 5); !errors.Is(err, memcache.ErrKey) {
				t.Errorf("empty key: %v", err)
			}
			if err := g.Err(at + 6); err != nil {
				t.Errorf("delete: %v", err)
			}
		}
	}
}

func TestGroupKeepsOrder(t *testing.T) {
	t.Parallel()
	c := openClient(t, memcachetest.Start(t), memcache.Config{MaxPending: 7, MaxPendingBytes: 1000})
	var g memcache.Group
	const keys, n = 5, 300
	var gets []int
	for i := range n {
		key := fmt.Sprint("k", i%keys)
		g.Set(c, memcache.Item{Key: key, Value: fmt.Append(nil, i)}, memcache.ModeSet)
		gets = append(gets, g.Get(c, key))
	}
	g.Wait(t.Context())
	for i, at := range gets {
		item, err := g.Item(at)
		if err != nil || string(item.Value) != fmt.Sprint(i) {
			t.Fatalf("get %d: %q, %v", i, item.Value, err)
		}
	}
}

func TestGroupAllocatesTheValuesAlone(t *testing.T) {
	clients := openClients(t, 3, memcache.Config{ReadTimeout: time.Minute, WriteTimeout: time.Minute})
	ctx := context.Background()
	var g memcache.Group
	value := bytes.Repeat([]byte("v"), 100)
	round := func() {
		g.Reset()
		for range 100 {
			for _, c := range clients {
				g.Set(c, memcache.Item{Key: "k", Value: value}, memcache.ModeSet)
				g.Head(c, "k")
			}
		}
		g.Wait(ctx)
		for i := range g.Len() {
			if err := g.Err(i); err != nil {
				t.Fatal(err)
			}
		}
	}
	if allocs := testing.AllocsPerRun(50, round); allocs > 1 && !raceEnabled {
		t.Errorf("a round allocates %v times", allocs)
	}
}

func TestGroupServerGone(t *testing.T) {
	t.Parallel()
	clients := openClients(t, 2, memcache.Config{})
	clients = append(clients, openClient(t, "127.0.0.1:1", memcache.Config{}))
	var g memcache.Group
	for range 3 {
		g.Reset()
		for _, c := range clients {
			g.Set(c, memcache.Item{Key: "k"}, memcache.ModeSet)
		}
		g.Wait(t.Context())
		for i := range clients {
			err := g.Err(i)
			if i < 2 && err != nil {
				t.Error(err)
			} else if i == 2 && wantConnError(t, err).Sent {
				t.Error(err)
			}
		}
	}
}
