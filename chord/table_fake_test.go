package chord

import (
	"context"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "github.com/torc-dht/torc/chord/internal/link/chordpb"
	"github.com/torc-dht/torc/chord/internal/msg"
	"github.com/torc-dht/torc/chord/internal/place"
	"github.com/torc-dht/torc/chord/internal/ring"
	"github.com/torc-dht/torc/internal/demux"
	"github.com/torc-dht/torc/memcache"
	"github.com/torc-dht/torc/store"
)

// fakeRing is a ring of 2^8 places without a protocol: nodes that know at once who
// lives, and own what Chord says that they do.
type fakeRing struct {
	id uint64

	mu struct {
		sync.Mutex
		nodes []*fakeNode // in order of their places
	}
}

const fakeBits = 8

func newFakeRing() *fakeRing { return &fakeRing{id: rand.Uint64() | 1} }

// fakeRingOf returns nodes at these places of a ring.
func fakeRingOf(t testing.TB, ids ...int) (r *fakeRing, nodes []*fakeNode) {
	t.Helper()
	r = newFakeRing()
	for _, id := range ids {
		nodes = append(nodes, r.add(t, id))
	}
	return r, nodes
}

// owned returns who owns a place, and what else.
func (r *fakeRing) owned(p place.Place) (*fakeNode, msg.Span) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, n := range r.mu.nodes {
		before := r.mu.nodes[(i+len(r.mu.nodes)-1)%len(r.mu.nodes)]
		if place.Between(before.self.Place, p, n.self.Place) {
			return n, msg.Span{From: before.self.Place, To: n.self.Place}
		}
	}
	return nil, msg.Span{}
}

// remove has a node's places be its successor's. It goes on answering.
func (r *fakeRing) remove(n *fakeNode) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.nodes = slices.DeleteFunc(r.mu.nodes, func(o *fakeNode) bool { return o == n })
}

// insert has it be a member again.
func (r *fakeRing) insert(n *fakeNode) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.nodes = append(r.mu.nodes, n)
	slices.SortFunc(r.mu.nodes, func(a, b *fakeNode) int { return a.self.Place.Compare(b.self.Place) })
}

// after returns the members that follow n.
func (r *fakeRing) after(n *fakeNode) (all []*fakeNode) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.Index(r.mu.nodes, n)
	if i < 0 {
		return nil
	}
	return slices.Concat(r.mu.nodes[i+1:], r.mu.nodes[:i])
}

// fakeNode is a store that says what a test wants it to.
type fakeNode struct {
	pb.UnimplementedNodeServer
	ring    *fakeRing
	self    ring.Ref
	store   *store.Store
	handler memcache.Handler
	stop    func()

	mu struct {
		sync.Mutex
		// answer, if not nil, is asked first, and says whether it has answered.
		answer   func(w *memcache.ResponseWriter, r *memcache.Request) bool
		deaf     bool            // it answers no question
		joining  bool            // it has not joined yet
		vague    bool            // it names owners, and doesn't know what they own
		term     uint64          // of its claim
		ops      []memcache.OpID // of writes that came
		asked    int             // requests that came
		resolved int             // questions for owners that came
	}
}

// add starts a node and makes it a member.
func (r *fakeRing) add(t testing.TB, id int) *fakeNode {
	t.Helper()
	return r.addOn(t, id, listen(t, "127.0.0.1:0"))
}

// addOn is add with a listener.
func (r *fakeRing) addOn(t testing.TB, id int, l net.Listener) *fakeNode {
	n := &fakeNode{
		ring: r, self: ring.Ref{Place: small(id), Boot: rand.Uint64() | 1, Addr: l.Addr().String()},
		store: store.New(store.Config{MaxBytes: 16 << 20}),
	}
	n.handler = memcache.NewHandler(n.store)
	split := demux.New(l, demux.Config{})
	service := grpc.NewServer()
	pb.RegisterNodeServer(service, n)
	data := &memcache.Server{Handler: memcache.HandlerFunc(n.serve), ErrorLog: log.New(io.Discard, "", 0)}
	var served sync.WaitGroup
	served.Go(func() { _ = split.Serve() })
	served.Go(func() { _ = service.Serve(split.GRPC()) })
	served.Go(func() { _ = data.Serve(split.Data()) })
	n.stop = sync.OnceFunc(func() {
		r.remove(n)
		_ = split.Close()
		service.Stop()
		_ = data.Close()
		served.Wait()
	})
	t.Cleanup(n.stop)
	r.insert(n)
	return n
}

func (n *fakeNode) addr() string { return n.self.Addr }

// serve answers a request as a node does.
func (n *fakeNode) serve(w *memcache.ResponseWriter, r *memcache.Request) {
	switch r.Op {
	case memcache.OpGet, memcache.OpSet, memcache.OpDelete:
		n.mu.Lock()
		n.mu.asked++
		if id, ok := r.OpID(); ok {
			n.mu.ops = append(n.mu.ops, id)
		}
		answer := n.mu.answer
		n.mu.Unlock()
		if answer != nil && answer(w, r) {
			return
		}
		key := r.Key
		if len(r.Keys) > 0 {
			key = r.Keys[0]
		}
		owner, span := n.ring.owned(place.Circle(fakeBits).OfKey(string(key)))
		switch {
		case owner == nil:
			w.Error("SERVER_ERROR unavailable: nobody is there")
			return
		case owner != n:
			w.Error(movedLine(span, owner.self))
			return
		}
	}
	n.handler.ServeMemcache(w, r)
}

var errFakeDeaf = status.Error(codes.Unavailable, "it was told to be deaf")

func (n *fakeNode) isDeaf() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.mu.deaf
}

func refToWire(r ring.Ref) *pb.Ref {
	return &pb.Ref{Id: r.Place.String(), Boot: r.Boot, Addr: r.Addr}
}

func (n *fakeNode) Info(context.Context, *pb.InfoRequest) (*pb.InfoReply, error) {
	if n.isDeaf() {
		return nil, errFakeDeaf
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return &pb.InfoReply{
		Version: msg.Version, Ring: n.ring.id, Bits: fakeBits, Replicas: 1, Self: refToWire(n.self), Joined: !n.mu.joining,
	}, nil
}

func (n *fakeNode) Status(ctx context.Context, _ *pb.StatusRequest) (*pb.StatusReply, error) {
	info, err := n.Info(ctx, nil)
	if err != nil {
		return nil, err
	}
	st := n.store.Stats()
	reply := &pb.StatusReply{Info: info, Keys: st.Items, Held: st.Items, Bytes: st.Bytes, Whole: true}
	for i, o := range n.ring.after(n) {
		reply.Successors = append(reply.Successors, refToWire(o.self))
		if i == 0 {
			reply.Holders = append(reply.Holders, &pb.Holder{Node: refToWire(o.self), Complete: true})
		} else if i == 1 {
			reply.Holders = append(reply.Holders, &pb.Holder{Node: refToWire(o.self)})
		}
	}
	if owner, span := n.ring.owned(n.self.Place); owner == n {
		n.mu.Lock()
		defer n.mu.Unlock()
		reply.Serving = true
		reply.Claim = &pb.Claim{
			Owner: refToWire(n.self), Term: n.mu.term,
			Span: &pb.Span{From: span.From.String(), To: span.To.String()},
		}
	}
	return reply, nil
}

func (n *fakeNode) Resolve(_ context.Context, q *pb.ResolveRequest) (*pb.ResolveReply, error) {
	if n.isDeaf() {
		return nil, errFakeDeaf
	}
	n.mu.Lock()
	n.mu.resolved++
	n.mu.Unlock()
	p, err := everywhere.Parse(q.GetPlace())
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	owner, span := n.ring.owned(p)
	if owner == nil {
		return nil, status.Error(codes.NotFound, "nobody")
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.mu.vague {
		return &pb.ResolveReply{Owner: refToWire(owner.self)}, nil
	}
	return &pb.ResolveReply{Owner: refToWire(owner.self), Span: &pb.Span{From: span.From.String(), To: span.To.String()}}, nil
}

// answers has f asked first from now on.
func (n *fakeNode) answers(f func(w *memcache.ResponseWriter, r *memcache.Request) bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.answer = f
}

// complains has each request answered with a line.
func (n *fakeNode) complains(line string) {
	n.answers(func(w *memcache.ResponseWriter, _ *memcache.Request) bool {
		w.Error(line)
		return true
	})
}

// hangs has requests wait until the test ends.
func (n *fakeNode) hangs(t testing.TB) {
	n.answers(func(w *memcache.ResponseWriter, _ *memcache.Request) bool {
		<-t.Context().Done()
		w.Error("SERVER_ERROR unavailable: the test has ended")
		return true
	})
}

// deafens has it answer no questions, or answer them again.
func (n *fakeNode) deafens(deaf bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.deaf = deaf
}

// came returns how many requests have come, and the names of the writes among them.
func (n *fakeNode) came() (int, []memcache.OpID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.mu.asked, slices.Clone(n.mu.ops)
}

// hold puts keys into its store.
func (n *fakeNode) hold(keys ...string) {
	for _, k := range keys {
		_ = n.store.Set([]byte(k), store.Item{Value: []byte("v")}) // there is room
	}
}

// newTable makes a table of what nodes say.
func newTable(t testing.TB, o TableOptions, nodes ...*fakeNode) *Table {
	t.Helper()
	var addrs []string
	for _, n := range nodes {
		addrs = append(addrs, n.addr())
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // with a busy machine
	defer cancel()
	table, err := New(ctx, addrs, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = table.Close() })
	return table
}

// await waits until ok.
func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not after 10 s: %s", what)
		}
	}
}
