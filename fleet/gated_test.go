package fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/memcache"
	"github.com/torc-dht/torc/store"
)

// gated is a memcached of ours whose requests a test can hold up, and into whose
// memory it can look.
type gated struct {
	addr  string
	store *store.Store
	gate  atomic.Pointer[func(r *memcache.Request)] // called before each request is carried out
	exit  atomic.Pointer[func(r *memcache.Request)] // called after that, before it is answered
	asked atomic.Int64                              // requests for a key
	stop  func()                                    // ends the server
}

func startGated(t *testing.T) *gated {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gated{addr: l.Addr().String(), store: store.New(store.Config{MaxBytes: 16 << 20})}
	inner := memcache.NewHandler(g.store)
	quiet := log.New(io.Discard, "", 0) // a test may have a handler panic to end its connection
	s := &memcache.Server{ErrorLog: quiet, Handler: memcache.HandlerFunc(func(w *memcache.ResponseWriter, r *memcache.Request) {
		if len(r.Key) > 0 {
			g.asked.Add(1)
		}
		if gate := g.gate.Load(); gate != nil {
			(*gate)(r)
		}
		inner.ServeMemcache(w, r)
		if exit := g.exit.Load(); exit != nil {
			(*exit)(r)
		}
	})}
	served := make(chan struct{})
	go func() { defer close(served); s.Serve(l) }() //nolint:errcheck // ends with Close
	g.stop = func() { s.Close(); <-served }
	t.Cleanup(g.stop)
	return g
}

// hold has requests for which which says so wait until the returned function is
// called. Met is closed when the first has come.
func (g *gated) hold(t *testing.T, which func(r *memcache.Request) bool) (met <-chan struct{}, release func()) {
	return holdAt(t, &g.gate, which)
}

// holdAnswer has the answer to the first request for which which says so wait
// until the returned function is called. Met is closed when that has been carried
// out.
func (g *gated) holdAnswer(t *testing.T, which func(r *memcache.Request) bool) (met <-chan struct{}, release func()) {
	var one atomic.Bool
	return holdAt(t, &g.exit, func(r *memcache.Request) bool { return which(r) && one.CompareAndSwap(false, true) })
}

// loseAnswer ends the connection of the first request for which which says so,
// once it is carried out. It calls then, first, unless that is nil.
func (g *gated) loseAnswer(which func(r *memcache.Request) bool, then func()) {
	var one atomic.Bool
	exit := func(r *memcache.Request) {
		if which(r) && one.CompareAndSwap(false, true) {
			if then != nil {
				then()
			}
			panic("the connection breaks")
		}
	}
	g.exit.Store(&exit)
}

func holdAt(t *testing.T, at *atomic.Pointer[func(r *memcache.Request)], which func(r *memcache.Request) bool) (met <-chan struct{}, release func()) {
	open, came := make(chan struct{}), make(chan struct{})
	var first, done atomic.Bool
	gate := func(r *memcache.Request) {
		if which(r) {
			if first.CompareAndSwap(false, true) {
				close(came)
			}
			<-open
		}
	}
	at.Store(&gate)
	release = func() {
		if done.CompareAndSwap(false, true) {
			at.Store(nil)
			close(open)
		}
	}
	t.Cleanup(release)
	return came, release
}

func isOp(op memcache.Op) func(*memcache.Request) bool {
	return func(r *memcache.Request) bool { return r.Op == op }
}

// isLook says whether r asks what is there without reading it.
func isLook(r *memcache.Request) bool { return r.Op == memcache.OpGet && r.NoBump }

// value is what g has at key, stamps aside; "" for nothing and for a tombstone.
func (g *gated) value(key string) string {
	it, _ := g.store.Get([]byte(key))
	return string(it.Value)
}

// item is what g has at key.
func (g *gated) item(key string) store.Item {
	it, _ := g.store.Get([]byte(key))
	return it
}

// gatedTable is a table over n gated servers, and those servers in the order in
// which they own key.
func gatedTable(t *testing.T, n int, opts Options) (*Table, *fakeDirectory, []*gated, string) {
	t.Helper()
	by := make(map[string]*gated)
	var addrs []string
	for range n {
		g := startGated(t)
		by[g.addr] = g
		addrs = append(addrs, g.addr)
	}
	table, dir := newTestTable(t, opts, addrs...)
	const key = "k"
	return table, dir, inOrder(t, table, key, by), key
}

// inOrder returns the owners of key, first to last, and then the others.
func inOrder(t *testing.T, table *Table, key string, by map[string]*gated) []*gated {
	t.Helper()
	p, err := table.Locate(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	var list []*gated
	owner := make(map[string]bool)
	for _, o := range p.Owners {
		list, owner[o.Addr] = append(list, by[o.Addr]), true
	}
	for addr, g := range by {
		if !owner[addr] {
			list = append(list, g)
		}
	}
	return list
}

func addrsOf(servers ...*gated) []string {
	var addrs []string
	for _, g := range servers {
		addrs = append(addrs, g.addr)
	}
	return addrs
}

// eventually waits until what returns "", and fails with what it says otherwise.
func eventually(t *testing.T, what func() string) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		problem := what()
		if problem == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(problem)
		}
		time.Sleep(time.Millisecond)
	}
}

func mustPut(t *testing.T, table *Table, key, value string, opts ...torc.PutOption) {
	t.Helper()
	if err := table.Put(t.Context(), key, []byte(value), opts...); err != nil {
		t.Fatal(err)
	}
}

func mustGet(t *testing.T, table *Table, key, want string) torc.Entry {
	t.Helper()
	e, err := table.Get(t.Context(), key)
	if err != nil || string(e.Value) != want {
		t.Fatalf("Get = %q, %v, want %q", e.Value, err, want)
	}
	return e
}

func mustMiss(t *testing.T, table *Table, key string) {
	t.Helper()
	if e, err := table.Get(t.Context(), key); !errors.Is(err, torc.ErrNotFound) || errors.Is(err, torc.ErrUnavailable) {
		t.Fatalf("Get = %q, %v, want a plain miss", e.Value, err)
	}
}

// inEachStampMode runs a test over three copies without stamps and with both
// kinds of them.
func inEachStampMode(t *testing.T, test func(t *testing.T, config Config)) {
	for _, config := range []Config{
		{Copies: 3},
		{Copies: 3, Stamps: StampsOn},
		{Copies: 3, Stamps: StampsOn, Rejoin: RejoinDrop},
	} {
		t.Run(fmt.Sprintf("stamps=%s,rejoin=%s", config.Stamps, config.Rejoin), func(t *testing.T) {
			t.Parallel()
			test(t, config)
		})
	}
}

// soon is a context that ends after d.
func soon(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
