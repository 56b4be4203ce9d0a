package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/bradfitz/gomemcache/memcache"

	"github.com/torc-dht/torc"
	_ "github.com/torc-dht/torc/fleet"           // memcached://
	_ "github.com/torc-dht/torc/fleet/zookeeper" // zk://
	"github.com/torc-dht/torc/internal/cluster"
)

// errMiss is the answer that there is no value at a key, given by who knows.
var errMiss = errors.New("no value at the key")

// cache is what a contender does for its callers. It is safe for concurrent use.
type cache interface {
	get(ctx context.Context, key string) ([]byte, error)
	put(ctx context.Context, key string, value []byte) error
	close() error
}

// contender is one of those that are compared.
type contender struct {
	name string
	id   string // of its hosts; short
	open func(ctx context.Context, s *site) (cache, error)
}

// site is where a contender lives: memcached servers of its own, and a ZooKeeper
// that it may use. Its processes end with the cluster.
type site struct {
	cluster   *cluster.Cluster
	zookeeper *cluster.ZooKeeper
	id        string
	servers   []*cluster.Proc
}

func (s *site) addrs() []string {
	addrs := make([]string, len(s.servers))
	for i, p := range s.servers {
		addrs[i] = p.Addr
	}
	return addrs
}

// contenders, in the order in which they are shown.
var contenders = []contender{
	{"torc, zk://, three copies", "zk3", openZK(3)},
	{"torc, zk://, one copy", "zk1", openZK(1)},
	{"torc, memcached:// list, three copies", "list3", openList(3)},
	{"torc, memcached:// list, one copy", "list1", openList(1)},
	{"gomemcache, static selector", "gomc", openGomemcache},
	{"twemproxy, ketama, auto_eject_hosts", "twem", openTwemproxy},
}

// torcCache is a table of torc's.
type torcCache struct{ table torc.Table }

func (c torcCache) get(ctx context.Context, key string) ([]byte, error) {
	e, err := c.table.Get(ctx, key)
	if errors.Is(err, torc.ErrNotFound) && !errors.Is(err, torc.ErrUnavailable) {
		return nil, errMiss
	}
	return e.Value, err
}

func (c torcCache) put(ctx context.Context, key string, value []byte) error {
	return c.table.Put(ctx, key, value)
}

func (c torcCache) close() error { return c.table.Close() }

// openList opens the servers as a list, which the client checks by itself.
func openList(copies int) func(context.Context, *site) (cache, error) {
	return func(ctx context.Context, s *site) (cache, error) {
		t, err := torc.Open(ctx, fmt.Sprintf("memcached://%s?copies=%d", strings.Join(s.addrs(), ","), copies))
		return torcCache{t}, err
	}
}

// openZK opens the servers as a fleet in ZooKeeper, a watchdog beside each.
func openZK(copies int) func(context.Context, *site) (cache, error) {
	return func(ctx context.Context, s *site) (cache, error) {
		url := fmt.Sprintf("zk://%s/%s?copies=%d", s.zookeeper.Addr, s.id, copies)
		for _, p := range s.servers {
			if _, err := p.Host().Torc(ctx, "watchdog", "--table", url, p.Addr); err != nil {
				return nil, err
			}
		}
		t, err := torc.Open(ctx, url)
		if err != nil {
			return nil, err
		}
		for v, err := range t.Members(ctx) {
			if err != nil {
				return nil, errors.Join(err, t.Close())
			}
			if len(v.Members) == len(s.servers) {
				return torcCache{t}, nil
			}
		}
		return nil, errors.Join(fmt.Errorf("the watchdogs have not announced their servers: %w", context.Cause(ctx)), t.Close())
	}
}

// gomemcacheCache is a client of gomemcache's.
type gomemcacheCache struct{ client *memcache.Client }

// newGomemcache returns a client of the servers that waits as long as torc does,
// and keeps a connection for each of our callers.
func newGomemcache(idle int, addrs ...string) (cache, error) {
	var selector memcache.ServerList
	if err := selector.SetServers(addrs...); err != nil {
		return nil, err
	}
	c := memcache.NewFromSelector(&selector)
	c.Timeout = 500 * time.Millisecond
	c.MaxIdleConns = idle
	return gomemcacheCache{c}, nil
}

func (c gomemcacheCache) get(_ context.Context, key string) ([]byte, error) {
	item, err := c.client.Get(key)
	switch {
	case errors.Is(err, memcache.ErrCacheMiss):
		return nil, errMiss
	case err != nil:
		return nil, err
	}
	return item.Value, nil
}

func (c gomemcacheCache) put(_ context.Context, key string, value []byte) error {
	return c.client.Set(&memcache.Item{Key: key, Value: value})
}

func (c gomemcacheCache) close() error { return c.client.Close() }

func openGomemcache(_ context.Context, s *site) (cache, error) {
	return newGomemcache(callers, s.addrs()...)
}

// twemproxyConfig is as its README has it for memcached servers that may fail
// (the pool gamma there).
const twemproxyConfig = `fleet:
  listen: %s
  hash: fnv1a_64
  distribution: ketama
  timeout: 400
  backlog: 1024
  preconnect: true
  auto_eject_hosts: true
  server_retry_timeout: 2000
  server_failure_limit: 3
  servers:
`

// openTwemproxy puts a twemproxy before the servers, and a client of gomemcache's
// before that.
func openTwemproxy(ctx context.Context, s *site) (cache, error) {
	host := s.cluster.Host(s.id)
	addr := host.Addr(22121)
	config := fmt.Sprintf(twemproxyConfig, addr)
	for _, a := range s.addrs() {
		config += fmt.Sprintf("   - %s:1\n", a)
	}
	file := filepath.Join(s.cluster.Dir(), "nutcracker.yml")
	if err := os.WriteFile(file, []byte(config), 0o666); err != nil {
		return nil, err
	}
	client, err := newGomemcache(callers, addr)
	if err != nil {
		return nil, err
	}
	_, err = host.Start(ctx, cluster.Spec{
		Name: "nutcracker", Path: "/usr/sbin/nutcracker", Addr: addr,
		Args: []string{"--conf-file", file, "--stats-addr", host.IP},
		Ready: func(ctx context.Context) error {
			if _, err := client.get(ctx, "ready"); err != errMiss {
				return fmt.Errorf("it answers %w", err)
			}
			return nil
		},
	})
	return client, err
}
