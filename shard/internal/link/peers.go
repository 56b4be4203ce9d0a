package link

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc"

	pb "github.com/torc-dht/torc/shard/internal/link/shardpb"
	"github.com/torc-dht/torc/shard/internal/msg"
	"github.com/torc-dht/torc/shard/slots"
)

// Peer is a server, by address and process.
type Peer struct {
	Addr string
	Boot slots.Boot
}

// Peers keeps a stream to each of a set of servers. Its methods never wait for
// the network, nor for the loop that takes the events.
type Peers struct {
	self   Peer
	opts   Options
	events chan<- Event
	ctx    context.Context
	cancel context.CancelCauseFunc

	mu struct {
		sync.Mutex
		peers map[slots.Boot]*peer
	}
	running sync.WaitGroup
}

// peer is one of them: its goroutine runs until ctx ends.
type peer struct {
	Peer
	ctx    context.Context
	cancel context.CancelCauseFunc
	done   chan struct{} // closed after its last event
}

// NewPeers returns an empty set. Its connections say that self calls. Events go
// to a channel, which is not closed.
func NewPeers(self Peer, o Options, events chan<- Event) *Peers {
	p := &Peers{self: self, opts: o, events: events}
	p.ctx, p.cancel = context.WithCancelCause(context.Background())
	p.mu.peers = map[slots.Boot]*peer{}
	return p
}

// Set says to whom there shall be connections: those that are stay, those to
// others are ended. For who is taken out, a last PeerDown may still come.
func (p *Peers) Set(peers []Peer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx.Err() != nil {
		return
	}
	wanted := make(map[slots.Boot]bool, len(peers))
	for _, w := range peers {
		wanted[w.Boot] = true
		former := p.mu.peers[w.Boot]
		if former != nil && former.Addr == w.Addr {
			continue
		}
		if former != nil {
			former.cancel(ErrClosed)
		}
		q := &peer{Peer: w, done: make(chan struct{})}
		q.ctx, q.cancel = context.WithCancelCause(p.ctx)
		p.mu.peers[w.Boot] = q
		p.running.Go(func() { p.run(q, former) })
	}
	for boot, q := range p.mu.peers {
		if wanted[boot] {
			continue
		}
		q.cancel(ErrClosed)
		delete(p.mu.peers, boot)
	}
}

// Close ends all connections and waits until nothing of them is left. No event
// follows.
func (p *Peers) Close() {
	p.mu.Lock()
	p.cancel(ErrClosed)
	p.mu.Unlock()
	p.running.Wait()
}

// run keeps q connected. The former, which had the same boot, says its last first.
func (p *Peers) run(q, former *peer) {
	defer close(q.done)
	defer q.cancel(ErrClosed)
	if former != nil {
		<-former.done
	}
	pause := backoff{most: maxBackoff}
	for {
		begun := time.Now()
		if !p.connect(q) {
			return
		}
		if time.Since(begun) > maxBackoff+openTimeout {
			pause.reset()
		}
		if !pause.wait(q.ctx) {
			return
		}
	}
}

// connect makes one connection and stays with it until it ends. It says whether
// to try again.
func (p *Peers) connect(q *peer) bool {
	c, err := open(q.ctx, q.Addr, &p.opts,
		&pb.Opening{Addr: p.self.Addr, Boot: uint64(p.self.Boot), Expect: uint64(q.Boot)},
		func(ctx context.Context, cc grpc.ClientConnInterface) (grpc.ClientStream, error) {
			return pb.NewServerClient(cc).Peer(ctx)
		})
	if err != nil {
		return emit(q.ctx, p.events, PeerFailed{q.Boot, err})
	}
	defer c.close()
	if boot := slots.Boot(c.welcome.GetBoot()); boot != q.Boot {
		emit(q.ctx, p.events, PeerReplaced{q.Boot, boot})
		return false
	}
	conn := &Conn{Addr: q.Addr, Boot: q.Boot, out: newOutbox(p.opts.queueBytes()), end: c.cancel}
	if !emit(q.ctx, p.events, PeerUp{conn}) {
		return false
	}
	err = c.run(conn.out, func([]msg.Message) bool { return true })
	return emit(p.ctx, p.events, PeerDown{q.Boot, err})
}
