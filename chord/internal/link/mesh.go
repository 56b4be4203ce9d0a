package link

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	pb "github.com/torc-dht/torc/chord/internal/link/chordpb"
	"github.com/torc-dht/torc/chord/internal/msg"
	"github.com/torc-dht/torc/chord/internal/ring"
)

// answerWithin is how long calls of tools may take to be answered when a mesh is
// closed.
const answerWithin = 200 * time.Millisecond

// Config says who takes part in a mesh.
type Config struct {
	Options
	// Ring was drawn by the ring's first node. It has 2^Bits places, and keeps each
	// pair on Replicas nodes besides its owner. Nodes that differ in one of these, or
	// in MaxValue, don't talk.
	Ring           uint64
	Bits, Replicas int
	// Self is this process.
	Self ring.Ref
	// Calls answers tools.
	Calls Calls
	// Events go to this channel, which is not closed. What it doesn't take is not
	// read from the network.
	Events chan<- Event

	idle time.Duration // 0: idleAfter
}

// Mesh is one node's connections: those that it makes to other nodes, by which it
// sends, and those that others make to it, nodes and tools.
type Mesh struct {
	cfg    Config
	grpc   *grpc.Server
	health *health.Server
	joined atomic.Bool
	calls  atomic.Uint64 // that this node made

	// ctx is done when the mesh is closed; sending, too, when it is finished.
	ctx, sending   context.Context
	cancel, finish context.CancelCauseFunc

	mu struct {
		sync.Mutex
		peers   map[ring.Ref]*peer
		callers map[uint64]*caller // whose stream is open, by boot
	}
	dialing sync.WaitGroup // peers
	reading sync.WaitGroup // callers, which may outlive their handlers a bit
}

// NewMesh returns a mesh that is to be served. It dials nobody before Send. It panics
// where the configuration lacks something.
func NewMesh(c Config) *Mesh {
	if c.Self.None() || c.Self.Addr == "" || c.Ring == 0 || c.Calls == nil || c.Events == nil {
		panic(fmt.Sprintf("link: an impossible configuration: %+v", c))
	}
	c.idle = cmp.Or(c.idle, idleAfter)
	m := &Mesh{cfg: c, health: health.NewServer()}
	m.ctx, m.cancel = context.WithCancelCause(context.Background())
	m.sending, m.finish = context.WithCancelCause(m.ctx)
	m.mu.peers, m.mu.callers = map[ring.Ref]*peer{}, map[uint64]*caller{}
	m.grpc = grpc.NewServer(
		grpc.StaticStreamWindowSize(windowBytes),
		grpc.StaticConnWindowSize(windowBytes),
		grpc.WriteBufferSize(ioBytes),
		grpc.ReadBufferSize(ioBytes),
		grpc.ForceServerCodecV2(newCodec()),
		grpc.MaxRecvMsgSize(c.maxFrame()),
		grpc.ConnectionTimeout(openTimeout),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: keepaliveTime, Timeout: keepaliveTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: keepaliveTime / 2, PermitWithoutStream: true}),
		grpc.WaitForHandlers(true),
	)
	pb.RegisterNodeServer(m.grpc, service{m: m})
	grpc_health_v1.RegisterHealthServer(m.grpc, m.health)
	reflection.Register(m.grpc)
	m.SetJoined(false)
	return m
}

// Serve accepts connections until Close, and returns nil then. It closes l. Where there
// is TLS, l has done it.
func (m *Mesh) Serve(l net.Listener) error {
	if err := m.grpc.Serve(l); err != nil && m.ctx.Err() == nil {
		return fmt.Errorf("gRPC on %s: %w", l.Addr(), err)
	}
	return nil
}

// SetJoined says whether the node serves its own place: what Info says, and the health
// service.
func (m *Mesh) SetJoined(joined bool) {
	m.joined.Store(joined)
	state := grpc_health_v1.HealthCheckResponse_NOT_SERVING
	if joined {
		state = grpc_health_v1.HealthCheckResponse_SERVING
	}
	m.health.SetServingStatus("", state)
	m.health.SetServingStatus(pb.Node_ServiceDesc.ServiceName, state)
}

// Send queues messages for a node, behind those queued before, and connects to it if
// it has to. It never blocks. The messages, and what they point to, must not change
// any more; ms is the caller's.
//
// Messages of one connection arrive in order, up to some message. What was queued when
// a connection broke is lost, and so it is when one can't be made (Down) or is too much
// (Options.QueueBytes, Down with ErrQueueFull). What is sent after that waits for the
// next one. Up comes before the first message of a connection is sent, and may be
// taken after that: so there may be a gap between messages that arrive.
//
// A connection over which nothing was sent for a minute is closed without a word.
func (m *Mesh) Send(to ring.Ref, ms ...msg.Message) {
	if to.None() || len(ms) == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.sending.Err() != nil {
		return
	}
	p := m.mu.peers[to]
	if p == nil {
		p = newPeer(m, to)
		m.mu.peers[to] = p
		m.dialing.Go(p.keep)
	}
	if !p.out.put(ms) && p.end != nil {
		p.end(ErrQueueFull)
	}
}

// Finish returns when all that was sent has been taken by those it is for, as far as
// they can be reached, or with the context's error. No Up and no Down follows, and what
// is sent from now on is lost: only Close is left to be called.
func (m *Mesh) Finish(ctx context.Context) error {
	m.mu.Lock()
	m.finish(ErrClosed)
	m.mu.Unlock()
	finished := make(chan struct{})
	go func() {
		m.dialing.Wait()
		close(finished)
	}()
	select {
	case <-finished:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close ends everything and waits until nothing is left. No event follows. Calls that
// are under way have 200 ms to be answered. The loop that takes the events may call it.
func (m *Mesh) Close() {
	m.mu.Lock()
	m.finish(ErrClosed)
	m.cancel(ErrClosed)
	m.mu.Unlock()
	m.health.Shutdown()
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		m.grpc.GracefulStop()
	}()
	late := time.AfterFunc(answerWithin, m.grpc.Stop)
	<-answered
	late.Stop()
	m.dialing.Wait()
	m.reading.Wait()
}

// isCalling tells whether a stream is open that the process of this boot opened.
func (m *Mesh) isCalling(boot uint64) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.callers[boot] != nil
}

// heard says that a call of r has ended.
func (m *Mesh) heard(r ring.Ref) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.heardLocked(r)
}

func (m *Mesh) heardLocked(r ring.Ref) {
	if p := m.mu.peers[r]; p != nil {
		p.hear()
	}
}

// called says that r has called. If another process was thought to be there, that one
// is asked after.
func (m *Mesh) called(r ring.Ref) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.heardLocked(r)
	for other, p := range m.mu.peers {
		if other.Addr == r.Addr && other.Boot != r.Boot && p.end != nil {
			p.end(ErrReplaced)
		}
	}
}

// hello is what this node says to who has the boot that is meant.
func (m *Mesh) hello(meant uint64) *pb.Hello {
	c := &m.cfg
	return &pb.Hello{
		Version: msg.Version, Boot: c.Self.Boot, Meant: meant, Ring: c.Ring,
		Bits: uint32(c.Bits), Replicas: uint32(c.Replicas), MaxValue: uint64(c.maxValue()),
		Id: c.Self.Place.String(), Addr: c.Self.Addr, Number: m.calls.Add(1),
	}
}

func (m *Mesh) info() Info {
	c := &m.cfg
	return Info{
		Version: msg.Version, Ring: c.Ring, Bits: c.Bits, Replicas: c.Replicas, MaxValue: c.maxValue(),
		Self: c.Self, Joined: m.joined.Load(),
	}
}

// judge returns why h's sender and this node can't talk, for a person who looks at that
// one; "": they can.
func (m *Mesh) judge(h *pb.Hello) string {
	c := &m.cfg
	switch {
	case h.GetVersion() != msg.Version:
		return fmt.Sprintf("it speaks version %d of the protocol, and this node version %d: run the same torc everywhere", h.GetVersion(), msg.Version)
	case h.GetMeant() != 0 && h.GetMeant() != c.Self.Boot:
		return fmt.Sprintf("the node that was meant is gone: %s is another process", c.Self.Addr)
	case h.GetRing() != c.Ring:
		return "it belongs to another ring"
	case h.GetBits() != uint32(c.Bits):
		return fmt.Sprintf("its ring has 2^%d places, and this one 2^%d", h.GetBits(), c.Bits)
	case h.GetReplicas() != uint32(c.Replicas):
		return fmt.Sprintf("it keeps %d copies besides each pair, and this ring %d", h.GetReplicas(), c.Replicas)
	case h.GetMaxValue() != uint64(c.maxValue()):
		return fmt.Sprintf("its values may have %d bytes, and those of this ring %d", h.GetMaxValue(), c.maxValue())
	}
	return ""
}

var errNoHello = errors.New("the first frame has to say who calls, and nothing else")
