package chord

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/memcache"
	"github.com/torc-dht/torc/store"
)

// An Admin sees a whole ring from any of its nodes, and who fails is missed, and then
// forgotten.
func TestAdmin(t *testing.T) {
	t.Parallel()
	nodes := five(t, 1)
	eventually(t, "whole", func() error { return whole(t.Context(), nodes) })
	admin := new(Admin)
	for _, p := range nodes {
		r, err := admin.Ring(t.Context(), p.addr)
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, st := range r.Nodes {
			ids = append(ids, st.ID)
		}
		if want := []string{"1", "32", "35", "99", "136"}; !slices.Equal(ids, want) || len(r.Missing) > 0 || r.Bits != 8 || r.Replicas != 1 {
			t.Errorf("node %s sees %v, and misses %+v", p.ID, ids, r.Missing)
		}
	}
	if err := admin.Fail(t.Context(), nodes["35"].addr); err != nil {
		t.Fatal(err)
	}
	if err := nodes["35"].wait(); err != nil {
		t.Errorf("a node that was told to fail: %v", err)
	}
	failed := nodes["35"]
	delete(nodes, "35")
	eventually(t, "whole without 35", func() error { return whole(t.Context(), nodes) })
	eventually(t, "nobody takes 35 for a neighbour or a finger", func() error {
		r, err := admin.Ring(t.Context(), nodes["1"].addr)
		if err == nil && (len(r.Nodes) != 4 || slices.ContainsFunc(r.Missing, func(m Missing) bool { return len(m.ListedBy) > 0 })) {
			err = fmt.Errorf("%d nodes, and missing are %+v", len(r.Nodes), r.Missing)
		}
		return err
	})
	for what, err := range map[string]error{
		"Info":   second(admin.Info(t.Context(), failed.addr)),
		"Status": second(admin.Status(t.Context(), failed.addr)),
		"Lookup": second(admin.Lookup(t.Context(), failed.addr, "1")),
		"Ring":   second(admin.Ring(t.Context(), failed.addr)),
		"Fail":   admin.Fail(t.Context(), failed.addr),
	} {
		if err == nil || !strings.Contains(err.Error(), failed.addr) {
			t.Errorf("%s of a node that is gone: %v", what, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

// Of many who take an entry while others put it, each entry is one's.
func TestTake(t *testing.T) {
	t.Parallel()
	ring := ringOf(t, 3, 1)
	table, err := New(t.Context(), []string{ring[0].addr}, TableOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	const key, entries, takers = "291", 200, 4
	if _, err := table.Take(t.Context(), key); !errors.Is(err, torc.ErrNotFound) {
		t.Errorf("taken from nothing: %v", err)
	}
	var (
		all   sync.WaitGroup
		left  atomic.Int64
		mu    sync.Mutex
		taken = map[string]int{}
	)
	left.Store(entries)
	for range takers {
		all.Go(func() {
			for left.Load() > 0 {
				switch e, err := table.Take(t.Context(), key); {
				case err == nil:
					left.Add(-1)
					mu.Lock()
					taken[string(e.Value)]++
					mu.Unlock()
				case !errors.Is(err, torc.ErrNotFound):
					t.Error(err)
					return
				}
			}
		})
	}
	for i := 0; i < entries && !t.Failed(); {
		switch err := table.Put(t.Context(), key, []byte(fmt.Sprint(i)), torc.IfAbsent()); {
		case err == nil:
			i++
		case !errors.Is(err, torc.ErrExists):
			t.Fatal(err)
		}
	}
	all.Wait()
	for value, n := range taken {
		if n != 1 {
			t.Errorf("%s was taken %d times", value, n)
		}
	}
	if len(taken) != entries {
		t.Errorf("%d of %d were taken", len(taken), entries)
	}
}

// After a call a table knows who answered it.
func TestOwner(t *testing.T) {
	t.Parallel()
	nodes := five(t, 1)
	table, err := New(t.Context(), []string{nodes["1"].addr}, TableOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer table.Close()
	for key, owner := range map[string]string{"291": "35", "15": "32", "136": "136", "200": "1"} {
		if err := table.Put(t.Context(), key, nil); err != nil {
			t.Fatal(err)
		}
		hash, at, ok := table.Owner(key)
		if want := table.circle.OfKey(key).String(); !ok || hash != want || at.ID != owner || at.Addr != nodes[owner].addr {
			t.Errorf("key %s, hash %s, is at %v, %v", key, hash, at, ok)
		}
	}
}

// A folder's greeting tells nodes, other programs and nobody apart.
func TestGreeting(t *testing.T) {
	t.Parallel()
	node := start(t, &Server{Bits: 8, ID: "35", Boot: 77, Memory: 64 << 20}).awaitJoined()
	plain, silent := listen(t, "127.0.0.1:0"), listen(t, "127.0.0.1:0")
	other := &memcache.Server{Handler: memcache.NewHandler(store.New(store.Config{}))}
	served := make(chan error, 1)
	go func() { served <- other.Serve(plain) }()
	t.Cleanup(func() {
		_, _ = other.Close(), silent.Close()
		if err := <-served; err != nil {
			t.Log(err) // it was closed
		}
	})
	closed := listen(t, "127.0.0.1:0")
	_ = closed.Close()

	r, err := OpenRuntime(t.TempDir(), "default", nil)
	if err != nil {
		t.Fatal(err)
	}
	at := func(addr string, boot uint64, pid int) standing {
		return r.standing(t.Context(), Whereabouts{ID: "35", Addr: addr, Boot: boot, Pid: pid})
	}
	for what, c := range map[string]struct{ got, want standing }{
		"a node":                    {at(node.addr, 77, os.Getpid()), member},
		"another life of it":        {at(node.addr, 78, os.Getpid()), gone},
		"a memcached":               {at(plain.Addr().String(), 77, os.Getpid()), gone},
		"nobody":                    {at(closed.Addr().String(), 77, os.Getpid()), gone},
		"who says nothing":          {at(silent.Addr().String(), 77, os.Getpid()), mute},
		"who says nothing, no node": {at(silent.Addr().String(), 77, 1<<30), gone},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, want %v", what, c.got, c.want)
		}
	}
	node.fail()
	if err := node.wait(); err != nil {
		t.Error(err)
	}
	if got := at(node.addr, 77, os.Getpid()); got != gone {
		t.Errorf("a node that is gone: %v", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.greet(ctx, node.addr); err == nil {
		t.Error("a greeting that nobody waits for is answered")
	}
}
