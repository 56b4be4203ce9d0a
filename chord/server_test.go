package chord

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/chord/internal/link"
	"github.com/torc-dht/torc/memcache"
	"github.com/torc-dht/torc/store"
)

// What is wrong with a server's fields is said at once, in one line, and nothing
// listens any more.
func TestFields(t *testing.T) {
	t.Parallel()
	for want, s := range map[string]*Server{
		"n is 161":                      {Bits: 161},
		"n is -1":                       {Bits: -1},
		"-2 replicas":                   {Replicas: -2},
		"33 replicas":                   {Replicas: 33},
		"a largest value of -1 bytes":   {MaxValue: -1},
		"the contact: \"nowhere\"":      {Contact: "nowhere"},
		"others can reach this node":    {Addr: ":7100"},
		"identifier 256 is outside":     {Bits: 8, ID: "256"},
		"it is not a decimal number":    {Bits: 8, ID: "0x1"},
		"n is 161: it can be 1 to 160;": {Bits: 161, Replicas: -2},
	} {
		l := listen(t, "127.0.0.1:0")
		s.Log = quiet()
		err := s.Serve(t.Context(), l)
		if !errors.Is(err, torc.ErrInvalid) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q is expected, and the error is %v", want, err)
		}
		if conn, err := net.Dial("tcp", l.Addr().String()); err == nil {
			_ = conn.Close()
			t.Errorf("%q: it still listens", want)
		}
	}
	l := listen(t, "127.0.0.1:0")
	s := &Server{Contact: l.Addr().String(), Log: quiet()}
	if err := s.Serve(t.Context(), l); !errors.Is(err, torc.ErrInvalid) {
		t.Errorf("a node that is its own contact: %v", err)
	}
}

// Who doesn't fit into the ring is refused in one line that says why.
func TestRefusedByTheRing(t *testing.T) {
	t.Parallel()
	first := start(t, &Server{Bits: 8, ID: "35", Replicas: 2, Memory: 64 << 20}).awaitJoined()
	for want, s := range map[string]*Server{
		"its ring has n = 8, and this node was given 9":                    {Bits: 9},
		"its ring keeps 2 replicas, and this node was given 1":             {Replicas: 1},
		"its ring keeps 2 replicas, and this node was given 0":             {Replicas: NoReplicas},
		"its ring takes values of up to 1048576 bytes, and this node of 9": {MaxValue: 9},
		"identifier 256 is outside of the ring":                            {ID: "256"},
		"the identifier is taken":                                          {ID: "35"},
	} {
		s.Contact = first.addr
		p := start(t, s)
		if err := p.wait(); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q is expected, and the error is %v", want, err)
		}
	}
	// What it isn't given, it takes as it is there.
	second := start(t, &Server{Contact: first.addr, Memory: 64 << 20}).awaitJoined()
	if info, err := new(Admin).Info(t.Context(), second.addr); err != nil || info.Bits != 8 || info.Replicas != 2 || !info.Joined {
		t.Errorf("%+v, %v", info, err)
	}
	if st, err := first.status(t.Context()); err != nil || len(st.Lost) > 0 {
		t.Errorf("%+v, %v", st, err)
	}
}

// A contact that is none is said to be none; one that isn't there yet is waited for.
func TestContact(t *testing.T) {
	t.Parallel()
	l := listen(t, "127.0.0.1:0")
	plain := &memcache.Server{Handler: memcache.NewHandler(store.New(store.Config{}))}
	go func() { _ = plain.Serve(l) }()
	defer plain.Close()
	p := start(t, &Server{Contact: l.Addr().String()})
	if err := p.wait(); err == nil || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Errorf("a contact that is a memcached: %v", err)
	}

	unused := listen(t, "127.0.0.1:0")
	addr := unused.Addr().String()
	_ = unused.Close()
	began := time.Now()
	nobody := start(t, &Server{Contact: addr})
	if err := nobody.wait(); !errors.Is(err, torc.ErrUnavailable) || !strings.Contains(err.Error(), addr) {
		t.Errorf("a contact that isn't there: %v", err)
	}
	if took := time.Since(began); took < ContactWithin || took > 2*ContactWithin {
		t.Errorf("it was waited for for %v", took)
	}

	early := start(t, &Server{Contact: addr, Memory: 64 << 20})
	startOn(t, &Server{Memory: 64 << 20}, listen(t, addr)).awaitJoined()
	early.awaitJoined()

	// Told to go while it waits, it goes.
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	lonely := &Server{Contact: "127.0.0.1:1", Log: quiet()}
	if err := lonely.Serve(ctx, listen(t, "127.0.0.1:0")); err != nil {
		t.Error(err)
	}
}

// The five nodes of the requirement, asked and told by plain clients at each of them.
func TestFiveNodes(t *testing.T) { // alone: who gets no processor for long is taken for dead
	nodes := five(t, 1)
	eventually(t, "whole", func() error { return whole(t.Context(), nodes) })
	for key, owner := range map[string]string{"291": "35", "15": "32", "1": "1", "2": "32", "393": "1", "255": "1", "100": "136", "136": "136"} {
		for id, p := range nodes {
			route, err := new(Admin).Lookup(t.Context(), p.addr, key)
			if err != nil || route.Owner.ID != owner || route.Owner.Addr != nodes[owner].addr {
				t.Errorf("node %s says that key %s is at %+v, %v; want %s", id, key, route, err, owner)
			}
			value := "by way of " + id
			c := p.client(memcache.Config{})
			if _, err := c.Set(t.Context(), memcache.Item{Key: key, Value: []byte(value)}, memcache.ModeSet); err != nil {
				t.Fatal(err)
			}
			for other, p := range nodes {
				c := p.client(memcache.Config{})
				if it, err := c.Get(t.Context(), key); err != nil || string(it.Value) != value {
					t.Errorf("at node %s key %s is %q, %v; want %q", other, key, it.Value, err, value)
				}
				// Who asks where it is, is told.
				c = p.client(memcache.Config{Redirect: true})
				var moved *memcache.ServerError
				switch _, err := c.Get(t.Context(), key); {
				case other == owner && err == nil:
				case errors.As(err, &moved):
					if span, to, ok := parseMoved(moved.Line); !ok || other == owner || to.Addr != nodes[owner].addr || span.To.String() != owner {
						t.Errorf("node %s, of key %s: %v", other, key, err)
					}
				default:
					t.Errorf("node %s, of key %s: %v", other, key, err)
				}
			}
		}
	}
	total := uint64(0)
	for _, p := range nodes {
		st, err := p.status(t.Context())
		if err != nil || len(st.Fingers) == 0 || st.Fingers[0].Node.Boot == 0 {
			t.Errorf("%+v, %v", st, err)
		}
		total += st.Keys
	}
	if total != 8 {
		t.Errorf("the nodes own %d keys, and there are 8", total)
	}
}

// Nodes leave, fail, and are killed; each time the others have every entry, and the
// one that went may come back.
func TestComingAndGoing(t *testing.T) { // alone: who gets no processor for long is taken for dead
	const keys = 500
	for name, end := range map[string]func(*process){
		"leave":          func(p *process) { p.leave() },
		"leave, told to": func(p *process) { p.tell(func(c *link.Client) error { return c.Leave(t.Context()) }) },
		"fail":           func(p *process) { p.fail() },
		"fail, told to":  func(p *process) { p.tell(func(c *link.Client) error { return c.Fail(t.Context()) }) },
		"kill":           func(p *process) { p.kill() },
	} {
		t.Run(name, func(t *testing.T) {
			nodes := five(t, 1)
			eventually(t, "whole", func() error { return whole(t.Context(), nodes) })
			fill(t, nodes["1"], keys)
			for _, id := range []string{"35", "1"} {
				p := nodes[id]
				end(p)
				if err := p.wait(); err != nil && name != "kill" { // its port was closed
					t.Fatal(err)
				}
				delete(nodes, id)
				have(t, nodes["99"], keys)
				eventually(t, "whole without "+id, func() error { return whole(t.Context(), nodes) })
				again := &Server{Bits: 8, ID: id, Contact: nodes["99"].addr, Memory: 64 << 20}
				nodes[id] = startOn(t, again, listen(t, p.addr)).awaitJoined()
				have(t, nodes[id], keys)
				eventually(t, "whole with "+id, func() error { return whole(t.Context(), nodes) })
			}
			// All leave but one, which has everything then.
			for id, p := range nodes {
				if id != "32" {
					p.leave()
					must(t, p.wait())
					delete(nodes, id)
				}
			}
			have(t, nodes["32"], keys)
			eventually(t, "alone", func() error { return whole(t.Context(), nodes) })
		})
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

func fill(t *testing.T, p *process, keys int) {
	t.Helper()
	c := p.client(memcache.Config{})
	for k := range keys {
		if _, err := c.Set(t.Context(), memcache.Item{Key: fmt.Sprint(k), Value: []byte(fmt.Sprint("value of ", k))}, memcache.ModeAdd); err != nil {
			t.Fatalf("key %d: %v", k, err)
		}
	}
}

// have wants every key, by way of one node.
func have(t *testing.T, p *process, keys int) {
	t.Helper()
	c := p.client(memcache.Config{})
	for k := range keys {
		if it, err := c.Get(t.Context(), fmt.Sprint(k)); err != nil || string(it.Value) != fmt.Sprint("value of ", k) {
			t.Fatalf("key %d is %q, %v", k, it.Value, err)
		}
	}
}
