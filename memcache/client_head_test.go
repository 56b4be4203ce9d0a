package memcache_test

import (
	"fmt"
	"testing"

	"github.com/torc-dht/torc/memcache"
	"github.com/torc-dht/torc/memcache/memcachetest"
)

// To look after an item, with its value or without, is no use of it: memcached moves what is used, out of the
// way of a dump.
func TestHeadAndPeekAreNoUse(t *testing.T) {
	t.Parallel()
	const items = 10_000
	addr := memcachetest.Start(t)
	c := openClient(t, addr, memcache.Config{})
	var g memcache.Group
	for i := range items {
		g.Set(c, memcache.Item{Key: fmt.Sprint("k", i), Value: make([]byte, 100)}, memcache.ModeSet)
	}
	g.Wait(t.Context())
	for pass := range 4 {
		g.Reset()
		listed := make(map[string]bool)
		for info, err := range c.Metadump(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if info.Fetched {
				t.Fatalf("pass %d: %s counts as used", pass, info.Key)
			}
			listed[info.Key] = true
			g.Head(c, info.Key)
			if g.Len() == 100 {
				g.Wait(t.Context())
				for i := range g.Len() {
					if err := g.Err(i); err != nil {
						t.Fatal(err)
					}
				}
				g.Reset()
			}
		}
		if len(listed) < items*99/100 { // a few are missed in any case
			t.Errorf("pass %d: %d of %d items were listed", pass, len(listed), items)
		}
	}
}
