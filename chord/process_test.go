package chord

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/torc-dht/torc/chord/internal/link"
	"github.com/torc-dht/torc/memcache"
)

// process is a server that runs, in the place of a process of its own.
type process struct {
	*Server
	t        testing.TB
	addr     string
	listener net.Listener
	leave    context.CancelFunc
	ended    chan struct{} // closed when it has
	err      error         // what Serve returned, once it has
}

func listen(t testing.TB, addr string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// start runs a server on a free port of loopback until the test ends, or it does.
func start(t testing.TB, s *Server) *process {
	t.Helper()
	return startOn(t, s, listen(t, "127.0.0.1:0"))
}

func startOn(t testing.TB, s *Server, l net.Listener) *process {
	if s.Log == nil {
		s.Log = quiet()
	}
	ctx, leave := context.WithCancel(context.Background())
	p := &process{Server: s, t: t, addr: l.Addr().String(), listener: l, leave: leave, ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		p.err = s.Serve(ctx, l)
	}()
	t.Cleanup(func() {
		leave()
		p.fail()
		_ = p.wait()
	})
	return p
}

// fail ends it without handing over, if it runs.
func (p *process) fail() {
	select {
	case <-p.ended:
	default:
		p.Fail()
	}
}

func (p *process) wait() error {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(30 * time.Second):
		p.t.Fatalf("node %s has not ended after 30 s", p.ID)
	}
	return p.err
}

// kill ends it without a word to anybody, as a process that is killed does: from one
// moment to the next it carries out nothing more.
func (p *process) kill() {
	l := p.loop.Load()
	l.on(func() {
		l.core.Fail(clock())
		l.core.Flush(clock())
		l.core.Out() // what it has to say stays unsaid
	})
	_ = p.wait()
}

func (p *process) awaitJoined() *process {
	p.t.Helper()
	select {
	case <-p.Joined():
	case <-p.ended:
		p.t.Fatalf("node %s has ended: %v", p.ID, p.err)
	case <-time.After(20 * time.Second):
		p.t.Fatalf("node %s has not joined after 20 s", p.ID)
	}
	return p
}

// status is how the node says that it is.
func (p *process) status(ctx context.Context) (Status, error) {
	return new(Admin).Status(ctx, p.addr)
}

// tell calls the node as a tool does.
func (p *process) tell(do func(*link.Client) error) {
	p.t.Helper()
	c, err := link.NewClient(p.addr, link.Options{})
	if err == nil {
		err = do(c)
		_ = c.Close()
	}
	if err != nil {
		p.t.Error(err)
	}
}

// client is a plain client of the node.
func (p *process) client(cfg memcache.Config) *memcache.Client {
	c := memcache.NewClient(p.addr, cfg)
	p.t.Cleanup(func() { _ = c.Close() })
	return c
}

// five runs the requirement's nodes, which join one after the other.
func five(t testing.TB, replicas int) map[string]*process {
	t.Helper()
	nodes := map[string]*process{}
	for _, j := range [][2]string{{"1", ""}, {"136", "1"}, {"35", "1"}, {"99", "136"}, {"32", "35"}} {
		s := &Server{Bits: 8, ID: j[0], Replicas: replicas, Memory: 64 << 20}
		if contact := nodes[j[1]]; contact != nil {
			s.Contact = contact.addr
		}
		nodes[j[0]] = start(t, s).awaitJoined()
	}
	return nodes
}

// eventually waits until what holds, for as long as nobody loses patience.
func eventually(t testing.TB, what string, holds func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if err = holds(); err == nil {
			return
		}
	}
	t.Fatalf("%s: not after 20 s: %v", what, err)
}

// whole tells whether the nodes are one ring, each of which owns its part, with all
// copies.
func whole(ctx context.Context, nodes map[string]*process) error {
	owned := 0
	for _, p := range nodes {
		st, err := p.status(ctx)
		switch {
		case err != nil:
			return err
		case !st.Serving || !st.Whole || st.Owns == nil:
			said, _ := json.Marshal(st)
			return fmt.Errorf("node %s is not whole: %s", p.ID, said)
		case len(st.Successors) != min(len(nodes)-1, 8):
			return fmt.Errorf("node %s has the list %v", p.ID, st.Successors)
		case st.Predecessor == nil && len(nodes) > 1:
			return fmt.Errorf("node %s has no predecessor", p.ID)
		case st.Predecessor != nil && st.Predecessor.ID != st.Owns.From:
			return fmt.Errorf("node %s owns what is after %s, and its predecessor is %s", p.ID, st.Owns.From, st.Predecessor.ID)
		}
		owned++
	}
	if owned != len(nodes) {
		return errors.New("some own nothing")
	}
	return nil
}
