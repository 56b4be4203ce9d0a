package replica

import (
	"cmp"
	"context"
	"crypto/tls"
	"net"
	"time"

	"github.com/torc-dht/torc"
	"github.com/torc-dht/torc/replica/internal/client"
)

// Defaults of TableOptions.
const (
	// DefaultReadTimeout outlives what a table takes to go on after any fault, which
	// is 2 s where most of its servers have vanished.
	DefaultReadTimeout = 5 * time.Second
	// DefaultHedge is many times what a read takes, and short beside the time in
	// which servers notice that one of them is silent.
	DefaultHedge = 30 * time.Millisecond
	// DefaultConns is as many as the callers that one process mostly has.
	DefaultConns = 64
)

// hedgeWrites is how many times as long as for a read is waited before a write goes
// to another server, too: each copy of a write costs the table as much as the first.
const hedgeWrites = 3

// TableOptions say how a Table treats its callers and its servers; the zero value
// is what most callers want.
type TableOptions struct {
	// ReadTimeout bounds a Get whose context has no deadline; 0 means
	// DefaultReadTimeout.
	ReadTimeout time.Duration
	// WriteTimeout bounds a Put, Delete or Swap whose context has no deadline; 0
	// means torc.DefaultPutTimeout.
	WriteTimeout time.Duration
	// Hedge is after how long a silence a read goes to another server, too; a write
	// does after three times that. Where calls take longer than a quarter of that
	// of late, it is four times what they take. 0 means DefaultHedge.
	Hedge time.Duration
	// Conns is how many connections to each server are kept while nobody uses them;
	// 0 means DefaultConns. There are as many as there are calls at a time.
	Conns int
	// TLS, if not nil, is how servers are spoken to.
	TLS *tls.Config
	// Dialer, if not nil, makes the connections in place of a net.Dialer; TLS goes
	// on top.
	Dialer func(ctx context.Context, addr string) (net.Conn, error)
}

func (o TableOptions) withDefaults() TableOptions {
	o.ReadTimeout = cmp.Or(o.ReadTimeout, DefaultReadTimeout)
	o.WriteTimeout = cmp.Or(o.WriteTimeout, torc.DefaultPutTimeout)
	o.Hedge = cmp.Or(o.Hedge, DefaultHedge)
	o.Conns = cmp.Or(o.Conns, DefaultConns)
	return o
}

func (o *TableOptions) client(hosts []string) client.Config {
	return client.Config{
		Hosts: hosts, Hedge: o.Hedge, HedgeWrite: hedgeWrites * o.Hedge,
		Idle: o.Conns, TLS: o.TLS, Dialer: o.Dialer,
	}
}
