package mesh

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"

	"github.com/torc-dht/torc/replica/internal/msg"
)

// maxWaiting bounds the bytes that wait for one peer, estimated: a peer that is a
// few seconds behind a full load is cut off and begins anew.
const maxWaiting = 64 << 20

// Config says who is in a mesh.
type Config struct {
	// Self is the slot of this node: its place in Addrs.
	Self int
	// Addrs are the addresses of all nodes, host:port, sorted: at most
	// msg.MaxNodes.
	Addrs []string
	// TLS, if not nil, is what connections are dialed with. What a server name is
	// checked against is the host of the address, unless TLS says otherwise.
	// Connections that are accepted are TLS already, or are not, before Accept.
	TLS *tls.Config
	// Log takes what a person may want to know; nil is slog's default.
	Log *slog.Logger
	// Events is called from goroutines of the mesh: those of one slot's Connected
	// and Disconnected one after another, and those of its Received, too. As long
	// as it blocks nothing more comes from that peer. It must not call Close.
	Events func(Event)
}

// Event is a Connected, a Disconnected or a Received.
type Event interface{ event() }

// Connected: the connection dialed to Slot is up, and the node there has said
// welcome. What is sent from now on goes over it.
type Connected struct{ Slot int }

// Disconnected: the connection dialed to Slot is lost, or the call failed. Refused:
// the machine there answered that nobody listens.
type Disconnected struct {
	Slot    int
	Refused bool
}

// Received: the messages came from Slot, in this order, and were Size bytes. They are
// the receiver's.
type Received struct {
	Slot     int
	Messages []*msg.Message
	Size     int
}

func (Connected) event()    {}
func (Disconnected) event() {}
func (Received) event()     {}

// Mesh is one node's connections to the others.
type Mesh struct {
	cfg        Config
	log        *slog.Logger
	boot       uint64
	maxWaiting int // for each peer
	remarks    remarks
	strangers  atomic.Int32        // connections that were accepted and have not said hello
	peers      [msg.MaxNodes]*peer // nil for this node and for slots that nobody has

	ctx  context.Context // done when the mesh is closed
	stop context.CancelFunc
	wg   sync.WaitGroup
	mu   struct {
		sync.Mutex
		closed bool
	}
}

// New makes a mesh that dials nobody before Start. It panics if Self is no place
// in Addrs, or Addrs are more than msg.MaxNodes.
func New(c Config) *Mesh {
	if c.Self < 0 || c.Self >= len(c.Addrs) || len(c.Addrs) > msg.MaxNodes {
		panic(fmt.Sprintf("mesh: slot %d of %d addresses", c.Self, len(c.Addrs)))
	}
	m := &Mesh{cfg: c, log: cmp.Or(c.Log, slog.Default()), boot: rand.Uint64(), maxWaiting: maxWaiting}
	m.ctx, m.stop = context.WithCancel(context.Background())
	for slot, addr := range c.Addrs {
		if slot != c.Self {
			m.peers[slot] = &peer{m: m, slot: slot, addr: addr, news: make(chan struct{}, 1)}
		}
	}
	return m
}

// Start begins to dial the other nodes. To be called once.
func (m *Mesh) Start() {
	for _, p := range m.peers {
		if p != nil {
			m.start(p.keep)
		}
	}
}

// Close closes all connections and returns when no goroutine of the mesh is left:
// there are no events after it. What waits to be sent is not sent. It may be called
// more than once.
func (m *Mesh) Close() {
	m.mu.Lock()
	m.mu.closed = true
	m.mu.Unlock()
	m.stop()
	m.wg.Wait()
}

// Accept takes over a connection whose Preface was read through r: c, and what r
// holds already. It returns at once; c is the mesh's then, and r the caller's again.
// Read and write deadlines of c are the mesh's, too. A nil r holds nothing. Where
// many connections have not said hello yet, c is closed.
func (m *Mesh) Accept(c net.Conn, r *bufio.Reader) {
	var early []byte
	if r != nil {
		held, _ := r.Peek(r.Buffered())
		early = bytes.Clone(held)
		_, _ = r.Discard(len(held))
	}
	if m.strangers.Add(1) > maxStrangers || !m.start(func() { m.receive(c, early) }) {
		m.strangers.Add(-1)
		_ = c.Close()
	}
}

// Send queues messages for the node of slot, behind those queued before. It never
// blocks. Without a connection they are lost; if more than 64 MiB wait already the
// connection is dropped, and all that waits with it; a message that is more than
// msg.MaxMessage bytes is left out, and that is logged. The messages must not be
// changed any more; ms is the caller's. Send is safe for concurrent use, and nothing
// happens for this node's own slot.
func (m *Mesh) Send(slot int, ms []*msg.Message) {
	if p := m.peers[slot]; p != nil {
		if out := p.out.Load(); out != nil {
			out.add(ms)
		}
	}
}

// start runs f in a goroutine that Close waits for, unless the mesh is closed.
func (m *Mesh) start(f func()) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.closed {
		return false
	}
	m.wg.Go(f)
	return true
}

// event passes e on, while the mesh is open.
func (m *Mesh) event(e Event) {
	if m.ctx.Err() == nil {
		m.cfg.Events(e)
	}
}
