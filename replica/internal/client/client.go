package client

import (
	"cmp"
	"context"
	"crypto/tls"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/torc-dht/torc/replica/internal/msg"
	"github.com/torc-dht/torc/replica/internal/numbers"
)

// Config says whom a client asks, and how. Its zero values are the defaults.
type Config struct {
	// Hosts are the servers' addresses, 1 to MaxHosts, host:port each.
	Hosts []string
	// Hedge is how long a host may be silent before a read goes to another one,
	// too, and HedgeWrite the same of a write, or longer where that is what they
	// take; 0: as long as it takes.
	Hedge, HedgeWrite time.Duration
	// Sticky sends reads, as writes, to who answered last; otherwise they are
	// spread.
	Sticky bool
	// Idle is how many connections that nobody uses are kept to each host.
	Idle int
	// TLS, if not nil, is what connections are made with.
	TLS *tls.Config
	// Dialer, if not nil, makes the connections in place of a net.Dialer; TLS goes
	// on top.
	Dialer func(ctx context.Context, addr string) (net.Conn, error)
}

// Client asks servers. Its methods are safe for concurrent use.
type Client struct {
	config   Config
	hosts    []*host
	calls    sync.Pool    // of *call
	sticky   atomic.Int32 // place of who is to be asked for a write
	degraded atomic.Uint64

	usualRead, usualWrite usual // from asking a host to its answer

	life    context.Context // ends with Close
	end     context.CancelFunc
	running sync.WaitGroup // every goroutine of this client

	name    uint64 // by which servers know the client's writes; never 0
	numbers struct {
		sync.Mutex
		numbers.Numbers // of writes
	}
}

// New makes a client. It connects to nobody.
func New(config Config) *Client {
	c := &Client{config: config}
	c.config.Hosts = slices.Clone(config.Hosts)
	c.life, c.end = context.WithCancel(context.Background())
	c.calls.New = func() any { return newCall(c) }
	for c.name == 0 {
		c.name = rand.Uint64()
	}
	for i, addr := range c.config.Hosts {
		c.hosts = append(c.hosts, newHost(c, i, addr))
	}
	c.sticky.Store(int32(rand.IntN(len(c.hosts))))
	return c
}

// Close ends what is under way, with a Failure by torc.ErrClosed, and waits for the
// client's goroutines. A second Close does nothing.
func (c *Client) Close() {
	c.end()
	for _, h := range c.hosts {
		h.close()
	}
	c.running.Wait()
}

// Hosts returns the addresses of the hosts. It is not to be changed.
func (c *Client) Hosts() []string { return c.config.Hosts }

// Prefer makes a host the one that is asked first for a write and, if the client is
// sticky, for a read.
func (c *Client) Prefer(h int) { c.sticky.Store(int32(h)) }

// Degraded returns the number of the degraded epoch that the last answer was
// labelled with, or 0 if it was not.
func (c *Client) Degraded() uint64 { return c.degraded.Load() }

// choose picks one of the candidates, of which there is at least one: one that isn't
// failing if there is one; of those the one that is preferred, or else the one with
// the fewest requests under way.
func (c *Client) choose(candidates set, prefer bool) int {
	if candidates.size() == 1 {
		for h := range candidates.places() {
			return h
		}
	}
	good := candidates
	for h := range candidates.places() {
		if c.hosts[h].failing.Load() {
			good = good.without(h)
		}
	}
	candidates = cmp.Or(good, candidates)
	if h := int(c.sticky.Load()); prefer && candidates.has(h) {
		return h
	}
	best, least := -1, int32(0)
	first := rand.IntN(len(c.hosts))
	for i := range c.hosts {
		h := (first + i) % len(c.hosts)
		if busy := c.hosts[h].busy.Load(); candidates.has(h) && (best < 0 || busy < least) {
			best, least = h, busy
		}
	}
	return best
}

// hasBetter tells whether there is a host in order whose answers bear no label, as
// far as is known, beside h, whose answers do.
func (c *Client) hasBetter(h *host) bool {
	return slices.ContainsFunc(c.hosts, func(other *host) bool {
		return other != h && !other.failing.Load() && !other.labelled.Load()
	})
}

// learn takes from an answer its label, and whom to ask next. What a part of the table
// says of its leader doesn't count while there is somebody better.
func (c *Client) learn(r *Request, a *Answer) {
	if labelled(a.Code) && c.degraded.Load() != a.Degraded {
		c.degraded.Store(a.Degraded)
	}
	to := a.Leader
	if c.config.Sticky || to < 0 && r.writes() {
		to = a.Host
	}
	if to >= 0 && c.sticky.Load() != int32(to) && !c.hosts[a.Host].failing.Load() {
		c.sticky.Store(int32(to))
	}
}

// labelled tells whether an answer of that code bears the label where it is due:
// what the table found, not what is wrong with the request.
func labelled(code int) bool {
	switch code {
	case http.StatusOK, http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed, http.StatusInsufficientStorage:
		return true
	}
	return false
}

// number names a write. done has to follow when it will not be sent again.
func (c *Client) number() msg.OpID {
	n := &c.numbers
	n.Lock()
	defer n.Unlock()
	number, acked := n.Next()
	return msg.OpID{Client: c.name, Seq: number, Acked: acked}
}

// done says that a write has its answer, or was given up. The next writes tell the
// servers, unless an older one is open still: they forget it then, and refuse what
// of it is still on its way.
func (c *Client) done(id msg.OpID) {
	n := &c.numbers
	n.Lock()
	defer n.Unlock()
	n.End(id.Seq)
}
