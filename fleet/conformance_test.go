package fleet

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/memcache"
	"github.com/torc-dht/torc/memcache/memcachetest"
	"github.com/torc-dht/torc/store"
	"github.com/torc-dht/torc/tabletest"
)

// keyLimits are memcached's: other keys are sent in base64.
var keyLimits = tabletest.KeyLimits(memcache.MaxKeyLen, memcache.MaxBinaryKeyLen)

func TestConformanceOverMemcached(t *testing.T) {
	conform(t, func(t *testing.T) string { return memcachetest.Start(t, "-m", "256") })
}

func TestConformanceOverOurServers(t *testing.T) {
	conform(t, startOurs)
}

// With copies and with stamps a table is to its callers what it is without.
func TestConformanceWithCopiesAndStamps(t *testing.T) {
	for _, config := range []Config{
		{Stamps: StampsOn},
		{Stamps: StampsOn, Rejoin: RejoinDrop},
		{Copies: 3},
		{Copies: 3, Stamps: StampsOn},
		{Copies: 3, Stamps: StampsOn, Rejoin: RejoinDrop},
	} {
		config := config.WithDefaults()
		t.Run(fmt.Sprintf("copies=%d&stamp=%s&rejoin=%s", config.Copies, config.Stamps, config.Rejoin), func(t *testing.T) {
			conformStamped(t, config)
		})
	}
}

// primed is a table that begins each key with a Delete, so that its first server
// has something to say of it. As long as it has nothing, whoever reads the key
// asks others, and may see a write there that is under way.
type primed struct {
	*Table
	keys sync.Map // of sync.Once
}

func (p *primed) prime(ctx context.Context, key string) {
	once, _ := p.keys.LoadOrStore(key, new(sync.Once))
	once.(*sync.Once).Do(func() { p.Table.Delete(ctx, key) }) //nolint:errcheck // there may be none
}

func (p *primed) Get(ctx context.Context, key string) (torc.Entry, error) {
	p.prime(ctx, key)
	return p.Table.Get(ctx, key)
}

func (p *primed) Put(ctx context.Context, key string, value []byte, opts ...torc.PutOption) error {
	p.prime(ctx, key)
	return p.Table.Put(ctx, key, value, opts...)
}

func (p *primed) Delete(ctx context.Context, key string) error {
	p.prime(ctx, key)
	return p.Table.Delete(ctx, key)
}

// conformStamped runs the suite over four memcached that all tables share.
func conformStamped(t *testing.T, config Config) {
	var servers []string
	for range 4 {
		servers = append(servers, memcachetest.Start(t, "-m", "256"))
	}
	extra := memcachetest.Start(t, "-m", "256")
	var mu sync.Mutex
	directories := make(map[torc.Table]*fakeDirectory)
	with := make(map[torc.Table]bool)
	open := func(t *testing.T) torc.Table {
		// A hedge is for servers that are silent, and this machine may be busy: who
		// asks another copy meanwhile may see a write that is under way, or not.
		table, directory := newTestTable(t, Options{Config: config, Hedge: 10 * time.Second, ReadTimeout: 10 * time.Second}, servers...)
		mu.Lock()
		defer mu.Unlock()
		p := &primed{Table: table}
		directories[p] = directory
		return p
	}
	change := func(t *testing.T, table torc.Table) {
		mu.Lock()
		defer mu.Unlock()
		members := servers
		if with[table] = !with[table]; with[table] {
			members = append(slices.Clone(servers), extra)
		}
		directories[table].set(members...)
	}
	options := []tabletest.Option{keyLimits, tabletest.Churn(change)}
	if config.Copies > 1 && config.Stamps == StampsOff {
		options = append(options, tabletest.Racy()) // there are no tombstones
	}
	tabletest.Run(t, open, options...)
}

func startOurs(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &memcache.Server{Handler: memcache.NewHandler(store.New(store.Config{MaxBytes: 256 << 20}))}
	served := make(chan struct{})
	go func() { defer close(served); s.Serve(l) }() //nolint:errcheck // ends with Close
	t.Cleanup(func() { s.Close(); <-served })
	return l.Addr().String()
}

// conform runs the suite over lists of three servers, which the tables share.
// One more comes and goes when a test wants the members to change.
func conform(t *testing.T, start func(*testing.T) string) {
	servers := []string{start(t), start(t), start(t)}
	extra := start(t)
	var mu sync.Mutex
	lists := make(map[torc.Table]*List)
	open := func(t *testing.T) torc.Table {
		var members []Server
		for _, addr := range servers {
			members = append(members, Server{Addr: addr})
		}
		list, err := NewList(ListConfig{}, members)
		if err != nil {
			t.Fatal(err)
		}
		table, err := New(t.Context(), list, Options{})
		if err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		defer mu.Unlock()
		lists[table] = list
		return table
	}
	change := func(t *testing.T, table torc.Table) {
		mu.Lock()
		defer mu.Unlock()
		if lists[table].Remove(extra) != nil {
			if err := lists[table].Add(extra, 1); err != nil {
				t.Error(err)
			}
		}
	}
	tabletest.Run(t, open, keyLimits, tabletest.Churn(change))
}

func TestOpenByURL(t *testing.T) {
	t.Parallel()
	a, b := memcachetest.Start(t), memcachetest.Start(t)
	for _, hash := range []string{"ketama", "ketama-fnv1a64", "murmur3&vnodes=50", "rendezvous", "jump"} {
		table, err := torc.Open(t.Context(), "memcached://"+a+","+b+"?hash="+hash)
		if err != nil {
			t.Fatal(err)
		}
		if err := table.Put(t.Context(), "k", []byte(hash)); err != nil {
			t.Error(err)
		}
		if e, err := table.Get(t.Context(), "k"); err != nil || string(e.Value) != hash {
			t.Errorf("%s: Get = %q, %v", hash, e.Value, err)
		}
		table.Close()
	}
}

func TestBadURLs(t *testing.T) {
	t.Parallel()
	for url, says := range map[string]string{
		"memcached://":                              "memcached://host:port",
		"memcached://h:1/path":                      "memcached://host:port",
		"memcached://h:1?hsah=ketama":               `no parameter "hsah"`,
		"memcached://h:1?hash=md5":                  "ketama, ",
		"memcached://h:1?vnodes=40":                 "hash=murmur3",
		"memcached://h:1?copies=9":                  "from 1 to 8",
		"memcached://h:1?read-timeout=fast":         "250ms",
		"memcached://h:1?weights=1,2":               "1 servers and 2 weights",
		"memcached://h:1?weights=0":                 "not a weight",
		"memcached://h:1?rejoin=maybe":              "flush",
		"memcached://h:1?tls=maybe":                 "on or off",
		"memcached://h:1?tls-ca=x":                  "tls=on",
		"memcached://h:1?tls=on&tls-ca=/no/such/ca": "no such file",
		"memcached+file:/no/such/file":              "no such file",
		"memcached+file:":                           "members.txt",
	} {
		table, err := torc.Open(context.Background(), url)
		if err == nil {
			table.Close()
			t.Errorf("%s was opened", url)
		} else if !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v\n\tdoes not say %q", url, err, says)
		}
	}
}
