package chord

import (
	"cmp"
	"context"
	"crypto/tls"
	"net"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/memcache"
)

// Defaults of TableOptions.
const (
	// DefaultReadTimeout outlives several deaths in a row: of a node that is silent
	// its neighbours think so after 600 ms, and who follows it serves 600 ms later
	// at the most, when its last promise to it is over.
	DefaultReadTimeout = 5 * time.Second
	// DefaultTryTimeout is nearly as long as that takes: sooner, there is nobody
	// else to ask.
	DefaultTryTimeout = time.Second
	// DefaultConns is one connection to each node: while it is waited for, others are
	// written to. With two each carries half as much in one go; 64 callers over 8 nodes
	// on two cores get 1.4 times as much done with one.
	DefaultConns = 1
	// OpenTimeout is how long New waits, if its context has no deadline, for a node
	// that is there and has not joined its ring yet.
	OpenTimeout = 5 * time.Second
)

// TableOptions say how a Table treats its callers and its nodes; the zero value is
// what most callers want.
type TableOptions struct {
	// ReadTimeout bounds a Get whose context has no deadline; 0 means
	// DefaultReadTimeout.
	ReadTimeout time.Duration
	// WriteTimeout bounds a Put or Delete whose context has no deadline; 0 means
	// torc.DefaultPutTimeout.
	WriteTimeout time.Duration
	// TryTimeout is how long one node has to answer before it, or whoever owns the
	// key by then, is asked again; 0 means DefaultTryTimeout.
	TryTimeout time.Duration
	// Conns is the number of connections to each node for requests; 0 means
	// DefaultConns. With more a large value keeps fewer others waiting.
	Conns int
	// TLS, if not nil, is how nodes are spoken to.
	TLS *tls.Config
	// Dialer, if not nil, makes the connections in place of a net.Dialer; TLS goes
	// on top.
	Dialer func(ctx context.Context, addr string) (net.Conn, error)
}

func (o TableOptions) withDefaults() TableOptions {
	o.ReadTimeout = cmp.Or(o.ReadTimeout, DefaultReadTimeout)
	o.WriteTimeout = cmp.Or(o.WriteTimeout, torc.DefaultPutTimeout)
	o.TryTimeout = cmp.Or(o.TryTimeout, DefaultTryTimeout)
	o.Conns = cmp.Or(o.Conns, DefaultConns)
	return o
}

const (
	// maxBackoff is how long a node may be back before a table finds out, where the
	// ring hasn't noticed that it was away.
	maxBackoff = 200 * time.Millisecond
	// stallTimeout is how long a connection may bring nothing that is waited for
	// before another is made.
	stallTimeout = 5 * time.Second
	// maxValue is the largest value that is sent or taken, in bytes: all that a node
	// may be told to take. What each does take is its own affair.
	maxValue = 1 << 30
)

func (o *TableOptions) client() memcache.Config {
	return memcache.Config{
		Conns:        o.Conns,
		ReadTimeout:  min(o.TryTimeout, o.ReadTimeout),
		WriteTimeout: min(o.TryTimeout, o.WriteTimeout),
		StallTimeout: stallTimeout,
		MaxValue:     maxValue,
		BackoffMax:   maxBackoff,
		Redirect:     true,
		TLS:          o.TLS,
		Dialer:       o.Dialer,
	}
}
