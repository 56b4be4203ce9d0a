package memcache_test

import (
	"net"
	"sync/atomic"
	"testing"

	"github.com/torc-dht/torc/memcache"
	"github.com/torc-dht/torc/memcache/memcachetest"
	"github.com/torc-dht/torc/store"
)

// redirected counts requests at a key, and those with Redirect.
type redirected struct {
	memcache.Handler
	keyed, redirect atomic.Int64
}

func (h *redirected) ServeMemcache(w *memcache.ResponseWriter, r *memcache.Request) {
	if len(r.Key) > 0 {
		h.keyed.Add(1)
		if r.Redirect {
			h.redirect.Add(1)
		}
	}
	h.Handler.ServeMemcache(w, r)
}

// Every request at a key says what its client's Config does, and a server that
// doesn't care carries it out all the same; memcached doesn't.
func TestRedirect(t *testing.T) {
	t.Parallel()
	for _, redirect := range []bool{false, true} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		h := &redirected{Handler: memcache.NewHandler(store.New(store.Config{}))}
		s := &memcache.Server{Handler: h}
		go func() { _ = s.Serve(l) }()
		defer s.Close()
		for _, addr := range []string{l.Addr().String(), memcachetest.Start(t)} {
			c := openClient(t, addr, memcache.Config{Redirect: redirect})
			cas, err := c.SetOp(t.Context(), memcache.Item{Key: "a b", Value: []byte("1"), Flags: 7}, memcache.ModeAdd, memcache.OpID{Client: 1, Number: 1, Oldest: 1})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Incr(t.Context(), "a b", 1); err != nil {
				t.Error(err)
			}
			if it, err := c.Get(t.Context(), "a b"); err != nil || string(it.Value) != "2" || it.CAS == cas {
				t.Errorf("%+v, %v", it, err)
			}
			if err := c.Touch(t.Context(), "a b", 0); err != nil {
				t.Error(err)
			}
			if err := c.Delete(t.Context(), "a b", 0); err != nil {
				t.Error(err)
			}
		}
		want := int64(0)
		if redirect {
			want = 5
		}
		if h.keyed.Load() != 5 || h.redirect.Load() != want {
			t.Errorf("Redirect is %v: of %d requests %d were so", redirect, h.keyed.Load(), h.redirect.Load())
		}
	}
}
